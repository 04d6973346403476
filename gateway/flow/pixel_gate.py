"""The pixel gate: no series leaves whose pixels carry text.

In: every slice as it will leave, while the series still arrives. Out: a verdict on the whole series. Refuses, with
`PassageUnfit` or `DeidentificationError`: what is declared to be no slice or to carry text, text that was read in the
pixels, and pixels that could not be read. A person who has looked may release a series with text; what is no slice
nobody may release.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np

from gateway.cloud.payload import DeidentifiedSlice, unpack
from gateway.deid.profile import Profile
from gateway.dicom import values
from gateway.dicom.instance import Instance
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import DeidentificationError, GatewayError, PassageUnfit, Word
from gateway.flow.declared import check_declared, is_secondary
from gateway.flow.series import Series, Slice
from gateway.pixels.findings import Finding, doubtful, located
from gateway.pixels.masked import masked
from gateway.pixels.reader import Place
from gateway.pixels.sight import Picture, Sight
from gateway.pixels.windows import Grey, Rescale, Values

EARLY: Final = 32
"""After so many slices, what stands still on all of them is read while the others arrive."""
RESCALE_INTERCEPT, RESCALE_SLOPE = 0x00281052, 0x00281053
_HEADER_LIMITS: Final = WalkLimits(elements=1000, nesting=4)

T = TypeVar("T")


class Reads(Protocol):
    """Finds text in a picture."""

    async def places(self, picture: Grey) -> list[Place]:
        """Where it has text; raises `DeidentificationError` where it cannot be told."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Text that was read."""

    findings: tuple[Finding, ...]
    picture: bytes
    """Where it is, masked, as PNG."""


class _Told(NamedTuple):
    """That the early pictures were read, and what was found."""

    found: Found | None


@dataclass(slots=True, eq=False)
class _Memory:
    """What the gate keeps of a passage."""

    sight: Sight | None = None
    begun: threading.Lock = field(default_factory=threading.Lock)
    """Held while `sight` is made of the first slice."""
    early: asyncio.Task[_Told | None] | None = None
    """None is its result where the reader failed."""
    found: Found | None = None

    def see(self, modality: str, index: int, outgoing: DeidentifiedSlice) -> None:
        """Add one slice; on any thread."""
        stored = _stored(outgoing)
        with self.begun:
            if self.sight is None:
                self.sight = Sight(modality, _rescale(outgoing), stored)
        self.sight.add(index, stored)


class PixelGate:
    """Looks at slices and judges series.

    Parameters
    ----------
    profiles : mapping of str to Profile
        By modality: whether text is looked for.
    reader : Reads
    cpu : Executor
        Where slices are added up.
    max_bytes : int
        The largest slice that is unpacked.
    group : asyncio.TaskGroup
        Owns what is read while slices arrive.
    """

    def __init__(
        self,
        profiles: Mapping[str, Profile],
        reader: Reads,
        cpu: Executor,
        max_bytes: int,
        group: asyncio.TaskGroup,
    ) -> None:
        self._profiles = profiles
        self._reader = reader
        self._cpu = cpu
        self._max_bytes = max_bytes
        self._group = group
        self._memories: dict[str, _Memory] = {}
        self._turn = asyncio.Lock()
        """One series is read at a time, in order of asking: many that waited are not all done last."""

    async def look(
        self,
        series: Series,
        slice_: Slice,
        instance: Instance,
        deidentified: DeidentifiedSlice,
        work: Callable[[], T],
    ) -> T:
        """See one slice, and do what else is to be done with its pixels, in one go while they are at hand.

        Parameters
        ----------
        work : callable
            Run after it on the same thread of the pool; its result is returned.
        """
        slice_.is_secondary = is_secondary(instance)
        try:
            check_declared(instance)
        except GatewayError as error:
            slice_.unfit = error
        memory = self._memories.setdefault(series.passage.id, _Memory())

        def see_and_work() -> T:
            memory.see(series.passage.modality, slice_.index, deidentified)
            return work()

        done = await self._in_pool(see_and_work)
        sight = memory.sight
        if memory.early is None and sight is not None and sight.count >= EARLY and self._is_read(series):
            memory.early = self._group.create_task(self._read_ahead(sight))
        return done

    async def verdict(self, series: Series) -> None:
        """Judge the series, once its geometry was checked.

        Raises
        ------
        PassageUnfit
            NOT_IMAGES; GEOMETRY_MIXED.
        DeidentificationError
            DEID_BURNED_IN, DEID_PIXELS_UNREAD.
        """
        unfit = [slice_.unfit for slice_ in series.slices.values() if slice_.unfit is not None]
        for error in sorted(unfit, key=lambda error: not isinstance(error, PassageUnfit)):
            if isinstance(error, PassageUnfit) or not series.gate_is_overridden:
                raise error
        if series.gate_is_overridden or not self._is_read(series):
            return
        memory = self._memories.setdefault(series.passage.id, _Memory())
        memory.found = await self._read(series, memory)
        if memory.found is not None:
            first = memory.found.findings[0]
            facts = {} if first.slice_index is None else {"slice": first.slice_index + 1}
            raise DeidentificationError(
                "DEID_BURNED_IN",
                places=len(memory.found.findings),
                read_on=Word(first.source.value),
                **facts,
            )

    def masked_picture(self, passage_id: str) -> bytes | None:
        """Where text was read on a passage, as PNG; None where none was."""
        memory = self._memories.get(passage_id)
        return memory.found.picture if memory and memory.found else None

    def forget(self, series: Series) -> None:
        """Drop what is kept for a series."""
        memory = self._memories.pop(series.passage.id, None)
        if memory is not None and memory.early is not None:
            memory.early.cancel()

    def _is_read(self, series: Series) -> bool:
        profile = self._profiles.get(series.passage.modality)
        return (
            profile is None
            or profile.text_gate
            or any(slice_.is_secondary for slice_ in series.slices.values())
        )

    async def _read(self, series: Series, memory: _Memory) -> Found | None:
        order = series.ordered
        for slice_ in order:  # those that a passage before this one has packed
            if memory.sight is None or not memory.sight.has(slice_.index):
                await self._in_pool(partial(self._see_packed, memory, series.passage.modality, slice_))
        sight = memory.sight
        if sight is None or sight.is_mixed:
            raise PassageUnfit("GEOMETRY_MIXED")
        told = await self._told_early(memory)
        if told is not None and told.found is not None:
            return told.found

        def stored(index: int) -> Values:
            return _stored(self._unpacked(order[index]))

        async with self._turn:
            if told is None:
                standing_still = await self._in_pool(sight.standing_still)
                if found := await self._first_with_text(sight, standing_still):
                    return found
            if found := await self._first_with_text(sight, await self._in_pool(sight.passing)):
                return found
            single = await self._in_pool(lambda: sight.single([slice_.index for slice_ in order], stored))
            return await self._first_with_text(sight, single, stored)

    async def _told_early(self, memory: _Memory) -> _Told | None:
        """What was read while slices arrived; None if there were too few, or the reader failed then."""
        if memory.early is None:
            return None
        await asyncio.wait((memory.early,))
        return None if memory.early.cancelled() else memory.early.result()

    async def _read_ahead(self, sight: Sight) -> _Told | None:
        async with self._turn:
            try:
                return _Told(await self._first_with_text(sight, await self._in_pool(sight.standing_still)))
            except DeidentificationError:
                return None

    def _see_packed(self, memory: _Memory, modality: str, slice_: Slice) -> None:
        memory.see(modality, slice_.index, self._unpacked(slice_))

    def _unpacked(self, slice_: Slice) -> DeidentifiedSlice:
        if slice_.payload is None:
            raise RuntimeError("a series is judged only after every slice was packed")
        return unpack(slice_.payload, self._max_bytes)

    async def _first_with_text(
        self, sight: Sight, pictures: Sequence[Picture], stored: Callable[[int], Values] | None = None
    ) -> Found | None:
        """Read picture after picture, until one has text."""
        for picture in pictures:
            places = await self._reader.places(picture.grey)
            if findings := located(picture, places):
                return await self._in_pool(partial(_found, sight, picture, findings, stored))
            if stored is not None and (unsure := doubtful(picture, places)):
                again = await self._in_pool(partial(_whole, sight, unsure, stored))
                if found := await self._first_with_text(sight, again, stored):
                    return found
        return None

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._cpu, work)


def _whole(sight: Sight, indices: Sequence[int], stored: Callable[[int], Values]) -> list[Picture]:
    return [sight.whole(index, stored(index)) for index in indices]


def _found(
    sight: Sight, picture: Picture, findings: Sequence[Finding], stored: Callable[[int], Values] | None
) -> Found:
    index = findings[0].slice_index
    under = picture.grey if index is None or stored is None else sight.shown(stored(index))
    return Found(
        tuple(findings), masked(under, [finding for finding in findings if finding.slice_index == index])
    )


def _stored(outgoing: DeidentifiedSlice) -> Values:
    kind = f"<{'i' if outgoing.is_signed else 'u'}{outgoing.bits_allocated // 8}"
    return np.frombuffer(outgoing.pixels, kind).reshape(outgoing.rows, outgoing.columns)


def _rescale(outgoing: DeidentifiedSlice) -> Rescale:
    elements = walk(outgoing.header, implicit=False, limits=_HEADER_LIMITS)

    def number(tag: int, otherwise: float) -> float:
        element = elements.get(tag)
        numbers = values.decimals(outgoing.header[element.start : element.stop]) if element else None
        return numbers[0] if numbers else otherwise

    return Rescale(number(RESCALE_SLOPE, 1.0), number(RESCALE_INTERCEPT, 0.0))
