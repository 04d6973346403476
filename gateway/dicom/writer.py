"""Encoding elements of a dataset (PS3.5 7) and a DICOM Part 10 stream (PS3.10 7).

Sequences and items get their length in advance: what every TPS reads. Values that stand elsewhere in memory already
are not copied until the stream is joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from gateway.dicom.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

__all__ = [
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "LONG_VRS",
    "Parts",
    "Writer",
    "part10",
    "uid_value",
]

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"

_IMPLICIT, _SHORT, _LONG = Struct("<HHI"), Struct("<HH2sH"), Struct("<HH2sHI")
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""VRs with a 32-bit length (PS3.5 7.1.2)."""
_ITEM: Final = (0xFFFE, 0xE000)

Parts = list[bytes | memoryview]
"""Pieces of an encoding, in order."""


def uid_value(uid: str) -> bytes:
    """A UID as a value field, padded to even length with NUL."""
    octets = uid.encode("ascii")
    return octets + b"\0" * (len(octets) % 2)


class Writer:
    """Writes elements in one transfer syntax.

    Parameters
    ----------
    implicit : bool
        Implicit VR little endian instead of explicit.
    """

    __slots__ = ("implicit",)

    MOST_SHORT: Final = 0xFFFE
    """The longest value of a VR with a 16-bit length in explicit VR."""

    def __init__(self, *, implicit: bool) -> None:
        self.implicit = implicit

    def head(self, tag: int, vr: bytes, length: int) -> bytes:
        """Tag, VR and length of an element whose value follows.

        Raises
        ------
        ValueError
            If the length is odd, or more than the VR can say.
        """
        if length & 1:
            raise ValueError("values have an even length")
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return _IMPLICIT.pack(group, element, length)
        if vr in LONG_VRS:
            return _LONG.pack(group, element, vr, 0, length)
        if length > self.MOST_SHORT:
            raise ValueError("too long for its VR in explicit VR")
        return _SHORT.pack(group, element, vr, length)

    def element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        """A whole element; `value` has even length."""
        return self.head(tag, vr, len(value)) + value

    def text(self, tag: int, vr: bytes, value: str) -> bytes:
        """A whole element with a value of the default repertoire, padded with a space."""
        octets = value.encode("ascii")
        return self.element(tag, vr, octets + b" " * (len(octets) % 2))

    def uid(self, tag: int, uid: str) -> bytes:
        """A whole element of VR UI."""
        return self.element(tag, b"UI", uid_value(uid))

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        """A whole sequence of encoded items."""
        return b"".join(self.sequence_parts(tag, [[item] for item in items]))

    def sequence_parts(self, tag: int, items: Sequence[Parts]) -> Parts:
        """A whole sequence of items in pieces, without joining them."""
        parts: Parts = [b""]
        total = 0
        for item in items:
            length = sum(map(len, item))
            parts.append(_IMPLICIT.pack(*_ITEM, length))
            parts.extend(item)
            total += 8 + length
        parts[0] = self.head(tag, b"SQ", total)
        return parts


def part10(dataset: Parts, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Join a dataset into a Part 10 stream with an empty preamble.

    Parameters
    ----------
    dataset : list of bytes-like
    sop_class_uid, sop_instance_uid : str
        As in the dataset.
    transfer_syntax_uid : str
        In which it is encoded.
    """
    meta = Writer(implicit=False)
    information = b"".join(
        [
            meta.element(0x00020001, b"OB", b"\0\1"),
            meta.uid(0x00020002, sop_class_uid),
            meta.uid(0x00020003, sop_instance_uid),
            meta.uid(0x00020010, transfer_syntax_uid),
            meta.uid(0x00020012, str(IMPLEMENTATION_CLASS_UID)),
            meta.text(0x00020013, b"SH", IMPLEMENTATION_VERSION_NAME),
        ]
    )
    length = meta.element(0x00020000, b"UL", len(information).to_bytes(4, "little"))
    return b"".join([bytes(128), b"DICM", length, information, *dataset])
