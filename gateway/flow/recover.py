"""Recover: what a restart took from memory is brought back from where it came from.

In: how the passages stood that were open when the vault before this one ended. Out: the same passages, under their
ids, with their instances again: pulled from the source's PACS (C-FIND over days, keyed digests compared; C-MOVE or
C-GET), or sent again by whoever sent them. What nobody has returned is held as SEND_AGAIN, and asking goes on. Where
only the contourer's deletion receipt is open, it is asked for.

The rest of a series of which the source has more than arrived is pulled in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

import structlog

from gateway.clerk.standing import OpenPassage
from gateway.cloud.contourer import Contourer, Order
from gateway.config import Config, Query
from gateway.dicom.query import Arrived, FoundSeries, Retrieved, Take
from gateway.dicom.storage import StorageService, StoreRequest
from gateway.errors import GatewayError, IntakeError, PassageUnfit, PeerError
from gateway.flow.alarm import Alarm
from gateway.flow.assemble import Assembler
from gateway.flow.chronicle import SERIES, STUDY, Digest
from gateway.flow.pauses import Pauses
from gateway.flow.rules import SeriesFacts
from gateway.flow.series import Series, SeriesKey
from gateway.passage import Passage, State, Step
from gateway.vault.identity import Identity
from gateway.vault.pseudonyms import Pseudonyms

_log = structlog.get_logger()

ARRIVAL_S: Final = 15.0
"""How long after a retrieval its first instance may take."""
ANSWER_S: Final = 3.0
"""How long a source may take to say how many instances it has."""
SILENT_S: Final = 60.0
"""How long a source is not asked again that did not answer."""


UNKNOWN: Final = "unknown"
"""The source of a passage whose beginning a damaged journal lost."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How recovery insists. Times in seconds."""

    first_s: float = 2
    """The first pause between tries; each further one is twice as long."""
    longest_s: float = 300
    person_s: float = 120
    """How long a source may be out of reach before a person is told to send again; the tries go on."""


def queries_of(config: Config) -> Mapping[str, Query]:
    """The sources that can be asked, by their AE titles."""
    return {source.ae_title: source.query for source in config.sources if source.query is not None}


class Asks(Protocol):
    """What asks and retrieves: `gateway.dicom.query.Querier`."""

    async def studies(self, peer: Query, first: date, last: date) -> list[str]: ...

    async def series(self, peer: Query, study_instance_uid: str) -> list[FoundSeries]: ...

    async def count(self, peer: Query, study_instance_uid: str, series_instance_uid: str) -> int: ...

    async def move(self, peer: Query, study_instance_uid: str, series_instance_uid: str) -> Retrieved: ...

    async def get(
        self, peer: Query, study_instance_uid: str, series_instance_uid: str, take: Take
    ) -> Retrieved: ...


class Recovery:
    """Brings instances back.

    Parameters
    ----------
    queries : mapping of str to Query
        By the AE title of the source: those that can be asked; see `queries_of`.
    asks : Asks
    assembler : Assembler
    digest : Digest
        Keyed digest of a value of a kind.
    nobody : callable
        Makes the pseudonyms that stand in until the patient is known again.
    service : StorageService
        Takes the instances that come over our own association (C-GET).
    conduct : callable
        Has a passage conducted.
    changed : callable
        Told of what the console should show.
    contourer : Contourer
    delete : callable
        Has everything of a passage deleted at the contourer, by its exchange.
    """

    def __init__(
        self,
        queries: Mapping[str, Query],
        asks: Asks,
        assembler: Assembler,
        digest: Digest,
        alarm: Alarm,
        service: StorageService,
        contourer: Contourer,
        *,
        nobody: Callable[[], Pseudonyms],
        conduct: Callable[[Series], None],
        changed: Callable[[Series], None],
        delete: Callable[[Series], Awaitable[None]],
        ae_title: str,
        group: asyncio.TaskGroup,
        patience: Patience | None = None,
    ) -> None:
        self._queries = queries
        self._asks = asks
        self._assembler = assembler
        self._digest = digest
        self._alarm = alarm
        self._service = service
        self._contourer = contourer
        self._nobody = nobody
        self._conduct = conduct
        self._changed = changed
        self._delete = delete
        self._ae_title = ae_title
        self._group = group
        self._numbers = itertools.count(-1, -1)  # the acceptor's are positive
        self._patience = patience or Patience()
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._pauses = Pauses()
        self._silent_until: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pulled: set[str] = set()
        self._awaited: list[Series] = []
        self._unasked: list[Series] = []
        """Awaited, too, but nobody is configured whom to ask for it."""

    def take_up(self, passages: Sequence[OpenPassage]) -> None:
        """Show and conduct what was open, before anything new arrives; nothing is asked for yet."""
        newest: dict[str, str] = {
            one.opened.series: one.id for one in passages if one.opened is not None and not one.has_ended
        }
        for before in passages:
            series = self._series(before)
            if before.has_ended:
                self._keep(self._delete_there(series))
                continue
            if series.passage.state is State.RESTORED:
                self._keep(self._delete_there(series))
            elif before.opened is None:  # the journal was damaged: nobody knows what it was
                self._lack(series)
            elif newest[before.opened.series] != before.id:
                series.lack = PassageUnfit("MORE_ARRIVED")
            else:
                self._assembler.expect(series, bytes.fromhex(before.opened.series))
                self._awaited.append(series)
            self._conduct(series)

    def update(self, config: Config) -> None:
        """Take over whom a changed configuration says to ask, and ask at once."""
        self._queries = queries_of(config)
        self._silent_until.clear()
        self._pauses.wake()
        self._awaited, self._unasked = [*self._awaited, *self._unasked], []
        self.start()

    def start(self) -> None:
        """Ask for what is awaited; the acceptor must be up."""
        for series in self._awaited:
            self._keep(self._bring_back(series))
        self._awaited = []

    def stop(self) -> None:
        """Stop asking."""
        for task in list(self._tasks):
            task.cancel()

    async def announced(self, series: Series) -> int | None:
        """How many instances of a series its source has; None where it cannot be asked."""
        source = series.passage.source
        query = self._queries.get(source)
        if query is None or time.monotonic() < self._silent_until.get(source, 0.0):
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._asks.count(query, series.key.study, series.key.series)
        except (PeerError, TimeoutError):
            self._silent_until[source] = time.monotonic() + SILENT_S
            return None

    def pull(self, series: Series) -> None:
        """Have the rest of a series sent, without waiting for it."""
        if series.passage.source in self._queries and series.passage.id not in self._pulled:
            self._pulled.add(series.passage.id)
            self._keep(self._complete(series))

    def _series(self, before: OpenPassage) -> Series:
        opened = before.opened
        source, called = (opened.source, opened.called) if opened else (UNKNOWN, UNKNOWN)
        modality = opened.modality if opened else ""
        delivered = tuple(dict.fromkeys(one.destination for one in before.delivered))
        committed = before.committed
        passage = Passage(
            source=source,
            called=called,
            modality=modality,
            id=before.id,
            pseudonym=(opened.pseudonym or "") if opened else "",
            received=max(before.received, committed.slices if committed else 0),
            delivered_to=delivered,
            history=[Step(State.RECEIVING, opened.at if opened else before.since)],
        )
        series = Series(
            SeriesKey("", "", b""),
            passage,
            SeriesFacts(source, called, modality, "", ""),
            Identity(
                {},
                sequences={},
                character_set=b"",
                study_instance_uid="",
                series_instance_uid="",
                frame_of_reference_uid="",
            ),
            self._nobody(),
            before=before,
            joinable=bytes.fromhex(committed.manifest) if committed else b"",
        )
        if committed:
            passage.model, passage.deliver_to = committed.model, committed.deliver_to
            if committed.deliver_to and set(committed.deliver_to) <= set(delivered):
                # Everybody has it; only the last record is missing.
                passage.history.append(Step(State.RESTORED, before.since))
        return series

    async def _bring_back(self, series: Series) -> None:
        """Ask until the first instances are here, whoever brings them."""
        passage = series.passage
        started, pause_s = time.monotonic(), self._patience.first_s
        while series.is_awaited:
            query = self._queries.get(passage.source)
            if query is None:
                self._unasked.append(series)
                self._lack(series)
                return
            try:
                async with self._turn(passage.source):
                    is_found = await self._is_pulled(series, query)
            except PeerError as error:
                _log.warning("not brought back yet", passage=passage.id, reason=error.code)
                passage.waiting = error
                self._changed(series)
                is_found = True  # as far as anybody knows
            if not series.is_awaited:
                break
            if not is_found or time.monotonic() - started > self._patience.person_s:
                self._lack(series)
            await self._pauses.sleep(pause_s)
            pause_s = min(2 * pause_s, self._patience.longest_s)
        passage.waiting = None
        if passage.state is State.CANCELLED:
            await self._delete_there(series)

    async def _is_pulled(self, series: Series, query: Query) -> bool:
        """Find a series at its source and have it sent; False if it is not there."""
        found = await self._find(series, query)
        if found is None:
            return False
        await self._retrieve(
            series.passage.source, query, found.study_instance_uid, found.series_instance_uid
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(series.came_back.wait(), ARRIVAL_S)
        return True

    async def _find(self, series: Series, query: Query) -> FoundSeries | None:
        opened = series.before.opened if series.before is not None else None
        assert opened is not None
        window = timedelta(days=query.window_days)
        day = opened.at.date()
        for study in await self._asks.studies(query, day - window, day + window):
            if self._digest(STUDY, study.encode()).hex() == opened.study:
                for found in await self._asks.series(query, study):
                    if self._digest(SERIES, found.series_instance_uid.encode()).hex() == opened.series:
                        return found
        return None

    async def _retrieve(self, source: str, query: Query, study: str, series: str) -> Retrieved:
        if query.retrieve == "move":
            try:
                return await self._asks.move(query, study, series)
            except PeerError as error:
                if error.code != "PEER_NO_CONTEXT":
                    raise
        number = next(self._numbers)
        try:
            return await self._asks.get(
                query, study, series, lambda arrived: self._stored(source, number, arrived)
            )
        finally:
            self._service.association_ended(number, source, released=True)

    async def _stored(self, source: str, number: int, arrived: Arrived) -> int:
        """Hand over what came over our own association as if it had been stored to us."""
        request = StoreRequest(
            calling_ae_title=source,
            called_ae_title=self._ae_title,
            address="",
            association=number,
            sop_class_uid=arrived.sop_class_uid,
            sop_instance_uid=arrived.sop_instance_uid,
            transfer_syntax_uid=arrived.transfer_syntax_uid,
            dataset=arrived.dataset,
        )
        try:
            return await self._service.store(request)
        except IntakeError as error:
            return error.dimse_status

    async def _delete_there(self, series: Series) -> None:
        """Have deleted what the contourer may still have of a passage that is not joined."""
        committed = series.before.committed if series.before is not None else None
        if committed is None:
            return
        order, pause_s = Order(series.passage.id, committed.model, committed.profile), self._patience.first_s
        while series.exchange is None:
            try:
                series.exchange = await self._contourer.join(order, series.joinable)
            except GatewayError as error:
                _log.warning("not deleted yet", passage=series.passage.id, reason=error.code)
                if error.code == "CONTOURER_LOST":
                    return  # it cannot be taken up: the missing receipt has its own alarm
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._patience.longest_s)
        await self._delete(series)

    async def _complete(self, series: Series) -> None:
        """Have a series sent that is not whole, a few times if need be."""
        source, pause_s = series.passage.source, self._patience.first_s
        try:
            while not series.is_taken_for_whole and not series.passage.has_ended:
                try:
                    async with self._turn(source):
                        if (query := self._queries.get(source)) is not None:
                            await self._retrieve(source, query, series.key.study, series.key.series)
                except PeerError as error:
                    _log.warning("not completed yet", passage=series.passage.id, reason=error.code)
                await self._pauses.sleep(pause_s)
                pause_s = min(2 * pause_s, self._patience.longest_s)
        finally:
            self._pulled.discard(series.passage.id)

    def _lack(self, series: Series) -> None:
        """Ask a person; what was journalled tells how much is missing."""
        if series.lack is None:
            series.lack = PassageUnfit("SEND_AGAIN", slices=series.passage.received)
            series.arrived.set()
            self._keep(self._alarm.ring(series.passage))

    def _turn(self, source: str) -> asyncio.Semaphore:
        return self._turns.setdefault(source, asyncio.Semaphore(2))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
