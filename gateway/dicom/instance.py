"""One received image, understood as far as the gateway depends on it.

In: the encoded dataset of one C-STORE (or one file), native pixels, little endian.
Out: an `Instance`: the untouched bytes, where each value lies, and the few values that intake, geometry check and
de-identification need.
Refused, with an `IntakeError` that carries the C-STORE status (PS3.4 table B.2-1): what `walk` refuses (0xC000), and
0xA900 for what does not match its SOP class: UIDs, Modality, VRs and sizes of values that we depend on, pixels that do
not fill the matrix. Other objects than CT and MR images get 0x0122.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from gateway.dicom import values
from gateway.dicom.first_level import RESTORED, FirstLevel, mismatch
from gateway.dicom.walk import Elements, WalkLimits, walk
from gateway.errors import IntakeError

__all__ = ["MODALITIES", "RESTORED", "Instance", "parse_instance"]

SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""C-STORE status "Refused: SOP Class not supported" (PS3.7 C.5.6)."""

FARTHEST_MM: Final = 1e6
"""How far from the origin of its frame of reference an image can lie: a kilometre, which no scanner's table goes."""

MODALITIES: Final = {str(CTImageStorage): "CT", str(MRImageStorage): "MR"}
"""The SOP classes that are taken, and the Modality that each demands."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Instance:
    """One CT or MR image as it was received."""

    data: bytes | bytearray | memoryview
    """The encoded dataset, without file meta information."""
    implicit: bool
    """Whether its VRs are implicit."""
    elements: Elements
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    """Empty where it is absent."""
    modality: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    """PixelRepresentation: whether stored values are two's complement."""
    position: tuple[float, float, float] | None
    """ImagePositionPatient, mm."""
    orientation: tuple[float, float, float, float, float, float] | None
    """ImageOrientationPatient, direction cosines."""
    spacing: tuple[float, float] | None
    """PixelSpacing: between rows, between columns, mm."""
    thickness: float | None
    """SliceThickness, mm."""
    image_type: tuple[str, ...]
    series_description: str
    """For rules only: what cannot be decoded is replaced."""
    body_part: str
    pixel_start: int
    """Offset of the first pixel in `data`."""
    pixel_stop: int
    """Offset after the last pixel, without padding."""
    _digest: list[bytes] = field(default_factory=list, init=False)

    @property
    def content_sha256(self) -> bytes:
        """SHA-256 of the dataset as received; computed when first asked for."""
        if not self._digest:
            self._digest.append(hashlib.sha256(self.data).digest())
        return self._digest[0]

    def raw(self, tag: int) -> bytes | None:
        """A value field of the first level as encoded; None where the element is absent."""
        span = self.elements.spans.get(tag)
        return None if span is None else bytes(self.data[span[1] : span[2]])

    def text(self, tag: int) -> str:
        """A value of the default repertoire (CS, UI, DS, IS), without padding; empty where the element is absent."""
        return (self.raw(tag) or b"").decode("ascii", "replace").strip("\0 ")

    @property
    def specific_character_set(self) -> tuple[str, ...]:
        """The values of (0008,0005)."""
        text = self.text(0x00080005)
        return tuple(part.strip() for part in text.split("\\")) if text else ()

    def __repr__(self) -> str:
        return f"<Instance {self.modality} {self.rows} x {self.columns}>"


def parse_instance(
    data: bytes | bytearray | memoryview,
    transfer_syntax_uid: str,
    *,
    limits: WalkLimits,
    command_sop_class_uid: str | None = None,
    command_sop_instance_uid: str | None = None,
) -> Instance:
    """Understand one image.

    Parameters
    ----------
    data : bytes-like
        The encoded dataset.
    transfer_syntax_uid : str
        Implicit or explicit VR little endian, native pixels.
    limits : WalkLimits
    command_sop_class_uid, command_sop_instance_uid : str, optional
        What the C-STORE command said; the dataset must say the same.

    Returns
    -------
    Instance

    Raises
    ------
    IntakeError
        TRANSFER_SYNTAX_NOT_SUPPORTED, what `walk` raises, UID_INVALID, UID_MISMATCH, SOP_CLASS_NOT_SUPPORTED,
        MODALITY_MISMATCH, ATTRIBUTE_MISSING, VALUE_INVALID or PIXELS_UNFIT.
    """
    if transfer_syntax_uid not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        raise IntakeError("TRANSFER_SYNTAX_NOT_SUPPORTED", SOP_CLASS_NOT_SUPPORTED)
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    source = FirstLevel(data, walk(data, implicit=implicit, limits=limits))

    sop_class_uid = source.uid(0x00080016)
    if command_sop_class_uid not in (None, sop_class_uid):
        raise mismatch("UID_MISMATCH", 0x00080016)
    sop_instance_uid = source.uid(0x00080018)
    if command_sop_instance_uid not in (None, sop_instance_uid):
        raise mismatch("UID_MISMATCH", 0x00080018)
    if sop_class_uid not in MODALITIES:
        raise IntakeError("SOP_CLASS_NOT_SUPPORTED", SOP_CLASS_NOT_SUPPORTED)
    modality = source.required(0x00080060, b"CS").decode("ascii", "replace").strip("\0 ")
    if modality != MODALITIES[sop_class_uid]:
        raise mismatch("MODALITY_MISMATCH", 0x00080060)

    source.check_restored()
    rows, columns = source.us(0x00280010), source.us(0x00280011)
    bits_allocated, bits_stored, is_signed = _pixel_format(source)
    pixel_start, pixel_stop = _pixels(source, rows * columns * bits_allocated // 8)
    if not rows or not columns:
        raise mismatch("PIXELS_UNFIT", 0x00280010)

    image_type = source.value(0x00080008, b"CS", _words) or ()
    position = source.value(0x00200032, b"DS", _place)
    orientation = source.value(0x00200037, b"DS", lambda raw: values.decimals(raw, 6))
    spacing = source.value(0x00280030, b"DS", lambda raw: values.decimals(raw, 2))
    if spacing is not None and not 0 < min(spacing) <= max(spacing) <= FARTHEST_MM:
        raise mismatch("VALUE_INVALID", 0x00280030)
    thickness = source.value(0x00180050, b"DS", lambda raw: values.decimals(raw, 1))
    charsets = source.value(0x00080005, b"CS", _words) or ()
    return Instance(
        data=data,
        implicit=implicit,
        elements=source.elements,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        study_instance_uid=source.uid(0x0020000D),
        series_instance_uid=source.uid(0x0020000E),
        frame_of_reference_uid=source.uid(0x00200052, required=False),
        modality=modality,
        rows=rows,
        columns=columns,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        is_signed=is_signed,
        position=position,  # type: ignore[arg-type]  # the counts were checked
        orientation=orientation,  # type: ignore[arg-type]
        spacing=spacing,  # type: ignore[arg-type]
        thickness=thickness[0] if thickness else None,
        image_type=image_type,
        series_description=source.description(0x0008103E, charsets),
        body_part=source.description(0x00180015, ()),
        pixel_start=pixel_start,
        pixel_stop=pixel_stop,
    )


def _pixel_format(source: FirstLevel) -> tuple[int, int, bool]:
    """Bits allocated, bits stored, whether values are signed; as PS3.3 C.8.2.1 and C.8.3.1 allow."""
    if source.us(0x00280002) != 1:  # SamplesPerPixel
        raise mismatch("PIXELS_UNFIT", 0x00280002)
    if source.required(0x00280004, b"CS").rstrip(b" \0") not in (b"MONOCHROME1", b"MONOCHROME2"):
        raise mismatch("PIXELS_UNFIT", 0x00280004)
    bits_allocated, bits_stored = source.us(0x00280100), source.us(0x00280101)
    if bits_allocated != 16:
        raise mismatch("PIXELS_UNFIT", 0x00280100)
    if not 1 <= bits_stored <= bits_allocated:
        raise mismatch("PIXELS_UNFIT", 0x00280101)
    if source.us(0x00280102) != bits_stored - 1:  # HighBit
        raise mismatch("PIXELS_UNFIT", 0x00280102)
    representation = source.us(0x00280103)
    if representation > 1:
        raise mismatch("PIXELS_UNFIT", 0x00280103)
    frames = source.value(0x00280008, b"IS", lambda raw: values.integers(raw, 1))
    if frames is not None and frames != (1,):
        raise mismatch("PIXELS_UNFIT", 0x00280008)
    return bits_allocated, bits_stored, representation == 1


def _pixels(source: FirstLevel, expected: int) -> tuple[int, int]:
    """Where the pixels lie; `expected` is the number of bytes that the geometry asks for."""
    span = source.elements.spans.get(0x7FE00010)
    if span is None:
        raise mismatch("ATTRIBUTE_MISSING", 0x7FE00010)
    vr, start, stop = span
    if vr not in (b"OW", b"OB"):
        raise mismatch("VALUE_INVALID", 0x7FE00010)
    if stop - start != expected + expected % 2:
        raise mismatch("PIXELS_UNFIT", 0x7FE00010)
    return start, start + expected


def _place(raw: bytes) -> tuple[float, ...] | None:
    """Three coordinates in mm, none so large that calculating with it loses the others."""
    place = values.decimals(raw, 3)
    return place if place is not None and max(map(abs, place)) <= FARTHEST_MM else None


def _words(raw: bytes) -> tuple[str, ...] | None:
    """Values of VR CS, leniently: they are compared with known words and never passed on."""
    if len(raw) > 1024:
        return None
    return tuple(part.strip() for part in raw.decode("ascii", "replace").rstrip("\0").split("\\"))
