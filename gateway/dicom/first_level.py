"""Values of a dataset's first level, with the refusals that belong to them.

Only what the gateway depends on is read through here: it must have its VR and a size that makes sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from pydicom.tag import BaseTag

from gateway.dicom import values
from gateway.dicom.walk import Elements
from gateway.errors import IntakeError

__all__ = ["DOES_NOT_MATCH", "RESTORED", "FirstLevel", "mismatch"]

DOES_NOT_MATCH: Final = 0xA900
"""C-STORE status "Error: Data Set does not match SOP Class"."""

RESTORED: Final[dict[int, tuple[bytes, int]]] = {
    0x00080005: (b"CS", 256),  # SpecificCharacterSet
    0x00080020: (b"DA", 32),  # StudyDate
    0x00080030: (b"TM", 64),  # StudyTime
    0x00080050: (b"SH", 256),  # AccessionNumber
    0x00080090: (b"PN", 1024),  # ReferringPhysicianName
    0x00081030: (b"LO", 1024),  # StudyDescription
    0x00100010: (b"PN", 1024),  # PatientName
    0x00100020: (b"LO", 1024),  # PatientID
    0x00100021: (b"LO", 1024),  # IssuerOfPatientID
    0x00100030: (b"DA", 32),  # PatientBirthDate
    0x00100032: (b"TM", 64),  # PatientBirthTime
    0x00100040: (b"CS", 32),  # PatientSex
    0x00200010: (b"SH", 256),  # StudyID
}
"""What the structure set gets back byte for byte: the VR that it must have and the most bytes that it may have.

The bounds leave room for the longest value of PS3.5 table 6.2-1 in any character set with its escape sequences, and for
senders that exceed it a little; they stop values that no TPS could import.
"""

_T = TypeVar("_T")


class FirstLevel:
    """Values of a dataset's first level.

    Parameters
    ----------
    data : bytes-like
    elements : Elements
        Where they lie in it.

    Each method raises `IntakeError` 0xA900 with the tag: ATTRIBUTE_MISSING, VALUE_INVALID or UID_INVALID.
    """

    __slots__ = ("_data", "elements")

    def __init__(self, data: bytes | bytearray | memoryview, elements: Elements) -> None:
        self._data = data
        self.elements = elements

    def value(self, tag: int, vr: bytes, parse: Callable[[bytes], _T | None]) -> _T | None:
        """A checked value; None where the element is absent or empty."""
        span = self.elements.spans.get(tag)
        if span is None:
            return None
        found, start, stop = span
        if found != vr:
            raise mismatch("VALUE_INVALID", tag)
        raw = bytes(self._data[start:stop])
        if not raw.strip(b"\0 "):
            return None
        value = parse(raw)
        if value is None:
            raise mismatch("VALUE_INVALID", tag)
        return value

    def required(self, tag: int, vr: bytes) -> bytes:
        """A value field of at most 64 bytes that must be there."""
        raw = self.value(tag, vr, _short)
        if raw is None:
            raise mismatch("ATTRIBUTE_MISSING", tag)
        return raw

    def us(self, tag: int) -> int:
        """One unsigned short."""
        span = self.elements.spans.get(tag)
        if span is None:
            raise mismatch("ATTRIBUTE_MISSING", tag)
        vr, start, stop = span
        if vr != b"US" or stop - start != 2:
            raise mismatch("VALUE_INVALID", tag)
        return self._data[start] | self._data[start + 1] << 8

    def uid(self, tag: int, *, required: bool = True) -> str:
        span = self.elements.spans.get(tag)
        if span is None:
            if required:
                raise mismatch("ATTRIBUTE_MISSING", tag)
            return ""
        vr, start, stop = span
        if vr != b"UI":
            raise mismatch("VALUE_INVALID", tag)
        if start == stop and not required:
            return ""
        uid = values.uid(bytes(self._data[start : min(stop, start + values.MAX_UID + 2)]))
        if uid is None:
            raise mismatch("UID_INVALID", tag)
        return uid

    def description(self, tag: int, charsets: tuple[str, ...]) -> str:
        """Text for rules; of any VR, cut at 256 bytes."""
        span = self.elements.spans.get(tag)
        if span is None:
            return ""
        raw = bytes(self._data[span[1] : min(span[2], span[1] + 256)])
        return values.decoded(raw, charsets).strip("\0 ")

    def check_restored(self) -> None:
        """Refuse what could not be given back byte for byte."""
        spans = self.elements.spans
        for tag, (vr, limit) in RESTORED.items():
            span = spans.get(tag)
            if span is not None and (span[0] != vr or span[2] - span[1] > limit):
                raise mismatch("VALUE_INVALID", tag)


def _short(raw: bytes) -> bytes | None:
    return raw if len(raw) <= 64 else None


def mismatch(code: str, tag: int) -> IntakeError:
    """A refusal because the dataset is not what its SOP class asks for."""
    return IntakeError(code, DOES_NOT_MATCH, tag=BaseTag(tag))
