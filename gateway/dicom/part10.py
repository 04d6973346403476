"""A DICOM Part 10 stream, as far as sending it needs to know it (PS3.10 7.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from gateway.dicom.writer import IMPLICIT_VR_LITTLE_ENDIAN, LONG_VRS

__all__ = ["Part10"]

_IMPLICIT, _SHORT, _LENGTH = Struct("<HHI"), Struct("<HH2sH"), Struct("<I")
_META_START: Final = 132
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_WANTED: Final = {0x00080016: 0, 0x00080018: 1, 0x0020000D: 2, 0x0020000E: 3}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Part10:
    """What is sent and which object it is."""

    dataset: memoryview
    """Without preamble and file meta information."""
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str

    @classmethod
    def of(cls, stream: bytes) -> Part10:
        """Look into a stream; the elements before the UIDs have defined lengths.

        Raises
        ------
        ValueError
            If it is no Part 10 stream in little endian, or a UID is missing.
        """
        view = memoryview(stream)
        try:
            syntax, start = _meta(view)
            uids = _uids(view, start, implicit=syntax == IMPLICIT_VR_LITTLE_ENDIAN)
        except error:
            raise ValueError("not a whole Part 10 stream") from None
        if not syntax or not all(uids):
            raise ValueError("a UID is missing")
        return cls(view[start:], syntax, *uids)


def _meta(view: memoryview) -> tuple[str, int]:
    """The transfer syntax UID and where the dataset starts."""
    if bytes(view[128:_META_START]) != b"DICM":
        raise ValueError("not a Part 10 stream")
    at, syntax = _META_START, ""
    while bytes(view[at : at + 2]) == b"\x02\x00":
        tag, start, at = _element(view, at, implicit=False)
        if tag == _TRANSFER_SYNTAX_UID:
            syntax = _text(view[start:at])
    return syntax, at


def _uids(view: memoryview, at: int, *, implicit: bool) -> tuple[str, str, str, str]:
    found = ["", "", "", ""]
    tag = 0
    while tag < max(_WANTED) and at < len(view):
        tag, start, at = _element(view, at, implicit=implicit)
        if tag in _WANTED:
            found[_WANTED[tag]] = _text(view[start:at])
    return found[0], found[1], found[2], found[3]


def _element(view: memoryview, at: int, *, implicit: bool) -> tuple[int, int, int]:
    """Tag, start and stop of the element at an offset."""
    if implicit:
        group, element, length = _IMPLICIT.unpack_from(view, at)
        return group << 16 | element, at + 8, at + 8 + length
    group, element, vr, length = _SHORT.unpack_from(view, at)
    if vr not in LONG_VRS:
        return group << 16 | element, at + 8, at + 8 + length
    (length,) = _LENGTH.unpack_from(view, at + 8)
    return group << 16 | element, at + 12, at + 12 + length


def _text(value: memoryview) -> str:
    return bytes(value).rstrip(b"\0 ").decode("ascii", "replace")
