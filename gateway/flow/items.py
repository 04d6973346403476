"""The encoded structure set, taken apart.

In: a DICOM Part 10 stream (PS3.10 7) in explicit or implicit VR little endian. Out: for each item of each sequence,
where its values stand; nothing is converted. Refused: whatever `gateway.flow.structure_set_iod` does not name, any
encoding that does not fit its bytes, attributes twice or out of order. The depth is bounded by the table, the time by
the length of the stream, the memory by a cap on items.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct

from pydicom.tag import BaseTag

from gateway.dicom.writer import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, LONG_VRS
from gateway.errors import StructureSetUnsound
from gateway.flow.structure_set import Contour
from gateway.flow.structure_set_iod import CONTOUR, STRUCTURE_SET, Level, UidRole

__all__ = ["Item", "ReadContour", "Resolve", "read_items"]

_IMPLICIT = Struct("<HHI")
_EXPLICIT = Struct("<HH2sH")
_LENGTH = Struct("<I")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,9}")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END, _TRAILING_PADDING = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0xFFFCFFFC
_TRANSFER_SYNTAX_UID = 0x00020010
_PREAMBLE = 128
_MOST_ITEMS = 500_000
"""More than a structure set of 100,000 contours has; each takes some 250 bytes of memory."""
_REPEATED_BYTES = 256
"""The longest sequence that is looked up among those read before."""

Resolve = Callable[[int, UidRole, bytes], None]
"""Takes a UID's tag, its role and its bytes; raises `StructureSetUnsound` where it does not resolve."""


ReadContour = Callable[["Item"], Contour]
"""Makes a contour of an item of Contour Sequence; raises `StructureSetUnsound`."""


@dataclass(slots=True, eq=False)
class Item:
    """One item of a sequence, or the dataset itself."""

    data: bytes
    """The stream in which it stands."""
    values: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Tag to where the value starts and stops."""
    sequences: dict[int, list[Item]] = field(default_factory=dict)
    contours: list[Contour] = field(default_factory=list)
    """What was made of Contour Sequence; there are too many of them to keep their items."""

    def value(self, tag: int) -> bytes:
        """A value without its padding; empty where it is absent."""
        span = self.values.get(tag)
        return b"" if span is None else self.data[span[0] : span[1]].strip(b" \0")

    def integer(self, tag: int) -> int:
        """A value of VR IS.

        Raises
        ------
        StructureSetUnsound
            RESULT_INCONSISTENT, if it is absent or no integer.
        """
        value = self.value(tag)
        if not _INTEGER.fullmatch(value):
            raise StructureSetUnsound("RESULT_INCONSISTENT", tag=BaseTag(tag))
        return int(value)


def read_items(part10: bytes, resolve: Resolve, read_contour: ReadContour) -> Item:
    """Take a structure set apart.

    Parameters
    ----------
    part10 : bytes
    resolve : callable
        Called for every UID of the dataset in order; for UIDs in the same short sequence only the first time.
    read_contour : callable
        Called for every contour, after its UIDs were resolved.

    Raises
    ------
    StructureSetUnsound
        RESULT_UNPARSABLE, RESULT_NOT_CONTOURS, or what the two callables raise.
    """
    start, transfer_syntax = _dataset_start(part10)
    return _Reader(part10, transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN, resolve, read_contour).dataset(start)


def _unparsable(tag: int = 0) -> StructureSetUnsound:
    return StructureSetUnsound("RESULT_UNPARSABLE", tag=BaseTag(tag))


def _dataset_start(data: bytes) -> tuple[int, str]:
    """Where the dataset begins, and its transfer syntax UID; everything else of the file meta is ignored."""
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise _unparsable()
    position, syntax = _PREAMBLE + 4, ""
    while data[position : position + 2] == b"\x02\x00":
        if position + 12 > len(data):
            raise _unparsable()
        group, element, vr, length = _EXPLICIT.unpack_from(data, position)
        position += 8
        if vr in LONG_VRS:
            (length,) = _LENGTH.unpack_from(data, position)
            position += 4
        if position + length > len(data):
            raise _unparsable(group << 16 | element)
        if group << 16 | element == _TRANSFER_SYNTAX_UID:
            syntax = data[position : position + length].rstrip(b"\0 ").decode("ascii", "replace")
        position += length
    if syntax not in (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN):
        raise _unparsable(_TRANSFER_SYNTAX_UID)
    return position, syntax


class _Reader:
    """One pass over one dataset."""

    __slots__ = ("_data", "_implicit", "_items_left", "_read_contour", "_resolve", "_seen")

    def __init__(self, data: bytes, implicit: bool, resolve: Resolve, read_contour: ReadContour) -> None:
        self._data = data
        self._implicit = implicit
        self._resolve = resolve
        self._read_contour = read_contour
        self._items_left = _MOST_ITEMS
        self._seen: dict[tuple[Level, bytes], list[Item]] = {}

    def dataset(self, start: int) -> Item:
        item, _ = self._item(start, len(self._data), STRUCTURE_SET, delimited=False)
        return item

    def _item(self, position: int, stop: int, level: Level, *, delimited: bool) -> tuple[Item, int]:
        """Read one level from `position`, to its delimiter or to `stop`; also returns where it ended."""
        data, implicit = self._data, self._implicit
        values, sequences = level.values, level.sequences
        item, last = Item(data), 0
        while position != stop or delimited:
            if position + 8 > stop:
                raise _unparsable(last)
            vr = None
            if implicit:
                group, element, length = _IMPLICIT.unpack_from(data, position)
            else:
                group, element, vr, length = _EXPLICIT.unpack_from(data, position)
            position += 8
            tag = group << 16 | element
            if tag == _ITEM_END and delimited:
                return item, position
            if tag <= last:
                raise _unparsable(tag)
            last = tag
            if vr in LONG_VRS:
                if position + 4 > stop:
                    raise _unparsable(tag)
                (length,) = _LENGTH.unpack_from(data, position)
                position += 4
            expected = values.get(tag)
            if expected is None and tag in sequences:
                if vr is not None and vr != b"SQ":
                    raise _unparsable(tag)
                position = self._items(position, stop, length, sequences[tag], tag, item)
                continue
            end = position + length
            if end > stop or length & 1:
                raise _unparsable(tag)
            if expected is None:
                if element and tag != _TRAILING_PADDING:  # a group length (element 0) tells nothing
                    raise StructureSetUnsound("RESULT_NOT_CONTOURS", tag=BaseTag(tag))
            elif vr is not None and vr != expected and not (vr == b"UN" and expected == b"DS"):
                raise _unparsable(tag)  # ContourData over 64 KiB is UN in explicit VR (PS3.5 6.2.2 Note)
            else:
                item.values[tag] = position, end
                if expected == b"UI":
                    self._resolve(tag, level.uids[tag], data[position:end])
            position = end
        return item, position

    def _items(self, position: int, stop: int, length: int, level: Level, tag: int, parent: Item) -> int:
        """Read the items of a sequence whose value starts at `position` into `parent`; returns where it ended.

        Each contour refers to its slice, so there are few references and thousands of repetitions: the same bytes
        are read once, and every repetition gets the items of the first.
        """
        delimited = length == _UNDEFINED
        if not delimited:
            if position + length > stop:
                raise _unparsable(tag)
            stop = position + length
        items = parent.sequences[tag] = []
        if level is CONTOUR:
            return self._read_items(
                position,
                stop,
                level,
                tag,
                lambda item: parent.contours.append(self._read_contour(item)),
                delimited,
            )
        if length > _REPEATED_BYTES:
            return self._read_items(position, stop, level, tag, items.append, delimited)
        key = level, self._data[position:stop]
        seen = self._seen.get(key)
        if seen is None:
            self._read_items(position, stop, level, tag, items.append, delimited)
            self._seen[key] = items
        else:
            parent.sequences[tag] = seen
        return stop

    def _read_items(
        self, position: int, stop: int, level: Level, tag: int, take: Callable[[Item], None], delimited: bool
    ) -> int:
        while position != stop or delimited:
            if position + 8 > stop:
                raise _unparsable(tag)
            group, element, size = _IMPLICIT.unpack_from(self._data, position)
            position += 8
            if group << 16 | element == _SEQUENCE_END and delimited:
                break
            self._items_left -= 1
            if group << 16 | element != _ITEM or self._items_left < 0:
                raise _unparsable(tag)
            if size == _UNDEFINED:
                item, position = self._item(position, stop, level, delimited=True)
            elif position + size > stop:
                raise _unparsable(tag)
            else:
                item, position = self._item(position, position + size, level, delimited=False)
            take(item)
        return position
