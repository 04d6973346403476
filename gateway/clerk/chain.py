"""The ledger's chain, and the search for everything that can be wrong with it (R33).

Each entry carries the SHA-256 of the entry before it, so that whatever is changed, removed or exchanged breaks the
chain. Who can write the file could compute a new chain; therefore the vault signs its head, with an Ed25519 key that
comes from the clinic key and that the clerk never has. The signatures stand in the chain, and the last one also in a
file of its own, which tells how long the ledger was. An older copy of both files together is noticed only by someone
who noted a later head: the log tells it at each signature.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.clerk.fields import Count, Digest
from gateway.clerk.journal import NOTHING, Epoch, Mark
from gateway.clerk.lines import Line, Scan, scan
from gateway.clerk.records import Damaged, LedgerFault, LedgerSealed, OfPassage, Record, write_record

FILE_NAME: Final = "ledger"
START: Final = "0" * 64
"""What the first entry follows."""
_SEAL_LABEL: Final = b"contourgate ledger seal 1\0"


_PLACE: Final = re.compile(
    rb'\{"previous":"(?P<previous>[0-9a-f]{64})","entry":(?P<entry>\d{1,16}),'
    rb'"epoch":"(?P<epoch>[0-9a-f]{16})","number":(?P<number>\d{1,16}),'
    rb'"record":\{.*"kind":"(?P<kind>\w+)".*\}\}'
)
"""An entry is read with this, not as JSON, because there may be a million."""


_OF_PASSAGES: Final = frozenset(
    each.model_fields["kind"].default.encode() for each in OfPassage.__subclasses__() if each.is_evidence
)
_OF_THE_LEDGER: Final = frozenset(
    each.model_fields["kind"].default.encode() for each in (LedgerSealed, Damaged)
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where the ledger ends."""

    entries: int
    digest: str
    """SHA-256 of the last entry, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a ledger, and where."""

    kind: LedgerFault
    entry: int
    """The first entry that is wrong or missing, from 1."""
    offset: int
    """Where that is in its file, bytes."""
    file: str = FILE_NAME
    is_recorded: bool = False
    """Whether the clerk noticed it at the time and wrote it into the ledger."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found."""

    head: Head
    last: Mark
    """Up to where the vault's records are in it."""
    passages: Mark
    """Up to where its records of passages are in it."""
    epochs: frozenset[str]
    """Every life of the vault that it knows."""
    signed_entries: int
    """How many entries the last signature covers; later ones are chained but not yet signed."""
    faults: tuple[Fault, ...]
    torn: int
    """Bytes at the end that a crash cut off: no fault."""


class LedgerEntry(BaseModel):
    """A record in the chain."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    previous: Digest
    entry: Count
    epoch: Epoch
    number: Count
    record: Annotated[Record, Field(discriminator="kind")]

    def text(self) -> bytes:
        """As one line."""
        start = f'{{"previous":"{self.previous}","entry":{self.entry},"epoch":"{self.epoch}",'
        return f'{start}"number":{self.number},"record":'.encode("ascii") + write_record(self.record) + b"}"


def sealed_text(entries: int, head: str, at: datetime) -> bytes:
    """What the vault signs.

    Parameters
    ----------
    entries : int
        How many entries there are.
    head : str
        SHA-256 of the last one, hexadecimal.
    at : datetime
    """
    return _SEAL_LABEL + entries.to_bytes(8) + bytes.fromhex(head) + at.isoformat().encode("ascii")


def verify(
    data: bytes,
    sealed_head: LedgerSealed | None = None,
    keys: Sequence[Ed25519PublicKey] = (),
    noted: Head | None = None,
) -> Verdict:
    """Look for everything that can be wrong with a ledger of one file; see `Verification`."""
    verification = Verification(keys)
    verification.walk(scan(data))
    return verification.verdict(sealed_head, noted)


class Verification:
    """The search for everything that can be wrong with a ledger, file after file.

    Parameters
    ----------
    keys : sequence of Ed25519PublicKey
        The vault's, one for each clinic key there was; without any no signature is checked, only what was signed.
    has_start : bool
        Whether the first file that is walked is the ledger's first; otherwise what came before it is taken on trust.
    """

    def __init__(self, keys: Sequence[Ed25519PublicKey], *, has_start: bool = True) -> None:
        self._keys = keys
        self._file = FILE_NAME
        self._faults: list[Fault] = []
        self._digests: dict[int, str] = {0: START} if has_start else {}
        self._next = 1
        self._previous: str | None = START
        """None after a damaged line, whose true digest nobody knows."""
        self._knows_start = has_start
        self._last = self._passages = NOTHING
        self._epochs: set[str] = set()
        self._seals = 0
        self._signed_entries = 0
        self._noticed: set[tuple[LedgerFault, int]] = set()
        self._recorded: set[tuple[LedgerFault, int]] = set()
        self._size = self._torn = 0

    def walk(self, found: Scan, file: str = FILE_NAME) -> None:
        """Go along the next file.

        Parameters
        ----------
        found : Scan
        file : str
            Its name, for what is wrong in it.
        """
        self._file, self._size, self._torn = file, found.size, found.torn
        places: dict[int, Line | None] = {line.offset: line for line in found.lines}
        places.update(dict.fromkeys(found.damaged))
        for offset, line in sorted(places.items()):
            if line is None:
                self._fault(LedgerFault.LINE_DAMAGED, self._next, offset)
                self._next += 1
                self._previous = None
            else:
                self._step(line)

    def verdict(self, sealed_head: LedgerSealed | None, noted: Head | None = None) -> Verdict:
        """What was found.

        Parameters
        ----------
        sealed_head : LedgerSealed, optional
            What the file of the last signature holds.
        noted : Head, optional
            A head that somebody noted elsewhere; the ledger must still contain it.
        """
        if sealed_head is not None:
            self._check_seal(sealed_head, self._size)
        elif self._seals > 1:  # the first one may have been cut off by a crash
            self._fault(LedgerFault.HEAD_MISSING, self._next, self._size)
        if noted is not None:
            self._check_contains(noted, self._size)
        return Verdict(
            head=Head(self._next - 1, self._previous or START),
            last=self._last,
            passages=self._passages,
            epochs=frozenset(self._epochs),
            signed_entries=self._signed_entries,
            faults=tuple(
                replace(fault, is_recorded=(fault.kind, fault.entry) in self._recorded)
                for fault in self._faults
            ),
            torn=self._torn,
        )

    def _step(self, line: Line) -> None:
        match = _PLACE.match(line.text)
        if match and not self._knows_start:
            self._knows_start = True
            self._next, self._previous = int(match["entry"]), match["previous"].decode()
            self._digests[self._next - 1] = self._previous
        number = int(match["entry"]) if match else self._next
        follows = self._previous is None or (
            match is not None and match["previous"].decode() == self._previous
        )
        if match is None or number != self._next or not follows:
            self._fault(LedgerFault.CHAIN_BROKEN, min(number, self._next), line.offset)
        self._digests[number] = line.digest
        self._previous = line.digest
        self._next = number + 1
        if match is None:
            return
        self._last = Mark(match["epoch"].decode(), int(match["number"]))
        self._epochs.add(self._last.epoch)
        if match["kind"] in _OF_PASSAGES:
            self._passages = self._last
        elif match["kind"] in _OF_THE_LEDGER:
            self._read_own(line)

    def _read_own(self, line: Line) -> None:
        try:
            record = LedgerEntry.model_validate_json(line.text).record
        except ValidationError:
            self._fault(LedgerFault.LINE_DAMAGED, self._next - 1, line.offset)
            return
        if isinstance(record, LedgerSealed):
            self._seals += 1
            self._check_seal(record, line.offset)
        elif isinstance(record, Damaged) and record.file == FILE_NAME:
            self._recorded.add((record.fault, record.entry))

    def _check_seal(self, seal: LedgerSealed, offset: int) -> None:
        if self._keys and not any(_is_signed(seal, key) for key in self._keys):
            self._fault(LedgerFault.SEAL_INVALID, self._signed_entries + 1, offset)
            return
        if self._check_contains(Head(seal.entries, seal.head), offset):
            self._signed_entries = max(self._signed_entries, seal.entries)

    def _check_contains(self, head: Head, offset: int) -> bool:
        if head.entries >= self._next:
            self._fault(LedgerFault.TRUNCATED, self._next, offset)
        elif head.entries < min(self._digests):
            return False  # before the files that were walked
        elif self._digests.get(head.entries) != head.digest:
            self._fault(LedgerFault.SEAL_MISMATCH, self._signed_entries + 1, offset)
        else:
            return True
        return False

    def _fault(self, kind: LedgerFault, entry: int, offset: int) -> None:
        """Note the first of a kind at an entry: one alteration makes every later signature not fit."""
        if (kind, entry) not in self._noticed:
            self._noticed.add((kind, entry))
            self._faults.append(Fault(kind, entry, offset, self._file))


def _is_signed(seal: LedgerSealed, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(bytes.fromhex(seal.signature), sealed_text(seal.entries, seal.head, seal.at))
    except InvalidSignature:
        return False
    return True
