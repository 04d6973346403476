"""The decoder process: turns one encoded dataset into explicit VR little endian with native pixels.

`python -m gateway.dicom.decoder` reads requests from its standard input and answers on its standard output until the
input ends. It runs apart from the vault because image codecs are large C libraries and the bytes are a stranger's: a
crash, a hang or a bomb ends this process and nothing else (see `gateway.dicom.decode`, which starts it).

A request is `REQUEST` (length of the transfer syntax UID, most bytes that may come out, length of the data), the UID
and the data. An answer is `ANSWER` (`Outcome`, length) and the dataset.
"""

from __future__ import annotations

import resource
import struct
import sys
import zlib
from enum import IntEnum
from io import BytesIO
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset

from gateway.dicom.endian import to_little_endian
from gateway.vault.memory import protect_child

REQUEST: Final = struct.Struct(">BQQ")
ANSWER: Final = struct.Struct(">BQ")
MEMORY_BYTES: Final = 2 * 2**30
"""Address space beyond what the process has at its start."""

PIXEL_DATA: Final = 0x7FE00010


class Outcome(IntEnum):
    """How a request ended."""

    DONE = 0
    UNPARSABLE = 1
    TOO_LARGE = 2
    PIXELS_UNFIT = 3
    UNDECODABLE = 4


class _Refused(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def to_native(data: bytes, transfer_syntax_uid: str, max_bytes: int) -> bytes:
    """One dataset, decoded; see the module for what may go wrong."""
    if transfer_syntax_uid == uid.DeflatedExplicitVRLittleEndian:
        return _inflated(data, max_bytes)
    if transfer_syntax_uid == uid.ExplicitVRBigEndian:
        try:
            return to_little_endian(data)
        except ValueError:
            raise _Refused(Outcome.UNPARSABLE) from None
    return _decompressed(data, uid.UID(transfer_syntax_uid), max_bytes)


def _inflated(data: bytes, max_bytes: int) -> bytes:
    """RFC 1951, as PS3.5 A.5 has it: no zlib header."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        whole = inflater.decompress(data, max_bytes + 1)
    except zlib.error:
        raise _Refused(Outcome.UNPARSABLE) from None
    if len(whole) > max_bytes:
        raise _Refused(Outcome.TOO_LARGE)
    if not inflater.eof:
        raise _Refused(Outcome.UNPARSABLE)
    return whole


def _decompressed(data: bytes, syntax: uid.UID, max_bytes: int) -> bytes:
    stream = BytesIO(data)
    try:
        header = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag == PIXEL_DATA)
        start = stream.tell()
        if data[start : start + 4] != b"\xe0\x7f\x10\x00" or data[start + 8 : start + 12] != b"\xff" * 4:
            raise _Refused(Outcome.PIXELS_UNFIT)
        if int(header.get("NumberOfFrames") or 1) != 1 or header.get("SamplesPerPixel") != 1:
            raise _Refused(Outcome.PIXELS_UNFIT)
        rows, columns, allocated = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
    except _Refused:
        raise
    except Exception:  # noqa: BLE001  pydicom raises whatever its parts do; all of it means the same here
        raise _Refused(Outcome.UNPARSABLE) from None
    if allocated not in (8, 16) or not rows or not columns:
        raise _Refused(Outcome.PIXELS_UNFIT)
    if start + rows * columns * allocated // 8 > max_bytes:
        raise _Refused(Outcome.TOO_LARGE)
    try:
        frame = next(generate_frames(data[start + 12 :], number_of_frames=1))
        words = _words(frame, syntax, header)
    except Exception:  # noqa: BLE001  each codec has errors of its own
        raise _Refused(Outcome.UNDECODABLE) from None
    if words.shape != (rows, columns):
        raise _Refused(Outcome.PIXELS_UNFIT)
    pixels = words.astype(f"<u{allocated // 8}", copy=False).tobytes()
    vr = b"OW" if allocated == 16 else b"OB"
    pad = len(pixels) % 2
    element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, len(pixels) + pad)
    return b"".join((data[:start], element, pixels, b"\0" * pad))


def _words(frame: bytes, syntax: uid.UID, header: Dataset) -> npt.NDArray[Any]:
    """The stored words, unsigned, `BitsAllocated` wide, sign-extended where PixelRepresentation says signed."""
    allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    dtype = np.dtype(f"<u{allocated // 8}")
    if syntax == uid.RLELossless:
        coded = imagecodecs.dicomrle_decode(frame, dtype.str)
        return np.frombuffer(coded, dtype).reshape(int(header.Rows), int(header.Columns))
    if syntax in uid.JPEGLSTransferSyntaxes:
        decoded = imagecodecs.jpegls_decode(frame)
    elif syntax in uid.JPEG2000TransferSyntaxes:
        decoded = imagecodecs.jpeg2k_decode(frame)
    else:
        decoded = imagecodecs.jpeg_decode(frame)
    words: npt.NDArray[Any] = np.asarray(decoded)
    # The codestream's own idea of signedness may differ from the dataset's, which counts (PS3.5 8.2).
    words = words.astype(np.int32) & ((1 << stored) - 1)
    if int(header.PixelRepresentation) == 1:
        sign = 1 << (stored - 1)
        words = (words ^ sign) - sign
    return words.astype(dtype)


def _serve() -> None:
    protect_child()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(REQUEST.size):
        uid_length, max_bytes, length = REQUEST.unpack(head)
        syntax = requests.read(uid_length).decode("ascii")
        data = requests.read(length)
        try:
            outcome, whole = Outcome.DONE, to_native(data, syntax, max_bytes)
        except _Refused as refusal:
            outcome, whole = refusal.outcome, b""
        except MemoryError:
            outcome, whole = Outcome.TOO_LARGE, b""
        answers.write(ANSWER.pack(outcome, len(whole)))
        answers.write(whole)
        answers.flush()


if __name__ == "__main__":
    _serve()
