"""Elements in explicit VR little endian (PS3.5 7.1.2, 7.5)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

__all__ = ["LONGEST_SHORT", "element", "head", "item_sequence"]

LONGEST_SHORT: Final = 0xFFFE
"""The most bytes of a value with a 16-bit length."""

_LONG: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_NUL_PADDED: Final = frozenset({b"UI", b"OB", b"UN"})


def head(tag: int, vr: bytes) -> bytes:
    """Tag and VR of an element whose VR has a 16-bit length, which follows."""
    if vr in _LONG:
        raise ValueError("this VR has a 32-bit length")
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)


def element(tag: int, vr: bytes, value: bytes = b"") -> bytes:
    """One element, its value padded to an even length."""
    if len(value) % 2:
        value += b"\0" if vr in _NUL_PADDED else b" "
    if vr in _LONG:
        return struct.pack("<HH2sxxL", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return head(tag, vr) + struct.pack("<H", len(value)) + value


def item_sequence(tag: int, items: Sequence[bytes]) -> bytes:
    """A sequence of items of defined length."""
    content = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(tag, b"SQ", content)
