"""The journal: what is needed to go on after a crash, and no more (faults 46, 56).

It holds the records of the passages that have not ended, and of those for which the contourer still owes a deletion
receipt. The others are dropped when the file is rewritten, which it is by itself when most of it is of no more use.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.clerk.fields import Count, Hexadecimal
from gateway.clerk.lines import LineFile, line_of, replace_file
from gateway.clerk.records import (
    Committed,
    Deleted,
    InstancesCounted,
    LedgerFault,
    OfPassage,
    PassageRecord,
    Record,
    StateChanged,
    write_record,
)
from gateway.passage import ENDS

FILE_NAME: Final = "journal"
COMPACTION_BYTES: Final = 256 * 1024
"""A smaller file is not worth rewriting."""
COMPACTION_FACTOR: Final = 4
"""How many times larger than what is still of use the file may become."""

Epoch = Annotated[str, Hexadecimal(16)]
"""The random name of one life of the vault; its records are numbered from 1."""


class Mark(NamedTuple):
    """Up to where something was written."""

    epoch: str
    number: int


NOTHING: Final = Mark("0" * 16, 0)


class Entry(BaseModel):
    """A record with its number; without a record it only says up to where."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    epoch: Epoch
    number: Count
    record: Annotated[Record, Field(discriminator="kind")] | None = None

    @property
    def mark(self) -> Mark:
        """Its place."""
        return Mark(self.epoch, self.number)

    def text(self) -> bytes:
        """As one line."""
        place = b'{"epoch":"%b","number":%d' % (self.epoch.encode("ascii"), self.number)
        return place + (b',"record":%b}' % write_record(self.record) if self.record is not None else b"}")


def is_new(mark: Mark, last: Mark) -> bool:
    """Whether what stands at `mark` was not yet written where `last` was the last."""
    return mark.epoch != last.epoch or mark.number > last.number


class Journal:
    """The journal, open.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    OSError
        If it cannot be read and written now.
    """

    def __init__(self, folder: Path) -> None:
        self._path: Final = folder / FILE_NAME
        self._file = LineFile(self._path)
        self._passages: dict[str, list[PassageRecord]] = {}
        self._last = NOTHING
        found = self._file.take_found()
        damaged = list(found.damaged)
        for line in found.lines:
            try:
                self._note(Entry.model_validate_json(line.text))
            except ValidationError:
                damaged.append(line.offset)
        self.damage: Final = [(LedgerFault.LINE_DAMAGED, offset) for offset in sorted(damaged)]
        """What was found wrong, and at which byte; the file as it was is kept beside as `journal.damaged`."""
        if self.damage:
            try:
                replace_file(self._path.with_name(FILE_NAME + ".damaged"), self._path.read_bytes())
                self._rewrite()
            except OSError:
                self._file.close()
                raise

    @property
    def last(self) -> Mark:
        """Up to where it was written."""
        return self._last

    @property
    def size(self) -> int:
        """Bytes."""
        return self._file.size

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the records that belong here and are new; they are on the disk when this returns.

        Raises
        ------
        OSError
            Then none of them is written.
        """
        new = [entry for entry in entries if self._takes(entry)]
        if not new:
            return
        try:
            self._file.append([entry.text() for entry in new])
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            self.damage.append((LedgerFault.CHANGED_MEANWHILE, self._file.size))
            self._rewrite()  # somebody else changed it; memory knows better
            self._file.append([entry.text() for entry in new])
        for entry in new:
            self._note(entry)
        if self._file.size > COMPACTION_BYTES and self._file.size > COMPACTION_FACTOR * self._size_in_use():
            with contextlib.suppress(OSError):  # only larger than it need be
                self._rewrite()

    def take_from_ledger(self, records: Sequence[PassageRecord], last: Mark | None) -> None:
        """Fill in what this journal lost.

        Parameters
        ----------
        records : sequence of PassageRecord
            The ledger's, of all passages, in order.
        last : Mark, optional
            Up to where they go, if that is further than this journal.

        Raises
        ------
        OSError
        """
        mine = list(self.open_records())
        known = {record.passage for record in records}
        self._passages = {}
        for record in records:
            self._keep(record)
        for record in mine:  # counts, which the ledger does not have, and what it had not got yet
            there = self._passages.get(record.passage)
            if record.passage not in known or (there is not None and record not in there):
                self._keep(record)
        self._last = last or self._last
        self._rewrite()

    def open_records(self) -> Iterator[PassageRecord]:
        """The records of all passages that are still open, a passage's in the order of writing."""
        for records in self._passages.values():
            yield from records

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _takes(self, entry: Entry) -> bool:
        return isinstance(entry.record, OfPassage) and is_new(entry.mark, self._last)

    def _note(self, entry: Entry) -> None:
        self._last = entry.mark
        if isinstance(entry.record, OfPassage):
            self._keep(entry.record)

    def _keep(self, record: PassageRecord) -> None:
        if isinstance(record, Deleted) and record.passage not in self._passages:
            return  # over already: nothing had been committed
        records = self._passages.setdefault(record.passage, [])
        if isinstance(record, InstancesCounted):
            records[:] = [other for other in records if not isinstance(other, InstancesCounted)]
        records.append(record)
        if _is_over(records):
            del self._passages[record.passage]

    def _size_in_use(self) -> int:
        return sum(len(write_record(record)) + 128 for record in self.open_records())

    def _rewrite(self) -> None:
        entries = [
            Entry(epoch=self._last.epoch, number=self._last.number, record=record)
            for record in self.open_records()
        ]
        entries.append(Entry(epoch=self._last.epoch, number=self._last.number))
        replace_file(self._path, b"".join(line_of(entry.text()) for entry in entries))
        renewed = LineFile(self._path)
        self._file.close()
        self._file = renewed


def _is_over(records: Sequence[PassageRecord]) -> bool:
    """Whether a passage has ended and no deletion receipt is owed for it."""
    if not any(isinstance(record, StateChanged) and record.state in ENDS for record in records):
        return False
    of_the_key = [record for record in records if isinstance(record, Committed | Deleted)]
    return not of_the_key or isinstance(of_the_key[-1], Deleted)
