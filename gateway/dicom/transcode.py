"""Little endian datasets from explicit to implicit VR and back, without touching a value (PS3.5 7.1, A.1, A.2).

For datasets of our own and for sequences that an intake walk has understood: a broken encoding is refused, but its
depth and size are the caller's to bound.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final

from gateway.dicom.walk import dictionary_vr
from gateway.dicom.writer import LONG_VRS, Parts, Writer

__all__ = ["recode"]

_IMPLICIT, _SHORT, _LENGTH = Struct("<HHI"), Struct("<HH2sH"), Struct("<I")
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def recode(data: bytes | memoryview, *, implicit: bool, to_implicit: bool) -> Parts:
    """Encode a dataset again.

    Parameters
    ----------
    data : bytes-like
        Native pixels, if any.
    implicit, to_implicit : bool
        Whether VRs are implicit, now and then. To explicit VR they come from the data dictionary.

    Returns
    -------
    list of bytes-like
        The pieces of the encoding; values are views of `data`, sequences have defined lengths.

    Raises
    ------
    ValueError
        If an element does not fit its bytes, or a value is too long for its VR in explicit VR.
    """
    reader = _Recoder(memoryview(data), implicit, Writer(implicit=to_implicit))
    try:
        parts, _ = reader.elements(0, len(data), delimited=False)
    except error:
        raise ValueError("an element does not fit its bytes") from None
    return parts


class _Recoder:
    def __init__(self, data: memoryview, implicit: bool, writer: Writer) -> None:
        self._data = data
        self._implicit = implicit
        self._writer = writer

    def elements(self, at: int, stop: int, *, delimited: bool) -> tuple[Parts, int]:
        """The elements from `at` to `stop` or to an item's delimiter, and where they end."""
        parts: Parts = []
        while at != stop or delimited:
            tag, vr, length, at = self._head(at)
            if delimited and tag == _ITEM_END:
                break
            if vr == b"SQ":
                items, at = self._items(at, stop, length)
                parts += self._writer.sequence_parts(tag, items)
                continue
            if at + length > stop:
                raise ValueError("an element does not fit its bytes")
            if vr == b"DS" and length > Writer.MOST_SHORT:
                vr = b"UN"  # PS3.5 6.2.2 Note
            parts.append(self._writer.head(tag, vr, length))
            parts.append(self._data[at : at + length])
            at += length
        return parts, at

    def _head(self, at: int) -> tuple[int, bytes, int, int]:
        """Tag, VR, length and where the value starts."""
        group, element, length = _IMPLICIT.unpack_from(self._data, at)
        tag = group << 16 | element
        if self._implicit or group == 0xFFFE:
            return tag, b"SQ" if length == _UNDEFINED else dictionary_vr(tag), length, at + 8
        _, _, vr, short = _SHORT.unpack_from(self._data, at)
        if vr not in LONG_VRS:
            return tag, vr, short, at + 8
        (length,) = _LENGTH.unpack_from(self._data, at + 8)
        return tag, vr, length, at + 12

    def _items(self, at: int, stop: int, length: int) -> tuple[list[Parts], int]:
        """The items of a sequence whose value starts at `at`, and where it ends."""
        delimited = length == _UNDEFINED
        stop = stop if delimited else at + length
        items: list[Parts] = []
        while at != stop or delimited:
            tag, _, size, at = self._head(at)
            if delimited and tag == _SEQUENCE_END:
                break
            if tag != _ITEM or (size != _UNDEFINED and at + size > stop):
                raise ValueError("an element does not fit its bytes")
            item, at = self.elements(
                at, stop if size == _UNDEFINED else at + size, delimited=size == _UNDEFINED
            )
            items.append(item)
        return items, at
