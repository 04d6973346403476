"""The clerk: the process that owns the disk.

It holds no identity and no key, cannot open the network, and writes nowhere but in the state folder. In come typed
records from the vault; out go receipts, sent when the records are on the disk. It ends when the vault's end of the
socket is closed, after everything that was sent is written; signals for stopping are the supervisor's business.
"""

from __future__ import annotations

import contextlib
import errno
import json
import select
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gateway.clerk.fields import Names
from gateway.clerk.journal import Entry, Journal
from gateway.clerk.ledger import Ledger
from gateway.clerk.records import Damaged, LedgerFault
from gateway.clerk.wire import (
    LARGEST_MESSAGE,
    TO_CLERK,
    Attach,
    Found,
    Health,
    Hello,
    Open,
    Refused,
    Setup,
    ToVault,
    Trouble,
    Write,
    Written,
    pack,
)
from gateway.config import Protection
from gateway.vault import landlock, memory, seccomp

EX_CONFIG: Final = 78
RETRY_S: Final = 0.5
"""How often a disk that failed is tried again."""
BATCH: Final = 256
"""Records that one wait for the disk may cover."""
BACKLOG: Final = 4096
"""Records that wait for a failed disk before the socket is left to fill."""

_TROUBLES: Final = {
    errno.ENOSPC: Trouble.DISK_FULL,
    errno.EDQUOT: Trouble.DISK_FULL,
    errno.EROFS: Trouble.READ_ONLY,
    errno.EACCES: Trouble.READ_ONLY,
    errno.EPERM: Trouble.READ_ONLY,
}


class Clerk:
    """The clerk's work, apart from the process it runs in.

    Parameters
    ----------
    folder : Path
        The state folder.
    vault : socket
        Our end of the pair, blocking.
    names : Names
        The only names that a record may carry.
    now : callable
        The time.
    """

    def __init__(
        self,
        folder: Path,
        vault: socket.socket,
        names: Names,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._vault = vault
        self._names = names
        self._now = now
        self._journal: Journal | None = None
        self._ledger: Ledger | None = None
        self._epoch: str | None = None
        self._expected = 0
        self._wants_open = False
        self._backlog: list[Entry] = []
        self._trouble: Trouble | None = None
        self._to_tell: list[Damaged] = []

    def run(self) -> None:
        """Work until the vault's end is closed."""
        self._send(Hello())
        self._write()
        while self._receive():
            self._write()
        self._write()

    def _receive(self) -> bool:
        """Take in what there is, at most a batch; wait where there is nothing. False when nothing will come."""
        is_waiting_for_disk = self._trouble is not None
        has_room = len(self._backlog) < BACKLOG
        ready, _, _ = select.select(
            [self._vault] if has_room else [], [], [], RETRY_S if is_waiting_for_disk else None
        )
        if not ready:
            return True
        for _ in range(BATCH):
            try:
                packet = self._vault.recv(LARGEST_MESSAGE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except (
                ConnectionResetError
            ):  # closed with unread receipts; what it sent before is still to be read
                continue
            if not packet:
                return False
            self._take(packet)
        return True

    def _take(self, packet: bytes) -> None:
        try:
            message = TO_CLERK.validate_json(packet, strict=True, context=self._names)
        except ValidationError:
            self._refuse(packet)
            return
        if isinstance(message, Attach):
            self._epoch, self._expected = message.epoch, message.next
            self._wants_open = message.wants_open
            self._send(Health(trouble=self._trouble))
        elif isinstance(message, Write) and self._is_next(message.epoch, message.number):
            self._backlog.append(Entry(epoch=message.epoch, number=message.number, record=message.record))

    def _refuse(self, packet: bytes) -> None:
        place = json.loads(packet)
        epoch, number = place["epoch"], place["number"]
        if self._is_next(epoch, number):
            self._send(Refused(epoch=epoch, number=number))

    def _is_next(self, epoch: str, number: int) -> bool:
        """Whether this is the record that is to come; what a dead clerk left in the socket is not."""
        if epoch != self._epoch or number != self._expected:
            return False
        self._expected += 1
        return True

    def _write(self) -> None:
        try:
            if self._journal is None or self._ledger is None:
                self._open()
            if self._backlog:
                self._write_backlog()
        except OSError as error:
            self._report(_TROUBLES.get(error.errno or 0, Trouble.INPUT_OUTPUT))
            return
        self._report(None)
        if self._wants_open and self._epoch is not None and self._journal is not None:
            self._wants_open = False
            for record in self._journal.open_records():
                self._send(Open(epoch=self._epoch, record=record))
            self._send(Open(epoch=self._epoch))
        while self._epoch is not None and self._to_tell:
            self._send(Found(damage=self._to_tell.pop(0)))

    def _open(self) -> None:
        if self._journal is None:
            self._journal = Journal(self._folder)
        if self._ledger is None:
            ledger = Ledger(self._folder, self._now)
            try:
                self._mend_journal(self._journal, ledger)
            except OSError:
                ledger.close()
                raise
            self._ledger = ledger
        self._collect_damage()

    def _mend_journal(self, journal: Journal, ledger: Ledger) -> None:
        """Take from the ledger what a damaged, cut or older journal does not have."""
        is_behind = ledger.is_ahead_of(journal.last)
        if is_behind or journal.damage:
            size = journal.size
            last = ledger.last_of_passages if is_behind else None
            journal.take_from_ledger(ledger.records_of_passages(), last)
            if is_behind:
                journal.damage.append((LedgerFault.TRUNCATED, size))

    def _write_backlog(self) -> None:
        assert self._journal is not None
        assert self._ledger is not None
        # A record is in the journal before it is in the ledger: a crash in between leaves one that is in flight but
        # not yet evidence, and it comes again.
        self._journal.write(self._backlog)
        self._ledger.write(self._backlog)
        last, head = self._backlog[-1], self._ledger.head
        self._backlog = []
        self._report(None)  # before the receipt: who has a receipt may count on the disk
        self._send(Written(epoch=last.epoch, number=last.number, entries=head.entries, head=head.digest))
        self._collect_damage()

    def _collect_damage(self) -> None:
        assert self._journal is not None
        assert self._ledger is not None
        damage = [
            Damaged(at=self._now(), file="journal", fault=fault, entry=0, offset=offset, signed_entries=0)
            for fault, offset in self._journal.damage
        ]
        if damage:
            self._ledger.add(damage)
            self._journal.damage.clear()
        self._to_tell += [*damage, *self._ledger.damage]
        self._ledger.damage.clear()

    def _report(self, trouble: Trouble | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._send(Health(trouble=trouble))

    def _send(self, message: ToVault) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads; what was sent is still to be written
            self._vault.send(pack(message))


def confine(folder: Path, waived: tuple[Protection, ...]) -> None:
    """Give up the network and every file outside of a folder, for reading too: the clinic key is not the clerk's.

    Raises
    ------
    OSError
        If the kernel cannot do that and it is not waived.
    """
    memory.forbid_core_dumps()
    memory.forbid_foreign_readers()
    try:
        landlock.deny_changes([folder], reading=False, tcp=False)
        seccomp.deny(seccomp.OPEN_SOCKETS)
    except OSError:
        if Protection.LANDLOCK not in waived:
            raise


def run(state_dir: Path, fd: int) -> int:
    """Be the clerk: take the setup from the standard input, then work until the vault's end is closed.

    Parameters
    ----------
    state_dir : Path
    fd : int
        Our end of the socket pair.

    Returns
    -------
    int
        Exit code: 0, or 78 if this machine does not let the clerk be confined.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    setup = Setup.model_validate_json(sys.stdin.buffer.read())
    with socket.socket(fileno=fd) as vault:
        try:
            confine(state_dir, setup.waived)
        except OSError:
            return EX_CONFIG
        Clerk(state_dir, vault, setup.names).run()
    return 0
