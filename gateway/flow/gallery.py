"""Gallery: the board as the console sees it, over the series in memory.

It hands out passages, pictures and outlines: nothing else of a `Series` is within reach of the console.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from gateway.clerk.records import Deed
from gateway.cloud.payload import unpack
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import GatewayError, PassageUnfit
from gateway.flow.board import Outline, SlicePicture
from gateway.flow.chronicle import Chronicle
from gateway.flow.series import Series
from gateway.passage import Passage, State

RESCALE_INTERCEPT, RESCALE_SLOPE = 0x00281052, 0x00281053
KEPT_ENDED = 500
"""Ended passages that stay listed."""
_HEADER_LIMITS = WalkLimits(elements=1000, nesting=4)


class Gallery:
    """Implements `gateway.flow.board.Board`.

    Parameters
    ----------
    cpu : Executor
        Where pictures are decoded.
    max_picture_bytes : int
        The largest slice that is unpacked.
    chronicle : Chronicle
        Where a person's decisions are recorded.
    masked_picture : callable
        The pixel gate's, by passage id.
    """

    def __init__(
        self,
        cpu: Executor,
        max_picture_bytes: int,
        chronicle: Chronicle,
        masked_picture: Callable[[str], bytes | None],
    ) -> None:
        self._cpu = cpu
        self._max_picture_bytes = max_picture_bytes
        self._chronicle = chronicle
        self._masked_picture = masked_picture
        self._series: dict[str, Series] = {}
        self._watchers: set[asyncio.Queue[Passage]] = set()

    def changed(self, series: Series) -> None:
        """Note a new or changed passage and tell the watchers."""
        self._series[series.passage.id] = series
        for watcher in self._watchers:
            if watcher.full():  # a slow watcher loses the oldest change, never the newest
                watcher.get_nowait()
            watcher.put_nowait(series.passage)
        if series.passage.has_ended:  # not for each slice: looking through all of them takes a while
            ended = [s for s in self._series.values() if s.passage.has_ended]
            for series_ in ended[: max(0, len(ended) - KEPT_ENDED)]:
                del self._series[series_.passage.id]

    def waits(self, passage_id: str, error: GatewayError) -> None:
        """Note what a passage waits for in the state it is in."""
        series = self._series.get(passage_id)
        if series is not None and not series.passage.has_ended:
            series.passage.waiting = error
            self.changed(series)

    def passages(self) -> Sequence[Passage]:
        """Those in memory, newest first."""
        return sorted((s.passage for s in self._series.values()), key=lambda p: p.started, reverse=True)

    def passage(self, passage_id: str) -> Passage | None:
        """One of them."""
        series = self._series.get(passage_id)
        return series.passage if series else None

    async def changes(self) -> AsyncIterator[Passage]:
        """Each passage that changes from now on."""
        watcher: asyncio.Queue[Passage] = asyncio.Queue(maxsize=1000)
        self._watchers.add(watcher)
        try:
            while True:
                yield await watcher.get()
        finally:
            self._watchers.discard(watcher)

    def slice_count(self, passage_id: str) -> int:
        """How many slices can be drawn; none while text in their pixels would be shown."""
        series = self._series.get(passage_id)
        if series is None or _has_text(series):
            return 0
        return sum(slice_.payload is not None for slice_ in series.ordered)

    async def picture(self, passage_id: str, index: int) -> SlicePicture:
        """One slice, rescaled (PS3.3 C.11.1.1.2)."""
        series = self._of(passage_id)
        slice_ = [s for s in series.ordered if s.payload is not None][index]
        payload = slice_.payload
        if payload is None or _has_text(series):
            raise IndexError(index)

        def draw() -> SlicePicture:
            unpacked = unpack(payload, self._max_picture_bytes)
            words = np.frombuffer(
                unpacked.pixels,
                np.dtype(f"<{'i' if unpacked.is_signed else 'u'}{unpacked.bits_allocated // 8}"),
            ).reshape(unpacked.rows, unpacked.columns)
            elements = walk(unpacked.header, implicit=False, limits=_HEADER_LIMITS)

            def number(tag: int, otherwise: float) -> float:
                element = elements.get(tag)
                return float(unpacked.header[element.start : element.stop]) if element else otherwise

            values = words * number(RESCALE_SLOPE, 1.0) + number(RESCALE_INTERCEPT, 0.0)
            geometry = slice_.geometry
            return SlicePicture(np.rint(values).astype(np.int32), geometry.position, geometry.spacing)

        return await asyncio.get_running_loop().run_in_executor(self._cpu, draw)

    def outlines(self, passage_id: str, index: int) -> Sequence[Outline]:
        """What the contourer drew on that slice."""
        series = self._of(passage_id)
        if series.inspected is None:
            return ()
        slice_ = [s for s in series.ordered if s.payload is not None][index]
        return series.inspected.outlines(slice_.pseudonym)

    def masked_picture(self, passage_id: str) -> bytes | None:
        """Where text was read in the pixels, itself blackened."""
        return self._masked_picture(passage_id)

    async def release(self, passage_id: str) -> None:
        """Send a held passage back to the state it came from."""
        series = self._held(passage_id)
        series.gate_is_overridden |= _has_text(series)
        series.is_reviewed |= _is_held_for(series, "REVIEW_WANTED")
        await self._chronicle.decided(passage_id, Deed.RELEASE)
        series.decided.set()

    async def cancel(self, passage_id: str) -> None:
        """End a held passage."""
        series = self._held(passage_id)
        await self._chronicle.decided(passage_id, Deed.CANCEL)
        series.is_cancelled = True
        series.decided.set()

    def _of(self, passage_id: str) -> Series:
        return self._series[passage_id]

    def _held(self, passage_id: str) -> Series:
        series = self._series.get(passage_id)
        if series is None or series.passage.state is not State.HELD:
            raise PassageUnfit("NOT_HELD")
        return series


def _has_text(series: Series) -> bool:
    """Whether it is held because of text in its pixels."""
    return _is_held_for(series, "DEID_BURNED_IN")


def _is_held_for(series: Series, code: str) -> bool:
    error = series.passage.error
    return error is not None and error.code == code
