"""The audit ledger: evidence that cannot be altered unnoticed (R33).

Each entry carries the SHA-256 of the entry before it; the vault's signatures stand among them, and the last one also
in a file of its own: see `gateway.clerk.chain`. What is found wrong is written into the ledger itself, so that it
stays known, and the chain goes on from there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from gateway.clerk.chain import FILE_NAME, Fault, Head, LedgerEntry, Verdict, Verification
from gateway.clerk.journal import NOTHING, Entry, Mark, is_new
from gateway.clerk.lines import LineFile, replace_file, scan
from gateway.clerk.records import (
    Damaged,
    LedgerFault,
    LedgerSealed,
    OfPassage,
    PassageRecord,
    Record,
    read_record,
    write_record,
)

HEAD_FILE_NAME: Final = "ledger.head"
FILE_BYTES: Final = 16 * 2**20
"""A file that is larger is set aside after the next signature; only the last two are read at the start."""


def read_sealed_head(folder: Path) -> LedgerSealed | None:
    """The last signature, from its own file; None where that is missing or damaged."""
    try:
        record = read_record((folder / HEAD_FILE_NAME).read_bytes(), None)
    except (FileNotFoundError, ValidationError):
        return None
    return record if isinstance(record, LedgerSealed) else None


def older_files(folder: Path) -> list[Path]:
    """The files that the ledger has filled, oldest first; the one that it fills now is `ledger`."""
    return sorted(path for path in folder.glob(f"{FILE_NAME}.[0-9]*") if path.suffix[1:].isdecimal())


def verify_folder(folder: Path, keys: Sequence[Ed25519PublicKey] = (), noted: Head | None = None) -> Verdict:
    """Verify a whole ledger, also while a clerk writes on; see `gateway.clerk.chain.Verification`.

    Parameters
    ----------
    folder : Path
    keys : sequence of Ed25519PublicKey
    noted : Head, optional

    Raises
    ------
    OSError
        If a file is there but cannot be read.
    """
    while True:
        sealed = read_sealed_head(folder)  # before the entries, so that they are never the older of the two
        verification = Verification(keys)
        older = older_files(folder)
        for path in older:
            verification.walk(scan(path.read_bytes()), path.name)
        try:
            verification.walk(scan((folder / FILE_NAME).read_bytes()))
        except FileNotFoundError:
            verification.walk(scan(b""))
        if older_files(folder) == older:  # else it was filled and set aside meanwhile
            return verification.verdict(sealed, noted)


class Ledger:
    """The ledger, open for appending.

    Parameters
    ----------
    folder : Path
    now : callable
        The time, for what the clerk itself has to tell.

    Raises
    ------
    OSError
        If it cannot be read and written now.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder: Final = folder
        self._now = now
        self._file = LineFile(folder / FILE_NAME)
        self._sealed = read_sealed_head(folder)
        self._head_is_written = True
        self.damage: Final[list[Damaged]] = []
        """What was found wrong and was not known before; whoever tells it clears it."""
        try:
            self._take_up()
        except OSError:
            self._file.close()
            raise

    @property
    def head(self) -> Head:
        """Where it ends."""
        return self._head

    @property
    def last(self) -> Mark:
        """Up to where records were written."""
        return self._last

    def is_ahead_of(self, journal: Mark) -> bool:
        """Whether records of passages are here that a journal up to that mark does not have.

        A record is in the journal before it is here, so such a journal was cut or is an older copy.
        """
        if journal.epoch == self._passages.epoch:
            return journal.number < self._passages.number
        return self._passages != NOTHING and (journal == NOTHING or journal.epoch in self._epochs)

    @property
    def last_of_passages(self) -> Mark:
        """Up to where records of passages were written."""
        return self._passages

    def records_of_passages(self) -> list[PassageRecord]:
        """The records of passages, ended or not, of this file and the one before."""
        records: list[PassageRecord] = []
        for path in (*older_files(self._folder)[-1:], self._file.path):
            for line in scan(path.read_bytes()).lines:
                try:
                    record = LedgerEntry.model_validate_json(line.text).record
                except ValidationError:  # what is no entry was told as a fault
                    continue
                if isinstance(record, OfPassage):
                    records.append(record)
        return records

    def write(self, entries: Sequence[Entry]) -> None:
        """Append the records that belong here and are new; they are on the disk when this returns.

        Raises
        ------
        OSError
            Then call it again with the same entries: those that are written are not written twice.
        """
        new = [
            (entry.mark, entry.record)
            for entry in entries
            if entry.record is not None and entry.record.is_evidence and is_new(entry.mark, self._last)
        ]
        if new:
            try:
                self._append(new)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
                self._reopen()
                self._append(new)
        if not self._head_is_written and self._sealed is not None:
            replace_file(self._folder / HEAD_FILE_NAME, write_record(self._sealed) + b"\n")
            self._head_is_written = True
            if self._file.size > FILE_BYTES:
                with contextlib.suppress(OSError):  # it is tried again after the next signature
                    self._set_aside()

    def add(self, records: Sequence[Record]) -> None:
        """Append what the clerk itself has to tell.

        Raises
        ------
        OSError
        """
        self._append([(self._last, record) for record in records])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _take_up(self, *known: Fault) -> None:
        older = older_files(self._folder)
        verification = Verification((), has_start=len(older) < 2)
        for path in older[-1:]:
            verification.walk(scan(path.read_bytes()), path.name)
        verification.walk(self._file.take_found())
        verdict = verification.verdict(self._sealed)
        self._head, self._last = verdict.head, verdict.last
        self._passages, self._epochs = verdict.passages, verdict.epochs
        faults = [*known, *(fault for fault in verdict.faults if not fault.is_recorded)]
        if faults:
            signed = self._sealed.entries if self._sealed else 0
            told = [
                Damaged(
                    at=self._now(),
                    file=FILE_NAME,
                    fault=f.kind,
                    entry=f.entry,
                    offset=f.offset,
                    signed_entries=signed,
                )
                for f in faults
            ]
            self.add(told)
            self.damage.extend(told)

    def _set_aside(self) -> None:
        """Begin a new file; the chain goes on in it."""
        older = older_files(self._folder)
        number = int(older[-1].suffix[1:]) + 1 if older else 1
        (self._folder / FILE_NAME).rename(self._folder / f"{FILE_NAME}.{number:06d}")
        renewed = LineFile(self._folder / FILE_NAME)  # waits for the folder, too
        self._file.close()
        self._file = renewed

    def _reopen(self) -> None:
        known = Fault(LedgerFault.CHANGED_MEANWHILE, self._head.entries, self._file.size)
        renewed = LineFile(self._folder / FILE_NAME)
        self._file.close()
        self._file = renewed
        self._take_up(known)

    def _append(self, records: Sequence[tuple[Mark, Record]]) -> None:
        head, texts = self._head, []
        for mark, record in records:
            entry = LedgerEntry(
                previous=head.digest,
                entry=head.entries + 1,
                epoch=mark.epoch,
                number=mark.number,
                record=record,
            )
            texts.append(entry.text())
            head = Head(head.entries + 1, hashlib.sha256(texts[-1]).hexdigest())
        self._file.append(texts)
        self._head, self._last = head, records[-1][0]
        for _, record in records:
            if isinstance(record, LedgerSealed):
                self._sealed, self._head_is_written = record, False
