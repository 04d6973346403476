"""Elements written byte by byte: for what no library would write."""

from __future__ import annotations

import struct

UNDEFINED = 0xFFFFFFFF
SHORT = b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def element(tag: int, vr: bytes, value: bytes = b"", *, length: int | None = None) -> bytes:
    """Explicit VR little endian; `length` may lie."""
    length = len(value) if length is None else length
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    return start + (struct.pack("<H", length) if vr in SHORT else struct.pack("<HL", 0, length)) + value


def implicit(tag: int, value: bytes = b"", *, length: int | None = None) -> bytes:
    """Implicit VR little endian; `length` may lie."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes = b"", *, delimited: bool = False) -> bytes:
    """An item of defined length, or one that a delimiter ends."""
    if delimited:
        return b"\xfe\xff\x00\xe0" + struct.pack("<L", UNDEFINED) + content + ITEM_END
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(content)) + content


def sequence(tag: int, *items: bytes, delimited: bool = False, vr: bytes = b"SQ") -> bytes:
    """An explicit VR sequence of encoded items."""
    content = b"".join(items)
    if delimited:
        return element(tag, vr, content + SEQUENCE_END, length=UNDEFINED)
    return element(tag, vr, content)


def inserted(dataset: bytes, added: bytes) -> bytes:
    """An explicit VR dataset with one more top-level element, in its place by tag; replaces one of the same tag."""
    from gateway.dicom.walk import WalkLimits, walk

    tag = int.from_bytes(added[:2], "little") << 16 | int.from_bytes(added[2:4], "little")
    at = 0
    for other, (_, _, stop) in walk(dataset, implicit=False, limits=WalkLimits()).spans.items():
        if other > tag:
            break
        if other == tag:
            return dataset[:at] + added + dataset[stop:]
        at = stop
    return dataset[:at] + added + dataset[at:]
