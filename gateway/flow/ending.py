"""Ending: what is dropped when, once a passage is over.

At once: the identity, the pseudonyms, the original datasets and the content key. Within seconds: everything at the
contourer, by its signed receipt. After the review time: the pseudonymous slices and contours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from gateway.errors import ContourerUnavailable, GatewayError
from gateway.flow.assemble import Assembler
from gateway.flow.pixel_gate import PixelGate
from gateway.flow.prepare import Prepare
from gateway.flow.series import Series
from gateway.passage import State
from gateway.vault.budget import Budget
from gateway.vault.sweep import Sweep

_log = structlog.get_logger()

FIRST_RETRY_S = 5.0
LAST_RETRY_S = 600.0


class Ending:
    """Lets go of passages.

    Parameters
    ----------
    review_s : float
        How long slices and contours stay drawable after delivery.
    sweep : Sweep
        Frees what only cycles of objects still hold.
    """

    def __init__(
        self,
        review_s: float,
        assembler: Assembler,
        prepare: Prepare,
        gate: PixelGate,
        budget: Budget,
        changed: Callable[[Series], None],
        sweep: Sweep,
        group: asyncio.TaskGroup,
    ) -> None:
        self._review_s = review_s
        self._assembler = assembler
        self._prepare = prepare
        self._gate = gate
        self._budget = budget
        self._changed = changed
        self._group = group
        self._sweep = sweep
        self._tasks: set[asyncio.Task[None]] = set()

    async def delete(self, series: Series) -> None:
        """Have everything of a passage deleted at the contourer, however often that must be asked."""
        exchange, series.exchange = series.exchange, None
        if exchange is None:
            return
        pause = FIRST_RETRY_S
        while True:
            try:
                await exchange.delete()
                break
            except ContourerUnavailable as error:
                _log.warning("not deleted yet", passage=series.passage.id, reason=error.code)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_S)
            except GatewayError as error:
                _log.error("not deleted", passage=series.passage.id, reason=error.code)
                break
        await exchange.close()

    async def end(self, series: Series) -> None:
        """Drop what an ended passage leaves in memory."""
        self._prepare.forget(series)
        self._gate.forget(series)
        self._assembler.forget(series)
        if series.exchange is not None:
            self._keep(self.delete(series))
        if series.is_superseded:
            return  # identity and slices went to its successor
        series.drop_identity()
        self._sweep.passage_ended()
        if series.passage.state is State.DELIVERED and self._review_s > 0:
            self._keep(self._drop_images_later(series))
        else:
            self._drop_images(series)

    def stop(self) -> None:
        """Stop what waits."""
        self._sweep.stop()
        for task in list(self._tasks):
            task.cancel()

    async def _drop_images_later(self, series: Series) -> None:
        await asyncio.sleep(self._review_s)
        self._drop_images(series)

    def _drop_images(self, series: Series) -> None:
        self._budget.release(series.charged_bytes)
        series.drop_images()
        self._sweep.passage_ended()
        self._changed(series)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
