"""One walk over an encoded dataset that refuses what it does not understand.

In: the bytes of a dataset in implicit or explicit VR little endian, without file meta information.
Out: where each value lies. Nothing is decoded or copied.
Refused, with an `IntakeError`: lengths beyond the bytes, unknown VRs, undefined lengths on anything but sequences,
sequences without their delimiter, elements twice or out of order, groups that do not belong into a dataset, and more
elements or deeper nesting than the limits allow. The walk is iterative: nesting costs no stack.

Source: PS3.5 sections 7.1 (elements), 7.5 (sequences), 7.8 (private elements), 6.2.2 (VR UN).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydicom.tag import BaseTag

from gateway.dicom.dictionary import VRS, dictionary_vr
from gateway.errors import Fact, IntakeError

__all__ = ["CANNOT_UNDERSTAND", "Element", "Elements", "Leaf", "WalkLimits", "dictionary_vr", "walk"]

CANNOT_UNDERSTAND: Final = 0xC000
"""C-STORE status "Error: Cannot understand" (PS3.4 table B.2-1)."""

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_FIRST: Final = 0x00080000
"""Groups below belong to commands, file meta information and directories (PS3.5 7.8.1, PS3.10)."""
_LAST: Final = 0xFFFCFFFF
"""Data Set Trailing Padding; what follows it is items and delimiters."""

_SHORT, _LONG, _SEQUENCE, _OPAQUE = range(4)
_FORMS: Final[dict[bytes, int]] = {
    **dict.fromkeys(
        b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
        _SHORT,  # 16-bit length
    ),
    **dict.fromkeys(b"OB OD OF OL OV OW SV UC UR UT UV".split(), _LONG),  # 32-bit length, never undefined
    b"SQ": _SEQUENCE,
    b"UN": _OPAQUE,  # 32-bit length; undefined means a sequence in implicit VR (PS3.5 6.2.2 note 4)
}

_EXPLICIT_HEAD = struct.Struct("<HH2sH").unpack_from
_IMPLICIT_HEAD = struct.Struct("<HHL").unpack_from
_LONG_LENGTH = struct.Struct("<HL").unpack_from


class Element(NamedTuple):
    """Where one element of the dataset's first level lies."""

    vr: bytes
    """As encoded; from the data dictionary in implicit VR (`UN` where it does not know the tag)."""
    start: int
    """Offset of the value's first byte."""
    stop: int
    """Offset after its last byte; for a sequence after its last item or its delimiter."""


class Leaf(NamedTuple):
    """Where one element inside a sequence lies; sequences themselves are not listed."""

    tag: int
    vr: bytes
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """What a dataset may cost."""

    elements: int = 20_000
    """Elements and items, nested ones included."""
    nesting: int = 16
    """Sequences within sequences."""


class Elements(Mapping[int, Element]):
    """The first level of a dataset by tag, in order, and the leaves below it."""

    __slots__ = ("nested", "spans")

    def __init__(
        self, spans: dict[int, tuple[bytes, int, int]], nested: list[tuple[int, bytes, int, int]]
    ) -> None:
        self.spans = spans
        """What the mapping holds, as plain tuples: for loops in which time matters."""
        self.nested = nested
        """Each element inside a sequence as `(tag, vr, start, stop)`, in order; see `leaves`."""

    def __getitem__(self, tag: int) -> Element:
        return Element(*self.spans[tag])

    def __iter__(self) -> Iterator[int]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def __contains__(self, tag: object) -> bool:
        return tag in self.spans

    def __repr__(self) -> str:
        return f"<{len(self.spans)} elements and {len(self.nested)} nested>"

    def leaf_spans(self) -> list[tuple[int, bytes, int, int]]:
        """Every element that holds a value and no items, at any depth, as `(tag, vr, start, stop)`."""
        return [(tag, *span) for tag, span in self.spans.items() if span[0] != b"SQ"] + self.nested

    def leaves(self) -> Iterator[Leaf]:
        """The same, with names."""
        return (Leaf(*span) for span in self.leaf_spans())


def walk(data: bytes | bytearray | memoryview, *, implicit: bool, limits: WalkLimits) -> Elements:
    """Find where the values lie.

    Parameters
    ----------
    data : bytes-like
        The encoded dataset, little endian, from its first element to its last.
    implicit : bool
        Whether VRs are implicit (transfer syntax 1.2.840.10008.1.2).
    limits : WalkLimits

    Returns
    -------
    Elements

    Raises
    ------
    IntakeError
        DATASET_UNPARSABLE, DATASET_TOO_DEEP, DATASET_TOO_MANY_ELEMENTS or ELEMENT_TWICE.
    """
    spans: dict[int, tuple[bytes, int, int]] = {}
    nested: list[tuple[int, bytes, int, int]] = []
    end = len(data)
    at = 0
    last = _FIRST - 1
    try:
        for _ in range(limits.elements + 1):
            if at >= end:
                break
            if implicit:
                group, element, length = _IMPLICIT_HEAD(data, at)
                tag = group << 16 | element
                start = at + 8
                vr = VRS.get(tag) or dictionary_vr(tag)
                opens = vr == b"SQ" or length == _UNDEFINED
            else:
                group, element, vr, length = _EXPLICIT_HEAD(data, at)
                tag = group << 16 | element
                form = _FORMS[vr]
                if form:
                    reserved, length = length, 0
                    _, length = _LONG_LENGTH(data, at + 6)
                    if reserved:
                        raise _unparsable(tag)
                    start = at + 12
                    opens = form == _SEQUENCE or (form == _OPAQUE and length == _UNDEFINED)
                else:
                    start = at + 8
                    opens = False
            if tag <= last:
                raise _refusal("ELEMENT_TWICE", tag=BaseTag(tag))
            last = tag
            if opens:
                budget = limits.elements - len(spans) - len(nested)
                at = _descend(
                    data, tag, vr, start, length, implicit, nested, WalkLimits(budget, limits.nesting)
                )
                spans[tag] = (b"SQ", start, at)
            else:
                at = start + length
                if at > end:
                    raise _unparsable(tag)
                spans[tag] = (vr, start, at)
    except (struct.error, KeyError):  # fewer bytes than an element's head; an unknown VR
        raise _unparsable(last) from None
    if len(spans) + len(nested) > limits.elements:
        raise _refusal("DATASET_TOO_MANY_ELEMENTS", limit=limits.elements)
    if last > _LAST:
        raise _unparsable(last)
    return Elements(spans, nested)


class _Level(NamedTuple):
    """A sequence or an item that is open."""

    tag: int
    """The sequence's."""
    bound: int
    """Offset that its content must not pass."""
    delimited: bool
    """Whether its length is undefined, so that a delimiter ends it; otherwise it ends at `bound`."""
    is_item: bool
    implicit: bool
    last: int
    """The item's latest tag before the sequence that is open inside it."""


def _descend(
    data: bytes | bytearray | memoryview,
    tag: int,
    vr: bytes,
    at: int,
    length: int,
    implicit: bool,
    nested: list[tuple[int, bytes, int, int]],
    limits: WalkLimits,
) -> int:
    """Walk one sequence of the first level and everything in it; the offset after it."""
    end = len(data)
    level = _open(tag, at, length, end, implicit=implicit or vr == b"UN", is_item=False)
    above: list[_Level] = []
    depth = 1
    last = -1
    count = 0
    while True:
        if not level.delimited and at == level.bound:
            if not above:
                return at
            depth -= not level.is_item
            level = above.pop()
            last = level.last
            continue
        count += 1
        if count > limits.elements:
            raise _refusal("DATASET_TOO_MANY_ELEMENTS", limit=limits.elements)
        if at + 8 > level.bound:
            raise _unparsable(level.tag)
        group, element, length = _IMPLICIT_HEAD(data, at)
        tag = group << 16 | element
        if not level.is_item:
            at += 8
            if tag == _ITEM:
                above.append(level)
                level = _open(level.tag, at, length, level.bound, implicit=level.implicit, is_item=True)
                last = _FIRST - 1
                continue
            if tag != _SEQUENCE_END or length or not level.delimited:
                raise _unparsable(level.tag)
        elif tag == _ITEM_END:
            at += 8
            if length or not level.delimited:
                raise _unparsable(level.tag)
        else:
            if tag <= last:
                raise _refusal("ELEMENT_TWICE", tag=BaseTag(tag), within=BaseTag(level.tag))
            if tag > _LAST:
                raise _unparsable(level.tag)
            last = tag
            vr, start, length = _value(data, at, level, tag, length)
            if vr != b"SQ" and length != _UNDEFINED:
                at = start + length
                if at > level.bound:
                    raise _unparsable(tag)
                nested.append((tag, vr, start, at))
                continue
            depth += 1
            if depth > limits.nesting:
                raise _refusal("DATASET_TOO_DEEP", limit=limits.nesting)
            above.append(level._replace(last=last))
            at = start
            level = _open(tag, at, length, level.bound, implicit=level.implicit or vr == b"UN", is_item=False)
            continue
        if not above:
            return at
        depth -= not level.is_item
        level = above.pop()
        last = level.last


def _open(tag: int, at: int, length: int, bound: int, *, implicit: bool, is_item: bool) -> _Level:
    if length == _UNDEFINED:
        return _Level(tag, bound, True, is_item, implicit, -1)
    if at + length > bound:
        raise _unparsable(tag)
    return _Level(tag, at + length, False, is_item, implicit, -1)


def _value(
    data: bytes | bytearray | memoryview, at: int, level: _Level, tag: int, length: int
) -> tuple[bytes, int, int]:
    """VR, offset and length of the value of an element inside an item."""
    if level.implicit:
        return dictionary_vr(tag), at + 8, length
    vr = bytes(data[at + 4 : at + 6])
    form = _FORMS.get(vr)
    if form is None:
        raise _unparsable(tag)
    if form == _SHORT:
        return vr, at + 8, length >> 16
    if at + 12 > level.bound:
        raise _unparsable(tag)
    reserved, length = _LONG_LENGTH(data, at + 6)
    if reserved or (length == _UNDEFINED and form == _LONG):
        raise _unparsable(tag)
    return vr, at + 12, length


def _refusal(code: str, **facts: Fact) -> IntakeError:
    return IntakeError(code, CANNOT_UNDERSTAND, **facts)


def _unparsable(tag: int) -> IntakeError:
    """At this element, or between it and the next."""
    return _refusal("DATASET_UNPARSABLE", tag=BaseTag(max(tag, 0)))
