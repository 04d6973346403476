"""Ending: what is dropped when, once a passage is over.

At once: the identity, the pseudonyms, the original datasets and the content key. Within seconds: everything at the
contourer, by its signed receipt, for which it is asked until it comes. After the review time: the pseudonymous slices
and contours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from gateway.cloud.contourer import Exchange
from gateway.errors import ContourerUnavailable, GatewayError
from gateway.flow.assemble import Assembler
from gateway.flow.pixel_gate import PixelGate
from gateway.flow.prepare import Prepare
from gateway.flow.receipts import Receipts
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
    receipts : Receipts
        Is given each deletion receipt.
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
        receipts: Receipts,
        changed: Callable[[Series], None],
        sweep: Sweep,
        group: asyncio.TaskGroup,
    ) -> None:
        self._review_s = review_s
        self._assembler = assembler
        self._prepare = prepare
        self._gate = gate
        self._budget = budget
        self._receipts = receipts
        self._changed = changed
        self._group = group
        self._sweep = sweep
        self._tasks: set[asyncio.Task[None]] = set()

    def delete_soon(self, series: Series) -> None:
        """Have everything of a passage deleted at the contourer, without waiting for it."""
        self._keep(self.delete(series))

    async def delete(self, series: Series) -> None:
        """Have everything of a passage deleted at the contourer, however often that must be asked.

        It is given up only where the contourer refuses and never got the key.
        """
        exchange, series.exchange = series.exchange, None
        if exchange is None:
            return
        passage_id, pause = series.passage.id, FIRST_RETRY_S
        del series  # what a contourer does not answer keeps no slice in memory
        while not await self._is_deleted(exchange, passage_id):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_RETRY_S)

    async def _is_deleted(self, exchange: Exchange, passage_id: str) -> bool:
        """Ask once; whether there is nothing more to ask."""
        try:
            await self._receipts.received(await exchange.delete())
        except GatewayError as error:
            _log.warning("not deleted yet", passage=passage_id, reason=error.code)
            is_worth_it = isinstance(error, ContourerUnavailable) or self._receipts.is_owed(passage_id)
            return not is_worth_it
        else:
            return True
        finally:
            await exchange.close()

    async def end(self, series: Series) -> None:
        """Drop what an ended passage leaves in memory."""
        self._prepare.forget(series)
        self._gate.forget(series)
        self._assembler.forget(series)
        self._receipts.ended(series.passage.id)
        if series.exchange is not None:
            self.delete_soon(series)
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
