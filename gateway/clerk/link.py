"""The vault's side of the clerk: a record goes out, a receipt comes back when it is on the disk.

Records that have no receipt are kept and sent again when a new clerk says hello, so that none is lost with the clerk;
the clerk writes none twice. While nothing can be written the link says so, and the intake waits.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.clerk.chain import sealed_text
from gateway.clerk.records import Damaged, LedgerFault, LedgerSealed, Record
from gateway.clerk.standing import OpenPassage, open_passages
from gateway.clerk.wire import (
    LARGEST_MESSAGE,
    TO_VAULT,
    Attach,
    Found,
    Health,
    Hello,
    Open,
    Refused,
    ToVault,
    Trouble,
    Write,
    Written,
    pack,
)
from gateway.errors import GatewayError, Word

_log = structlog.get_logger()

_T = TypeVar("_T")

PAUSE_AFTER_S: Final = 1.0
"""A receipt that is late by so much pauses the intake."""
WATCH_S: Final = 0.25
SEAL_EVERY_S: Final = 10.0
"""How long entries of the ledger may stay unsigned."""


@dataclass(slots=True)
class _Pending:
    packet: bytes
    receipt: asyncio.Future[None] | None
    """None where nobody waits for it."""
    since: float


class ClerkLink:
    """The link; of one event loop.

    Parameters
    ----------
    fd : int
        The vault's end of the socket pair; the link closes it.
    key : Ed25519PrivateKey
        Signs the ledger; see `gateway.vault.ledger_key`.
    deadline_s : float
        How long a writer waits for a receipt.
    paused, resumed : callable
        Told when nothing can be written any more, and when it can again.
    damaged : callable
        Told what the clerk found wrong with its files.
    waited : callable
        Told for each record how many seconds its receipt took.
    """

    def __init__(
        self,
        fd: int,
        key: Ed25519PrivateKey,
        *,
        deadline_s: float = 30.0,
        paused: Callable[[], None] = lambda: None,
        resumed: Callable[[], None] = lambda: None,
        damaged: Callable[[Damaged], None] = lambda damage: None,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._key = key
        self.deadline_s = deadline_s
        self._paused, self._resumed, self._damaged, self._waited = paused, resumed, damaged, waited
        self._epoch = secrets.token_hex(8)
        self._number = 0
        self._pending: dict[int, _Pending] = {}
        self._next_to_send = 1
        self._attach_first = True
        self._open_before: list[Record] = []
        self._replayed: asyncio.Future[Sequence[OpenPassage]] | None = None
        self._trouble: Trouble | None = None
        self._is_paused = False
        self._watch: asyncio.TimerHandle | None = None
        self._seal_timer: asyncio.TimerHandle | None = None
        self._sealed_entries = 0
        self._sealed_at = -SEAL_EVERY_S
        self._entries, self._head = 0, ""

    @property
    def is_paused(self) -> bool:
        """Whether nothing can be written now."""
        return self._is_paused

    async def start(self) -> None:
        """Attach to the clerk.

        Raises
        ------
        GatewayError
            `CLERK_LOST`, if no clerk answers within the deadline.
        """
        loop = asyncio.get_running_loop()
        self._replayed = loop.create_future()
        loop.add_reader(self._socket, self._read)
        self._pump()
        await self.open_passages()

    async def open_passages(self) -> Sequence[OpenPassage]:
        """How the passages stood that were open when the vault last stopped.

        Whoever takes one up again writes on under its id; whoever cannot must end it with a `StateChanged`, or it
        stands open for ever.

        Raises
        ------
        GatewayError
            `CLERK_LOST`.
        """
        if self._replayed is None:
            raise RuntimeError("the link is not started")
        return await self._in_time(self._replayed)

    async def write(self, record: Record) -> None:
        """Have a record written; return when it is on the disk.

        Raises
        ------
        GatewayError
            `CLERK_LOST` when there is no receipt within the deadline: the record is kept and is still written when
            the clerk can; `RECORD_REFUSED` if the clerk does not take it.
        """
        receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._send(record, receipt)
        await self._in_time(receipt)

    async def close(self) -> None:
        """Sign the ledger, wait for the receipts, let go of the clerk.

        Raises
        ------
        GatewayError
            `CLERK_LOST`, if records are left without a receipt at the deadline.
        """
        try:
            last = [pending.receipt for pending in self._pending.values() if pending.receipt is not None]
            await asyncio.gather(*(self._in_time(receipt) for receipt in last), return_exceptions=True)
            receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._seal(receipt):
                await self._in_time(receipt)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the clerk at once; what has no receipt may be written or not."""
        loop = asyncio.get_running_loop()
        for timer in (self._watch, self._seal_timer):
            if timer is not None:
                timer.cancel()
        if self._socket.fileno() >= 0:
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
        self._socket.close()

    async def _in_time(self, answer: asyncio.Future[_T]) -> _T:
        try:
            async with asyncio.timeout(self.deadline_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise GatewayError("CLERK_LOST") from None

    def _send(self, record: Record, receipt: asyncio.Future[None] | None) -> None:
        self._number += 1
        packet = pack(Write(epoch=self._epoch, number=self._number, record=record))
        self._pending[self._number] = _Pending(packet, receipt, time.monotonic())
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH_S, self._look)
        self._pump()

    def _pump(self) -> None:
        """Send what can be sent now; the rest when the socket has room."""
        loop = asyncio.get_running_loop()
        try:
            if self._attach_first:
                attach = Attach(
                    epoch=self._epoch,
                    next=min(self._pending, default=self._number + 1),
                    wants_open=self._replayed is not None and not self._replayed.done(),
                )
                self._socket.send(pack(attach))
                self._attach_first = False
                self._next_to_send = attach.next
            while (pending := self._pending.get(self._next_to_send)) is not None:
                self._socket.send(pending.packet)
                self._next_to_send += 1
        except BlockingIOError:
            loop.add_writer(self._socket, self._pump)
            return
        except (
            BrokenPipeError,
            ConnectionResetError,
        ):  # clerk and supervisor are gone; writers run out of time
            pass
        loop.remove_writer(self._socket)

    def _read(self) -> None:
        while True:
            try:
                packet = self._socket.recv(LARGEST_MESSAGE)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue
            if not packet:
                asyncio.get_running_loop().remove_reader(self._socket)
                return
            self._take(TO_VAULT.validate_json(packet, strict=True))

    def _take(self, message: ToVault) -> None:
        if isinstance(message, Hello):
            self._attach_first = True
            self._open_before.clear()
            self._pump()
        elif isinstance(message, Health):
            self._trouble = message.trouble
            self._look()
        elif isinstance(message, Found):
            self._damaged(message.damage)
        elif message.epoch != self._epoch:
            return  # meant for the vault before us
        elif isinstance(message, Written):
            self._receive(message)
        elif isinstance(message, Refused):
            self._settle(message.number, GatewayError("RECORD_REFUSED"))
        elif isinstance(message, Open) and self._replayed is not None and not self._replayed.done():
            if message.record is not None:
                self._open_before.append(message.record)
            else:
                self._replayed.set_result(open_passages(self._open_before))

    def _receive(self, written: Written) -> None:
        for number in [number for number in self._pending if number <= written.number]:
            self._settle(number, None)
        self._entries, self._head = written.entries, written.head
        if self._entries < self._sealed_entries:
            self._tell_truncated()
        self._plan_seal()
        self._look()

    def _tell_truncated(self) -> None:
        """The clerk has fewer entries than were signed: an older ledger was put back."""
        damage = Damaged(
            at=datetime.now(UTC),
            file="ledger",
            fault=LedgerFault.TRUNCATED,
            entry=self._entries + 1,
            offset=0,
            signed_entries=self._sealed_entries,
        )
        self._sealed_entries = 0
        self._damaged(damage)

    def _settle(self, number: int, error: GatewayError | None) -> None:
        pending = self._pending.pop(number, None)
        if pending is None:
            return
        if error is None:
            self._waited(time.monotonic() - pending.since)
        if pending.receipt is None or pending.receipt.done():
            return
        if error is None:
            pending.receipt.set_result(None)
        else:
            pending.receipt.set_exception(error)

    def _look(self) -> None:
        """See whether receipts are late, and say so once."""
        if self._watch is not None:
            self._watch.cancel()
        oldest = next(iter(self._pending.values()), None)
        is_late = oldest is not None and time.monotonic() - oldest.since > PAUSE_AFTER_S
        if (is_late or self._trouble is not None) and not self._is_paused:
            self._is_paused = True
            _log.warning("journal paused", trouble=Word(self._trouble or "no answer"))
            self._paused()
        elif self._is_paused and not is_late and self._trouble is None:
            self._is_paused = False
            _log.info("journal resumed")
            self._resumed()
        self._watch = asyncio.get_running_loop().call_later(WATCH_S, self._look) if self._pending else None

    def _plan_seal(self) -> None:
        # the signature is an entry itself and needs no other one
        if self._seal_timer is None and self._entries > self._sealed_entries + 1:
            wait_s = max(0.0, self._sealed_at + SEAL_EVERY_S - time.monotonic())
            self._seal_timer = asyncio.get_running_loop().call_later(wait_s, self._seal)

    def _seal(self, receipt: asyncio.Future[None] | None = None) -> bool:
        self._seal_timer = None
        if self._entries <= self._sealed_entries + 1:
            return False
        at = datetime.now(UTC)
        signature = self._key.sign(sealed_text(self._entries, self._head, at)).hex()
        _log.info("ledger signed", entries=self._entries, head=self._head)
        self._sealed_entries, self._sealed_at = self._entries, time.monotonic()
        self._send(LedgerSealed(at=at, entries=self._entries, head=self._head, signature=signature), receipt)
        return True
