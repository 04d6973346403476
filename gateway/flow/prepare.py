"""Prepare: one instance becomes a pseudonymous, packed, sealed and uploaded slice, while the others still arrive.

In: a slice with its original dataset. Out: the same slice with a payload that the contourer has acknowledged, and the
original dataset gone. Whatever goes wrong is kept as `Slice.fault`, for the stage that waits; no sender waits here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from gateway.cloud.contourer import Contourer, Exchange, Order
from gateway.cloud.payload import DeidentifiedSlice, SlicePayload, pack
from gateway.deid.profile import Profile
from gateway.deid.tripwire import Tripwire
from gateway.dicom.instance import Instance
from gateway.errors import ContourerError, ContourerRefused, DeidentificationError, GatewayError
from gateway.flow.deidentify import deidentify
from gateway.flow.mishap import mishap
from gateway.flow.series import Series, Slice
from gateway.metrics import Metrics
from gateway.vault.budget import Budget

AT_ONCE = 4
"""Slices of one series that are on their way at a time."""
JOIN_S = 3.0
"""How long a contourer may take to say that it knows nothing of a passage from before a restart."""

Look = Callable[
    [Series, Slice, Instance, DeidentifiedSlice, Callable[[], SlicePayload]], Awaitable[SlicePayload]
]
"""Lets the pixel gate see a slice, and packs it in the same go."""


class Prepare:
    """The work on single slices.

    Parameters
    ----------
    profiles : mapping of str to Profile
        By modality.
    """

    def __init__(
        self,
        contourer: Contourer,
        profiles: Mapping[str, Profile],
        tripwire: Tripwire,
        look: Look,
        budget: Budget,
        metrics: Metrics,
        changed: Callable[[Series], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._contourer = contourer
        self._profiles = profiles
        self._tripwire = tripwire
        self._look = look
        self._budget = budget
        self._metrics = metrics
        self._changed = changed
        self._group = group
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._exchanges: dict[str, asyncio.Lock] = {}

    def profile(self, modality: str) -> Profile:
        """The profile for a modality.

        Raises
        ------
        DeidentificationError
            If there is none.
        """
        try:
            return self._profiles[modality]
        except KeyError:
            raise DeidentificationError("DEID_NOT_UNDERSTOOD") from None

    def begin(self, series: Series, slice_: Slice) -> None:
        """Start the work on a slice, unless it is done or under way."""
        if slice_.is_uploaded or slice_.is_under_way:
            return
        slice_.is_under_way, slice_.fault = True, None
        task = self._group.create_task(self._bring(series, slice_))
        series.work.add(task)
        task.add_done_callback(series.work.discard)

    async def all_looked_at(self, series: Series) -> None:
        """Wait until every slice is pseudonymised and the pixel gate has seen it, uploaded or not.

        Raises
        ------
        GatewayError
            What kept one from being pseudonymised.
        """
        self._begin_all(series)
        while missing := [slice_ for slice_ in series.slices.values() if slice_.payload is None]:
            if fault := next((slice_.fault for slice_ in missing if slice_.fault is not None), None):
                raise fault
            series.arrived.clear()
            await series.arrived.wait()

    async def all_uploaded(self, series: Series) -> None:
        """Wait until the contourer has acknowledged every slice.

        Raises
        ------
        GatewayError
            The first thing that went wrong with one.
        """
        self._begin_all(series)
        await self.settle(series)
        if fault := next(
            (slice_.fault for slice_ in series.slices.values() if slice_.fault is not None), None
        ):
            raise fault

    async def settle(self, series: Series) -> None:
        """Wait until nothing of the series is under way."""
        while series.work:
            await asyncio.wait(series.work)

    async def exchange(self, series: Series) -> Exchange:
        """The passage's exchange with the contourer, begun when first asked for."""
        async with self._exchanges.setdefault(series.passage.id, asyncio.Lock()):
            if series.exchange is None:
                profile = self.profile(series.passage.modality)
                order = Order(series.passage.id, series.passage.model, profile.name)
                series.exchange = await self._contourer.begin(order)
            return series.exchange

    async def is_joined(self, series: Series) -> bool:
        """Whether the contourer still has what was committed to it before a restart; then nothing is uploaded.

        Raises
        ------
        ContourerUnavailable
            If it cannot be asked now.
        """
        committed = series.before.committed if series.before is not None else None
        profile = self.profile(series.passage.modality)
        if (
            committed is not None
            and (committed.slices, committed.model, committed.profile)
            == (len(series.slices), series.passage.model, profile.name)
            and await self._is_still_there(series, Order(series.passage.id, committed.model, profile.name))
        ):
            for slice_ in series.slices.values():
                slice_.is_uploaded = True
            series.passage.uploaded = len(series.slices)
        series.joinable = b""
        return series.exchange is not None

    async def _is_still_there(self, series: Series, order: Order) -> bool:
        try:
            exchange = await self._contourer.join(order, series.joinable)
        except ContourerRefused:
            return False
        try:
            async with asyncio.timeout(JOIN_S):
                await exchange.result()
        except TimeoutError:
            pass  # it is at work
        except ContourerError as error:
            await exchange.close()
            if isinstance(error, ContourerRefused):
                return False
            raise
        series.exchange = exchange
        return True

    async def begin_anew(self, series: Series) -> None:
        """Let go of the exchange; every slice is uploaded again to the next one."""
        await self.settle(series)
        exchange, series.exchange = series.exchange, None
        if exchange is not None:
            await exchange.close()
        series.passage.uploaded = 0
        for slice_ in series.slices.values():
            slice_.is_uploaded = False

    def forget(self, series: Series) -> None:
        """Drop what is kept for a passage, and stop what is under way."""
        for task in list(series.work):
            task.cancel()
        self._lanes.pop(series.passage.id, None)
        self._exchanges.pop(series.passage.id, None)
        self._tripwire.forget(series.passage.id)

    def _begin_all(self, series: Series) -> None:
        for slice_ in series.slices.values():
            self.begin(series, slice_)

    async def _bring(self, series: Series, slice_: Slice) -> None:
        try:
            if slice_.instance is not None:
                await self._pseudonymise(series, slice_, slice_.instance)
            if series.joinable or not series.passage.model:
                return  # the contourer may have it all since before the restart; or no rule says yet who contours
            async with self._lanes.setdefault(series.passage.id, asyncio.Semaphore(AT_ONCE)):
                await self._upload(series, slice_)
        except GatewayError as error:
            slice_.fault = error
        except Exception as fault:  # noqa: BLE001 - see `Conductor`: it holds this series only
            slice_.fault = mishap(fault, series.passage.id)
        finally:
            slice_.is_under_way = False
            series.arrived.set()
            self._changed(series)

    async def _upload(self, series: Series, slice_: Slice) -> None:
        if slice_.payload is None:
            raise RuntimeError("a slice is uploaded only after it was pseudonymised")
        exchange = await self.exchange(series)
        sent = await exchange.add(slice_.index, slice_.payload)
        slice_.is_uploaded = True
        series.passage.uploaded += 1
        self._metrics.uploaded_bytes_total.inc(sent)

    async def _pseudonymise(self, series: Series, slice_: Slice, instance: Instance) -> None:
        deidentified = deidentify(instance, series.pseudonyms, self.profile(series.passage.modality))
        self._tripwire.check(series.passage.id, instance, deidentified)
        work = partial(pack, deidentified, self._contourer.codec)
        slice_.payload = await self._look(series, slice_, instance, deidentified, work)
        # The original is not needed any more: what comes back is restored from the identity alone.
        slice_.instance = None
        packed = len(slice_.payload.coded) + len(slice_.payload.header)
        if packed < slice_.charged_bytes:  # a tiny image can grow, by what its new header says
            self._budget.release(slice_.charged_bytes - packed)
            slice_.charged_bytes = packed
        series.arrived.set()
