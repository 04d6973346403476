"""Delivery: restored structure sets go to their destinations, however long that takes.

In: a Part 10 stream for a destination. Out: the knowledge that the destination has it. Each destination has its own
line, in which one association at a time is open; one that is down delays no other. What failed is sent again, always
as the same SOP instance, after growing pauses and without end; a person sees each failure, and is asked where the
destination refuses the object itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from gateway.config import Destination
from gateway.dicom.part10 import Part10
from gateway.dicom.store_status import Verdict, judge
from gateway.errors import GatewayError, PassageUnfit, PeerError
from gateway.flow.pauses import Pauses
from gateway.metrics import Metrics

__all__ = ["Delivered", "Deliveries", "Finds", "Line", "Patience", "Stores", "Trouble"]


class Stores(Protocol):
    """What sends: `gateway.dicom.scu.Scu`."""

    async def store(self, peer: Destination, objects: Sequence[bytes]) -> list[int]: ...


class Finds(Protocol):
    """What asks: `gateway.dicom.find.Finder`."""

    async def has(self, peer: Destination, part: Part10) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How delivery insists. Times in seconds."""

    first_s: float = 2
    """The first pause; each further one is about twice as long."""
    longest_s: float = 120
    alarm_s: float = 600
    """How long a delivery may take before the alarm is raised; it goes on."""
    refusals: int = 3
    """How often a destination may refuse an object before a person is asked."""
    confirm_s: float = 20
    """How long a destination may take until its index knows what it has stored."""
    unseen: int = 2
    """How often it may say that it has not what it has accepted before a person is asked."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A destination has the object."""

    destination: str
    verdict: Verdict
    status: int
    """Of the last C-STORE response."""
    is_confirmed: bool
    """Whether it said so when asked (C-FIND)."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A try that failed."""

    passage_id: str
    destination: str
    error: GatewayError
    attempt: int
    pause_s: float
    """Until the next one."""
    is_alarm: bool
    """Whether the delivery takes too long as of now; said once."""


class Line:
    """The line before one destination; what a person may see and do."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.waiting = 0
        """Deliveries not yet done."""
        self.error: GatewayError | None = None
        """Why the last try failed; None after a success."""
        self.turn = asyncio.Lock()
        self.pauses = Pauses()
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_paused(self) -> bool:
        """Whether a person has stopped it."""
        return not self._open.is_set()

    def pause(self) -> None:
        """Send nothing from now on; an association under way is finished."""
        self._open.clear()

    def resume(self) -> None:
        """Send again, at once."""
        self._open.set()
        self.pauses.wake()

    async def may_send(self) -> None:
        """Wait while it is paused."""
        await self._open.wait()


class Deliveries:
    """All lines.

    Parameters
    ----------
    destinations : iterable of Destination
    scu : Stores
    finder : Finds
    metrics : Metrics
    patience : Patience, optional
    troubled : callable, optional
        Told of every try that failed.
    recovered : callable, optional
        Told the name of each destination that nothing waits for any more, or that has taken something.
    """

    def __init__(
        self,
        destinations: Iterable[Destination],
        scu: Stores,
        finder: Finds,
        metrics: Metrics,
        *,
        patience: Patience | None = None,
        troubled: Callable[[Trouble], None] = lambda _: None,
        recovered: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._lines = {destination.name: Line(destination) for destination in destinations}
        self._scu = scu
        self._finder = finder
        self._metrics = metrics
        self._patience = patience or Patience()
        self._troubled = troubled
        self._recovered = recovered

    @property
    def lines(self) -> Mapping[str, Line]:
        """The lines by the destination's name."""
        return MappingProxyType(self._lines)

    def update(self, destinations: Iterable[Destination]) -> None:
        """Take over a changed configuration: corrected destinations are tried at once, new ones get lines.

        One that is not configured any more keeps its line: passages on their way may still name it.
        """
        for destination in destinations:
            line = self._lines.setdefault(destination.name, Line(destination))
            line.destination = destination
            line.pauses.wake()

    async def deliver(self, passage_id: str, name: str, part10: bytes) -> Delivered:
        """Bring an object to a destination.

        It returns when the destination has it; there is no other end but a person's: cancel the task, or hold the
        passage that was refused.

        Parameters
        ----------
        passage_id : str
        name : str
            The destination's.
        part10 : bytes
            The same SOP instance for every call about one passage and one destination.

        Raises
        ------
        PassageUnfit
            DELIVERY_REFUSED with the status, or DELIVERY_UNCONFIRMED.
        """
        line = self._lines[name]
        delivery = _Delivery(line, passage_id, part10, self._scu, self._finder, self._patience)
        line.waiting += 1
        try:
            return await self._insist(delivery, line)
        finally:
            line.waiting -= 1
            if line.waiting == 0 or line.error is None:
                self._recovered(name)

    async def is_there(self, name: str, part10: bytes) -> bool:
        """Whether a destination says that it has an object already; False where it cannot be asked."""
        destination = self._lines[name].destination
        if not destination.confirm:
            return False
        with contextlib.suppress(PeerError):
            return await self._finder.has(destination, Part10.of(part10)) is True
        return False

    async def _insist(self, delivery: _Delivery, line: Line) -> Delivered:
        patience = self._patience

        def note(state: RetryCallState) -> None:
            trouble = delivery.trouble(state)
            line.error = trouble.error
            self._metrics.deliveries_total.labels(trouble.destination, Verdict.LATER.value).inc()
            self._troubled(trouble)

        trying = AsyncRetrying(
            retry=retry_if_exception_type(PeerError),
            wait=wait_exponential_jitter(
                multiplier=patience.first_s, max=patience.longest_s, jitter=patience.first_s
            ),
            before_sleep=note,
            sleep=line.pauses.sleep,
            reraise=True,
        )
        try:
            delivered: Delivered = await trying(delivery.attempt)
        except PassageUnfit as refusal:
            line.error = refusal
            self._metrics.deliveries_total.labels(line.destination.name, Verdict.REFUSED.value).inc()
            raise
        line.error = None
        line.pauses.wake()
        self._metrics.deliveries_total.labels(delivered.destination, delivered.verdict.value).inc()
        return delivered


class _Delivery:
    """One object on its way to one destination."""

    def __init__(
        self, line: Line, passage_id: str, part10: bytes, scu: Stores, finder: Finds, patience: Patience
    ) -> None:
        self._line = line
        self._passage_id = passage_id
        self._part10 = part10
        self._part = Part10.of(part10)
        self._scu = scu
        self._finder = finder
        self._patience = patience
        self._started = time.monotonic()
        self._is_alarmed = False
        self._attempts = 0
        self._refused = 0
        self._unseen = 0

    async def attempt(self) -> Delivered:
        """One try, when it is its turn.

        Raises
        ------
        PeerError
            Worth another try.
        PassageUnfit
            A person is needed.
        """
        line = self._line
        async with line.turn:
            await line.may_send()
            self._attempts += 1
            destination = line.destination
            [status] = await self._scu.store(destination, [self._part10])
            verdict = judge(status)
            if verdict is Verdict.REFUSED:
                self._refused += 1
                if self._refused >= self._patience.refusals:
                    raise PassageUnfit("DELIVERY_REFUSED", status=status)
            if verdict in (Verdict.REFUSED, Verdict.LATER):
                raise PeerError("PEER_STATUS", status=status)
            has = await self._confirmed(destination) if destination.confirm else None
        if has is False:
            self._unseen += 1
            unfit = self._unseen >= self._patience.unseen
            raise PassageUnfit("DELIVERY_UNCONFIRMED") if unfit else PeerError("DELIVERY_UNCONFIRMED")
        return Delivered(destination.name, verdict, status, has is True, self._attempts)

    async def _confirmed(self, destination: Destination) -> bool | None:
        """Ask until the destination's index knows the object, or its time is over; None where it cannot be asked."""
        end = time.monotonic() + self._patience.confirm_s
        pause_s = 0.1
        while True:
            has = await self._finder.has(destination, self._part)
            if has is not False or time.monotonic() + pause_s > end:
                return has
            await asyncio.sleep(pause_s)
            pause_s *= 2

    def trouble(self, state: RetryCallState) -> Trouble:
        """What to tell of a try that failed."""
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, PeerError):
            raise TypeError("only a peer's errors are retried")
        is_late = time.monotonic() - self._started > self._patience.alarm_s
        is_alarm, self._is_alarmed = is_late and not self._is_alarmed, is_late
        return Trouble(
            self._passage_id,
            self._line.destination.name,
            error,
            self._attempts,
            state.upcoming_sleep,
            is_alarm,
        )
