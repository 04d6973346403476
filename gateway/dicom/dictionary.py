"""The VR that PS3.6 gives a tag, for datasets in implicit VR."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import DicomDictionary, RepeatersDictionary  # type: ignore[attr-defined]

__all__ = ["VRS", "dictionary_vr"]


def dictionary_vr(tag: int) -> bytes:
    """The VR that PS3.6 gives a tag: the first where it gives several, `UN` where it gives none."""
    vr = VRS.get(tag)
    if vr is None:
        if tag & 0xFFFF == 0:
            vr = b"UL"  # group length, retired
        elif tag & 0x10000:
            vr = b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"  # private creator
        elif tag >> 24 in (0x50, 0x60, 0x7F):
            vr = _REPEATERS.get(tag & 0xFF00FFFF, b"UN")
        else:
            vr = b"UN"
    return vr


def _first_vr(entry: str) -> bytes:
    vr = entry[:2].encode()
    return b"UN" if vr == b"NO" else vr  # "NONE": items and delimiters


VRS: Final = {tag: _first_vr(entry[0]) for tag, entry in DicomDictionary.items()}
_REPEATERS: Final = {
    int(mask.replace("x", "0"), 16): _first_vr(entry[0])
    for mask, entry in RepeatersDictionary.items()
    if mask[2:4] == "xx" and "x" not in mask[:2] + mask[4:]
}
