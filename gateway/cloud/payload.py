"""A slice as it leaves: packed without loss, and as bytes.

In comes a `DeidentifiedSlice`, out goes a `SlicePayload`, whose bytes are what `gateway.cloud.envelope`
seals. The contourer goes the other way. Packing is pure and releases the GIL; it belongs on a thread of the
CPU pool.

The stored words are shifted so that the lowest becomes 0 before they are coded. That maps signed data to
unsigned without touching their order, and it is exact for every word, whatever BitsStored says about its
upper bits.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import imagecodecs
import numpy as np
import numpy.typing as npt

__all__ = [
    "Codec",
    "DeidentifiedSlice",
    "PayloadError",
    "SlicePayload",
    "pack",
    "unpack",
]

HEADER_LIMIT_BYTES: Final = 64 * 1024
"""The largest header that a payload may carry; a profile keeps a few hundred bytes."""

_IMPLEMENTATION_CLASS_UID: Final = "2.25.216837424410949266312850418093519012734"
_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"

_MAGIC: Final = b"CGSL"
_VERSION: Final = 1
_FIXED: Final = struct.Struct("<4sBBBBBBBBHHiII32s")
"""Magic, version, codec, signed, bits allocated, bits stored, lengths of the class and instance UIDs, zero,
rows, columns, lowest word, header length, coded length, SHA-256 of the pixels."""


class PayloadError(ValueError):
    """The bytes are not a payload, or do not unpack to what they claim. Says no value of a dataset."""


class Codec(IntEnum):
    """How the pixels of a payload are coded; the number is what travels."""

    RAW = 0
    """Not coded: for what a codec declines or cannot make smaller."""
    JPEGLS = 1
    """ISO/IEC 14495-1, lossless: smallest, for slow links."""
    JPEGXL = 2
    """ISO/IEC 18181, lossless, effort 1: fastest."""


def _short(tag: int, vr: bytes, value: bytes) -> bytes:
    """An element of explicit VR little endian with a 16-bit length (PS3.5 7.1.2)."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _uid(uid: str) -> bytes:
    value = uid.encode("ascii")
    return value + b"\0" * (len(value) % 2)


@dataclass(frozen=True, slots=True)
class DeidentifiedSlice:
    """One de-identified image: what may leave, and nothing else."""

    sop_class_uid: str
    sop_instance_uid: str
    """The pseudonym."""
    header: bytes
    """Explicit VR little endian, every element before (7FE0,0010)."""
    pixels: bytes | memoryview
    """Native little endian, `rows * columns * bits_allocated / 8` bytes."""
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool

    def __post_init__(self) -> None:
        if len(self.pixels) * 8 != self.rows * self.columns * self.bits_allocated:
            raise PayloadError("the pixels do not fill the matrix")

    def __repr__(self) -> str:
        return f"DeidentifiedSlice({self.rows} x {self.columns}, {self.bits_stored} bits)"

    def dataset(self) -> bytes:
        """The whole dataset, explicit VR little endian."""
        vr = b"OW" if self.bits_allocated > 8 else b"OB"
        length = len(self.pixels)
        element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, length + length % 2)
        return b"".join((self.header, element, self.pixels, b"\0" * (length % 2)))

    def part10(self) -> bytes:
        """A DICOM file in memory (PS3.10 7.1)."""
        meta = b"".join(
            (
                struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\0\1",
                _short(0x00020002, b"UI", _uid(self.sop_class_uid)),
                _short(0x00020003, b"UI", _uid(self.sop_instance_uid)),
                _short(0x00020010, b"UI", _uid(_EXPLICIT_LITTLE_ENDIAN)),
                _short(0x00020012, b"UI", _uid(_IMPLEMENTATION_CLASS_UID)),
            )
        )
        length = _short(0x00020000, b"UL", struct.pack("<I", len(meta)))
        return b"".join((bytes(128), b"DICM", length, meta, self.dataset()))


@dataclass(frozen=True, slots=True)
class SlicePayload:
    """A packed slice."""

    codec: Codec
    sop_class_uid: str
    sop_instance_uid: str
    header: bytes
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    lowest: int
    """What was subtracted from every word before coding."""
    pixels_sha256: bytes
    """Of the native pixels; checked when they are unpacked (R32)."""
    coded: bytes
    """The coded pixels."""

    def __repr__(self) -> str:
        return f"SlicePayload({self.codec.name}, {self.rows} x {self.columns}, {len(self.coded)} bytes)"

    def to_bytes(self) -> bytes:
        """What is sealed and sent; `from_bytes` reads it."""
        sop_class_uid = self.sop_class_uid.encode("ascii")
        sop_instance_uid = self.sop_instance_uid.encode("ascii")
        fixed = _FIXED.pack(
            _MAGIC,
            _VERSION,
            self.codec,
            self.is_signed,
            self.bits_allocated,
            self.bits_stored,
            len(sop_class_uid),
            len(sop_instance_uid),
            0,
            self.rows,
            self.columns,
            self.lowest,
            len(self.header),
            len(self.coded),
            self.pixels_sha256,
        )
        return b"".join((fixed, sop_class_uid, sop_instance_uid, self.header, self.coded))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> SlicePayload:
        """Read what `to_bytes` wrote; trusts nothing.

        Raises
        ------
        PayloadError
            If a length, number or version does not fit.
        """
        view = memoryview(data)
        if len(view) < _FIXED.size:
            raise PayloadError("shorter than a payload's fixed part")
        (
            magic,
            version,
            codec,
            signed,
            allocated,
            stored,
            class_length,
            instance_length,
            zero,
            rows,
            columns,
            lowest,
            header_length,
            coded_length,
            digest,
        ) = _FIXED.unpack_from(view)
        if magic != _MAGIC or version != _VERSION or zero:
            raise PayloadError("not a payload of a known version")
        if codec not in Codec.__members__.values() or signed > 1 or allocated not in (8, 16, 32):
            raise PayloadError("a field has an unknown value")
        if not (1 <= stored <= allocated and rows and columns and header_length <= HEADER_LIMIT_BYTES):
            raise PayloadError("a field is out of range")
        if not (1 <= class_length <= 64 and 1 <= instance_length <= 64):
            raise PayloadError("a UID has an impossible length")
        if len(view) != _FIXED.size + class_length + instance_length + header_length + coded_length:
            raise PayloadError("the lengths do not add up")
        at = _FIXED.size
        uids = bytes(view[at : at + class_length + instance_length])
        if not all(character in b"0123456789." for character in uids):
            raise PayloadError("a UID is not digits and dots")
        at += len(uids)
        return cls(
            codec=Codec(codec),
            sop_class_uid=uids[:class_length].decode("ascii"),
            sop_instance_uid=uids[class_length:].decode("ascii"),
            header=bytes(view[at : at + header_length]),
            rows=rows,
            columns=columns,
            bits_allocated=allocated,
            bits_stored=stored,
            is_signed=bool(signed),
            lowest=lowest,
            pixels_sha256=digest,
            coded=bytes(view[at + header_length :]),
        )


def _words(pixels: bytes | memoryview, bits: int, signed: bool) -> npt.NDArray[np.integer]:
    return np.frombuffer(pixels, dtype=np.dtype(f"<{'i' if signed else 'u'}{bits // 8}"))


def _encode(image: npt.NDArray[np.integer], codec: Codec) -> bytes | None:
    """The coded image, or nothing where the codec declines it."""
    try:
        if codec is Codec.JPEGLS:
            return bytes(imagecodecs.jpegls_encode(image))
        return bytes(imagecodecs.jpegxl_encode(image, lossless=True, effort=1, numthreads=1))
    except (imagecodecs.JpeglsError, imagecodecs.JpegxlError, ValueError):
        return None


def pack(image: DeidentifiedSlice, codec: Codec) -> SlicePayload:
    """Code the pixels without loss.

    Parameters
    ----------
    image : DeidentifiedSlice
    codec : Codec
        What to try; the payload says `RAW` where the codec declines the image or does not make it smaller.

    Returns
    -------
    SlicePayload
        `unpack` gives back exactly `image`.
    """
    lowest = 0
    coded: bytes | None = None
    if codec is not Codec.RAW and image.bits_allocated in (8, 16):
        words = _words(image.pixels, image.bits_allocated, image.is_signed)
        lowest = int(words.min())
        unsigned = np.dtype(f"<u{image.bits_allocated // 8}")
        # Unsigned arithmetic wraps, so this is exact also where the difference exceeds a signed word.
        shifted = words.view(unsigned) - unsigned.type(lowest % (1 << image.bits_allocated))
        coded = _encode(shifted.reshape(image.rows, image.columns), codec)
    if coded is None or len(coded) >= len(image.pixels):
        codec, lowest, coded = Codec.RAW, 0, bytes(image.pixels)
    return SlicePayload(
        codec=codec,
        sop_class_uid=image.sop_class_uid,
        sop_instance_uid=image.sop_instance_uid,
        header=image.header,
        rows=image.rows,
        columns=image.columns,
        bits_allocated=image.bits_allocated,
        bits_stored=image.bits_stored,
        is_signed=image.is_signed,
        lowest=lowest,
        pixels_sha256=hashlib.sha256(image.pixels).digest(),
        coded=coded,
    )


def _decode(payload: SlicePayload) -> bytes:
    unsigned = np.dtype(f"<u{payload.bits_allocated // 8}")
    # A buffer of the announced size: a stream that says otherwise is refused before anything is allocated.
    image = np.empty((payload.rows, payload.columns), dtype=unsigned)
    try:
        if payload.codec is Codec.JPEGLS:
            imagecodecs.jpegls_decode(payload.coded, out=image)
        else:
            imagecodecs.jpegxl_decode(payload.coded, index=0, numthreads=1, out=image)
    except (imagecodecs.JpeglsError, imagecodecs.JpegxlError, ValueError, RuntimeError, IndexError):
        raise PayloadError("the coded pixels do not decode to the announced matrix") from None
    image += unsigned.type(payload.lowest % (1 << payload.bits_allocated))
    return image.tobytes()


def unpack(payload: SlicePayload, max_bytes: int) -> DeidentifiedSlice:
    """The slice that was packed.

    Parameters
    ----------
    payload : SlicePayload
    max_bytes : int
        The most that its native pixels may take.

    Raises
    ------
    PayloadError
        If it is larger, does not decode, or its pixels are not those that were packed.
    """
    size = payload.rows * payload.columns * payload.bits_allocated // 8
    if size > max_bytes:
        raise PayloadError("the matrix is larger than allowed")
    if payload.codec is Codec.RAW:
        if len(payload.coded) != size:
            raise PayloadError("the pixels do not fill the matrix")
        pixels = bytes(payload.coded)
    elif payload.bits_allocated not in (8, 16):
        raise PayloadError("no codec takes such pixels")
    else:
        pixels = _decode(payload)
    if hashlib.sha256(pixels).digest() != payload.pixels_sha256:
        raise PayloadError("the pixels are not those that were packed")
    return DeidentifiedSlice(
        sop_class_uid=payload.sop_class_uid,
        sop_instance_uid=payload.sop_instance_uid,
        header=payload.header,
        pixels=pixels,
        rows=payload.rows,
        columns=payload.columns,
        bits_allocated=payload.bits_allocated,
        bits_stored=payload.bits_stored,
        is_signed=payload.is_signed,
    )
