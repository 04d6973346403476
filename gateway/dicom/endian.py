"""Explicit VR big endian (PS3.5 A.3, retired) to explicit VR little endian.

In: the encoded dataset. Out: the same elements, their numbers byte-swapped by VR, sequences with their lengths kept.
Refuses, with `ValueError`, what does not parse; it runs in a decoder process, never in the vault.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

_WORDS: Final = {
    **dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8),
}
"""Bytes of the words that are swapped, by VR (PS3.5 7.3); all other VRs are strings of bytes."""
_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_NESTING: Final = 64


def to_little_endian(data: bytes | memoryview) -> bytes:
    """Convert a whole dataset.

    Raises
    ------
    ValueError
        If the bytes are not a dataset in explicit VR big endian.
    """
    out: list[bytes] = []
    view = memoryview(data)
    try:
        _elements(view, 0, len(view), out, 0, is_item=False)
    except struct.error:
        raise ValueError("an element's head is cut off") from None
    return b"".join(out)


def _elements(view: memoryview, at: int, end: int, out: list[bytes], depth: int, *, is_item: bool) -> int:
    """Convert the elements from `at` on; the offset after them, or after the item's delimiter."""
    if depth > _NESTING:
        raise ValueError("sequences are nested too deep")
    while at < end:
        group, element = struct.unpack_from(">HH", view, at)
        if is_item and (group << 16 | element) == _ITEM_END:
            out.append(struct.pack("<HHI", group, element, 0))
            return at + 8
        vr = bytes(view[at + 4 : at + 6])
        if vr in _LONG:
            (length,) = struct.unpack_from(">I", view, at + 8)
            out.append(struct.pack("<HH2sHI", group, element, vr, 0, length))
            at += 12
        else:
            (length,) = struct.unpack_from(">H", view, at + 6)
            out.append(struct.pack("<HH2sH", group, element, vr, length))
            at += 8
        if vr == b"SQ":
            at = _items(view, at, length, end, out, depth + 1)
            continue
        if at + length > end:
            raise ValueError("a value passes the end")
        out.append(_swapped(view[at : at + length], _WORDS.get(vr, 1)))
        at += length
    return at


def _items(view: memoryview, at: int, length: int, end: int, out: list[bytes], depth: int) -> int:
    stop = end if length == _UNDEFINED else at + length
    if stop > end:
        raise ValueError("a sequence passes the end")
    while at < stop:
        group, element, item_length = struct.unpack_from(">HHI", view, at)
        tag = group << 16 | element
        out.append(struct.pack("<HHI", group, element, item_length))
        at += 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise ValueError("an item was expected")
        if item_length == _UNDEFINED:
            at = _elements(view, at, stop, out, depth, is_item=True)
        else:
            if at + item_length > stop:
                raise ValueError("an item passes the end")
            at = _elements(view, at, at + item_length, out, depth, is_item=False)
    return at


def _swapped(value: memoryview, width: int) -> bytes:
    if width == 1:
        return bytes(value)
    if len(value) % width:
        raise ValueError("a value is not whole words")
    return np.frombuffer(value, np.dtype(f"u{width}")).byteswap().tobytes()
