"""Conduct: take each passage from state to state until it ends.

One task for each passage walks the way of `gateway.passage`: the stage of the state it is in, then the next state. What
a stage raises decides: a person is needed (held), or the world is out of order (tried again by itself, forever, with
an alarm at the deadline). Every change is journalled and announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime

import structlog

from gateway.config import Config
from gateway.errors import (
    ContourerRefused,
    ContourerUnavailable,
    DeidentificationError,
    GatewayError,
    IntakeError,
    PassageUnfit,
    PeerError,
    StructureSetUnsound,
)
from gateway.flow.alarm import Alarm
from gateway.flow.chronicle import Chronicle
from gateway.flow.mishap import mishap
from gateway.flow.prepare import Prepare
from gateway.flow.series import Series, Slice
from gateway.metrics import Metrics
from gateway.passage import WAY, Passage, State, Step

_log = structlog.get_logger()

FIRST_RETRY_S = 2.0
LAST_RETRY_S = 120.0
OUT_OF_RESOURCES = 0xA700

NEEDS_A_PERSON = (PassageUnfit, DeidentificationError, ContourerRefused, StructureSetUnsound)
TRIED_AGAIN = (ContourerUnavailable, PeerError)

Stage = Callable[[Series], Awaitable[None]]


class Conductor:
    """Owns the tasks of all passages.

    Parameters
    ----------
    stages : mapping of State to Stage
        What is done in a state, before the next one is entered.
    changed : callable
        Told of every change that the console should show.
    ended : callable
        Awaited once for each passage that has ended, to drop what memory holds of it.
    """

    def __init__(
        self,
        config: Config,
        prepare: Prepare,
        stages: Mapping[State, Stage],
        chronicle: Chronicle,
        metrics: Metrics,
        alarm: Alarm,
        *,
        changed: Callable[[Series], None],
        ended: Callable[[Series], Awaitable[None]],
        group: asyncio.TaskGroup,
    ) -> None:
        self._config = config
        self._prepare = prepare
        self._stages = stages
        self._chronicle = chronicle
        self._metrics = metrics
        self._alarm = alarm
        self._changed = changed
        self._ended = ended
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    async def joined(self, series: Series, slice_: Slice) -> None:
        """Take over an instance that has just joined a series; returns when its sender may be answered.

        Raises
        ------
        IntakeError
            If the journal cannot be written.
        """
        if series.journalled is None:
            series.journalled = asyncio.get_running_loop().create_future()
            self._metrics.passages.labels(State.RECEIVING).inc()
            self._begin(series, self._conduct(series, series.journalled))
        self._prepare.begin(series, slice_)
        self._changed(series)
        # Shielded: the sender may vanish while it waits, the passage goes on.
        if not await asyncio.shield(series.journalled):
            raise IntakeError("INTAKE_PAUSED", OUT_OF_RESOURCES)

    def take_up(self, series: Series) -> None:
        """Conduct a passage that was open before a restart; its record is there already."""
        series.journalled = asyncio.get_running_loop().create_future()
        series.journalled.set_result(True)
        self._metrics.passages.labels(series.passage.state).inc()
        self._begin(series, self._conduct_to_its_end(series))
        self._changed(series)

    def stop(self) -> None:
        """Conduct nothing any more, also what a restart took away and nobody waits for; the journal has it all."""
        for task in list(self._tasks):
            task.cancel()

    async def move(self, series: Series, to: State, error: GatewayError | None = None) -> None:
        """Enter a state: journalled, counted and announced."""
        passage = series.passage
        left, since = passage.state, passage.since
        step = passage.move(to, error=error)
        self._metrics.stage_seconds.labels(left).observe(max(0.0, (step.at - since).total_seconds()))
        self._metrics.passages.labels(left).dec()
        if passage.has_ended:
            self._metrics.passages_ended_total.labels(to, step.reason or "").inc()
        else:
            self._metrics.passages.labels(to).inc()
        if error is not None:
            self._metrics.held_total.labels(error.code).inc()
        _log.info("passage", passage=passage.id, state=to, reason=step.reason)
        self._changed(series)
        await self._record(passage, step)

    def _begin(self, series: Series, work: Coroutine[None, None, None]) -> None:
        series.task = self._group.create_task(work)
        self._tasks.add(series.task)
        series.task.add_done_callback(self._tasks.discard)

    async def _record(self, passage: Passage, step: Step) -> None:
        """Journal a step. Where the disk is out of order the record waits in memory, and so does the intake."""
        try:
            await self._chronicle.moved(passage, step)
        except GatewayError as error:
            if error.code != "CLERK_LOST":
                raise
            _log.warning("step not journalled yet", passage=passage.id, reason=error.code)

    async def _conduct(self, series: Series, journalled: asyncio.Future[bool]) -> None:
        if not await self._is_journalled(series):
            await self._give_up(series)
            journalled.set_result(False)
            return
        journalled.set_result(True)
        await self._conduct_to_its_end(series)

    async def _conduct_to_its_end(self, series: Series) -> None:
        alarm = self._group.create_task(self._sound_alarm(series))
        try:
            if series.before is not None:
                await self._record(series.passage, Step(series.passage.state, datetime.now(UTC)))
            while not series.passage.has_ended:
                await self._advance(series)
        except asyncio.CancelledError:
            if not series.is_superseded:
                raise
            await self.move(series, State.HELD, PassageUnfit("MORE_ARRIVED"))
            await self.move(series, State.CANCELLED)
        finally:
            alarm.cancel()
        await self._ended(series)

    async def _is_journalled(self, series: Series) -> bool:
        try:
            await self._chronicle.opened(series)
        except GatewayError:
            return False
        return True

    async def _give_up(self, series: Series) -> None:
        """Undo a passage of which no record could be made; its senders are told to try again."""
        self._metrics.passages.labels(series.passage.state).dec()
        series.passage.move(State.FAILED, error=PassageUnfit("INTAKE_PAUSED"))
        self._changed(series)
        await self._ended(series)

    async def _advance(self, series: Series) -> None:
        passage = series.passage
        if passage.state is State.HELD:
            await self._await_decision(series)
            return
        try:
            await self._until_possible(series, self._stages[passage.state])
        except NEEDS_A_PERSON as error:
            await self.move(series, State.HELD, error)
        except Exception as fault:  # noqa: BLE001 - one series must not end all others, now and after each restart
            await self.move(series, State.HELD, mishap(fault, passage.id))
        else:
            await self.move(series, WAY[WAY.index(passage.state) + 1])

    async def _await_decision(self, series: Series) -> None:
        came_from = series.passage.held_from
        await series.decided.wait()
        series.decided.clear()
        if series.is_cancelled or came_from is None:
            await self.move(series, State.CANCELLED)
            return
        if came_from is State.COMPLETE:
            # New slices may still be arriving: the series is whole again only after another quiet time.
            await self._stages[State.RECEIVING](series)
            series.decided.clear()
        await self.move(series, came_from)

    async def _until_possible(self, series: Series, stage: Stage) -> None:
        """Run a stage, again and again while only the world is out of order."""
        pause = FIRST_RETRY_S
        while True:
            try:
                await stage(series)
            except GatewayError as error:
                if not isinstance(error, TRIED_AGAIN) and error.code != "CLERK_LOST":
                    raise
                series.passage.waiting = error
                _log.warning(
                    "waiting", passage=series.passage.id, state=series.passage.state, reason=error.code
                )
                self._changed(series)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_S)
            else:
                series.passage.waiting = None
                return

    async def _sound_alarm(self, series: Series) -> None:
        """Mark a passage that is late, by a monotonic clock."""
        # After a restart only the wall clock knows how old it is; one that was set back makes nothing younger than now.
        age_s = max(0.0, (datetime.now(UTC) - series.passage.started).total_seconds())
        await asyncio.sleep(max(0.0, self._config.passage.deadline_s - age_s))
        series.passage.is_late = True
        self._metrics.deadline_passed_total.inc()
        _log.error("late", passage=series.passage.id, state=series.passage.state, reason="DEADLINE_PASSED")
        self._changed(series)
        await self._alarm.ring(series.passage)
