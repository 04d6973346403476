"""Receive: wait until a series is whole.

In: a series of which instances arrive. Out: the series when no more of it is to come. Where its source can be asked,
the number of instances decides, at once; otherwise silence does. Refuses, with `PassageUnfit`: a series of which the
source has more than arrived (INCOMPLETE, with the number missing; they are pulled meanwhile), one whose sender
vanished, and one that a restart took away and that nobody has returned yet (SEND_AGAIN).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.config import Config
from gateway.errors import GatewayError, PassageUnfit
from gateway.flow.assemble import Assembler
from gateway.flow.chronicle import Chronicle
from gateway.flow.series import Series

CUT_OFF_WAIT_S: Final = 60.0
"""How long a series whose sender vanished waits for the rest before a person is asked."""
SETTLE_S: Final = 0.2
"""How long nothing arrived before the source is asked, of a series that came over one association."""
SETTLE_MANY_S: Final = 2.0
"""The same of one that comes over several: the source itself may still be receiving what it passes on."""
COUNT_EVERY_S: Final = 1.0
"""How often the number of instances is journalled."""

Announced = Callable[[Series], Awaitable[int | None]]
"""How many instances of a series its source has; None where it cannot be asked."""


class Receive:
    """The first stage.

    Parameters
    ----------
    config : Config
    assembler : Assembler
    chronicle : Chronicle
    announced : Announced
    pull : callable
        Asked to have the rest of a series sent, without waiting for it.
    """

    def __init__(
        self,
        config: Config,
        assembler: Assembler,
        chronicle: Chronicle,
        announced: Announced,
        pull: Callable[[Series], None],
    ) -> None:
        self._quiet_s = config.passage.quiet_time_s
        self._idle_s = config.limits.idle_s
        self._stalled_s = config.limits.idle_s + config.limits.message_s
        self._assembler = assembler
        self._chronicle = chronicle
        self._announced = announced
        self._pull = pull

    async def __call__(self, series: Series) -> None:
        """Return when the series is whole.

        Raises
        ------
        PassageUnfit
            INCOMPLETE, SEND_AGAIN.
        """
        is_whole = await self._is_whole(series)
        await self._count(series, is_last=True)
        if is_whole or series.conflict is not None:
            return
        here = len(series.slices)
        if series.accepted_at == here:
            return  # released by a person, it goes on with what is here
        missing = (series.announced or 0) - here
        if missing > 0:
            self._pull(series)
            series.accepted_at = here
            raise PassageUnfit("INCOMPLETE", slices=here, missing=missing)
        if series.is_cut_off or self._assembler.is_remainder(series):
            series.is_cut_off = False
            series.accepted_at = here
            raise PassageUnfit("INCOMPLETE", slices=here)

    async def _is_whole(self, series: Series) -> bool:
        """Wait until the source says that all is here (True), or for silence or a conflict (False)."""
        while True:
            series.arrived.clear()
            if series.conflict is not None:
                return False
            if not series.slices:
                await self._first(series)
                continue
            await self._count(series)
            silent = time.monotonic() - series.last_arrival
            limit, settle = self._limit(series), self._settle(series)
            if silent >= min(limit, settle) and self._may_be_whole(series, is_silent=silent >= limit):
                series.announced, series.asked_at = await self._ask(series), len(series.slices)
                if series.announced == len(series.slices):
                    return True
                continue
            if silent >= limit:
                return False
            pause = (settle if silent < settle else limit) - silent
            if series.counted != len(series.slices):
                pause = min(pause, COUNT_EVERY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(series.arrived.wait(), max(0.01, pause))

    async def _first(self, series: Series) -> None:
        """Wait for what a restart took away, unless a person has to be asked for it."""
        if series.lack is not None:
            raise series.lack
        await series.arrived.wait()

    async def _ask(self, series: Series) -> int | None:
        """What the source has; where it does not answer, what had been there before the restart."""
        announced = await self._announced(series)
        if announced is None and series.before is not None and series.before.committed is not None:
            return series.before.committed.slices
        return announced

    def _may_be_whole(self, series: Series, *, is_silent: bool) -> bool:
        """Whether asking is worth it: not again for what is here, nor when more is known to come."""
        here = len(series.slices)
        if series.asked_at == here:
            return False
        return is_silent or series.announced is None or here >= series.announced

    def _limit(self, series: Series) -> float:
        """How long a silence ends the waiting.

        An open association that brought this series last may be in the middle of its next instance, however long
        that takes: the acceptor ends it when it stalls, and then its sender has vanished. One that has gone on to
        another series has most likely done with this one.
        """
        if series.associations:
            return max(self._quiet_s, self._stalled_s if self._assembler.is_carried(series) else self._idle_s)
        return max(self._quiet_s, CUT_OFF_WAIT_S) if series.is_cut_off else self._quiet_s

    def _settle(self, series: Series) -> float:
        if series.associations:
            return self._quiet_s
        return min(self._quiet_s, SETTLE_S if len(series.seen_associations) == 1 else SETTLE_MANY_S)

    async def _count(self, series: Series, *, is_last: bool = False) -> None:
        """Journal how many are here, so that a person can be told what a crash took."""
        here, now = len(series.slices), time.monotonic()
        if here == series.counted or (now - series.counted_at < COUNT_EVERY_S and not is_last):
            return
        series.counted, series.counted_at = here, now
        with contextlib.suppress(GatewayError):  # that nothing can be written has its own alarm
            await self._chronicle.counted(series.passage)
