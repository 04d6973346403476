"""Stages: what is done in each state of a passage before it enters the next.

In: a series. Out: the same series, one step further. A stage raises what `gateway.flow.conduct` decides upon; it never
moves the passage itself. Each may be run again after it raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Protocol

from gateway.config import Config, Rule
from gateway.dicom.part10 import Part10
from gateway.errors import PassageUnfit
from gateway.flow.assemble import Assembler
from gateway.flow.check import check_geometry
from gateway.flow.chronicle import Chronicle
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.prepare import Prepare
from gateway.flow.restore import restore
from gateway.flow.rules import rule_for
from gateway.flow.series import Series
from gateway.flow.store import Deliveries
from gateway.flow.structure_set import Expectation, ExpectedSlice
from gateway.passage import State

CUT_OFF_WAIT_S = 60.0
"""How long a series whose sender vanished waits for the rest before a person is asked."""

Seed = Callable[[str, str], bytes]
"""Secret of a passage and a destination, from which the restored structure set gets its new UIDs."""


class PixelGate(Protocol):
    """Looks for text in the pixels of a whole series."""

    async def verdict(self, series: Series) -> None:
        """Raises where text is found or the images are no slices, as far as no person has released them."""


class Stages:
    """The stages, and what they need of the world."""

    def __init__(
        self,
        config: Config,
        assembler: Assembler,
        prepare: Prepare,
        gate: PixelGate,
        deliveries: Deliveries,
        chronicle: Chronicle,
        seed: Seed,
        deleted: Callable[[Series], Coroutine[None, None, None]],
        group: asyncio.TaskGroup,
    ) -> None:
        self._config = config
        self._assembler = assembler
        self._prepare = prepare
        self._gate = gate
        self._deliveries = deliveries
        self._chronicle = chronicle
        self._seed = seed
        self._deleted = deleted
        self._group = group
        self._outputs = {
            destination.name: OutputProfile.of(destination) for destination in config.destinations
        }

    def table(self) -> Mapping[State, Callable[[Series], Awaitable[None]]]:
        """What is done in which state."""
        return {
            State.RECEIVING: self.receive,
            State.COMPLETE: self.check,
            State.CHECKED: self.seal,
            State.SEALED: self.commit,
            State.COMMITTED: self.hand_over,
            State.CONTOURING: self.await_result,
            State.RETURNED: self.inspect,
            State.INSPECTED: self.restore,
            State.RESTORED: self.deliver,
        }

    async def receive(self, series: Series) -> None:
        """Wait until the series is whole, as far as silence can tell.

        It is whole when nothing arrived for the quiet time and every association that brought some was released. While
        one is open, its own idle limit bounds the wait. Where the sender vanished, the rest is waited for longer.
        """
        quiet = self._config.passage.quiet_time_s
        while True:
            if series.conflict is not None:
                return
            series.arrived.clear()
            silent = time.monotonic() - series.last_arrival
            if series.associations:
                limit = max(quiet, self._config.limits.idle_s)
            elif series.is_cut_off:
                limit = max(quiet, CUT_OFF_WAIT_S)
            else:
                limit = quiet
            if silent >= limit:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(series.arrived.wait(), limit - silent)
        if series.is_cut_off or self._assembler.is_remainder(series):
            series.is_cut_off = False  # released by a person, it goes on with what is here
            raise PassageUnfit("INCOMPLETE", slices=len(series.slices))

    async def check(self, series: Series) -> None:
        """Pass every gate: conflicts, rules, geometry, pixels."""
        if series.conflict is not None:
            raise series.conflict
        rule = self._rule(series)
        slices = list(series.slices.values())
        series.geometry = check_geometry([slice_.geometry for slice_ in slices], series.passage.modality)
        series.rule = rule
        series.passage.deliver_to = rule.deliver_to
        if series.passage.model != rule.model:
            await self._change_model(series, rule.model)
        await self._prepare.all_looked_at(series)
        await self._gate.verdict(series)

    async def seal(self, series: Series) -> None:
        """Wait until the last ciphertext is acknowledged, and journal what will be released."""
        await self._prepare.all_uploaded(series)
        exchange = await self._prepare.exchange(series)
        profile = self._prepare.profile(series.passage.modality)
        await self._chronicle.committed(series, exchange.seal(), profile.name)

    async def commit(self, series: Series) -> None:
        """Release the key."""
        exchange = await self._prepare.exchange(series)
        await exchange.commit()

    async def hand_over(self, series: Series) -> None:
        """The commit was acknowledged: nothing more to do before the contourer works."""

    async def await_result(self, series: Series) -> None:
        """Wait for the structure set, then have everything deleted over there."""
        exchange = await self._prepare.exchange(series)
        try:
            async with asyncio.timeout(self._config.passage.deadline_s):
                series.result = await exchange.result()
        except TimeoutError:
            raise PassageUnfit("DEADLINE_PASSED") from None
        self._group.create_task(self._deleted(series))

    async def inspect(self, series: Series) -> None:
        """Accept the structure set only if it is of this passage and nothing else."""
        series.inspected = inspect(series.result, self.expectation(series))

    async def restore(self, series: Series) -> None:
        """Give the structure set its patient back, once for each destination."""
        if series.inspected is None:
            raise RuntimeError("a structure set is restored only after it was inspected")
        returned = next(step.at for step in series.passage.history if step.state is State.RETURNED)
        for name in series.passage.deliver_to:
            if name not in series.passage.delivered_to:
                series.restored[name] = restore(
                    series.inspected,
                    series.identity,
                    self._outputs[name],
                    originals=series.pseudonyms.originals,
                    seed=self._seed(series.passage.id, name),
                    model=series.passage.model,
                    at=returned.astimezone(),
                )

    async def deliver(self, series: Series) -> None:
        """Bring it to every destination; one that is down does not delay another.

        Where one refuses it, the others are served all the same before a person is asked.
        """
        names = [name for name in series.passage.deliver_to if name not in series.passage.delivered_to]
        ends = await asyncio.gather(
            *(self._deliver_to(series, name) for name in names), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _deliver_to(self, series: Series, name: str) -> None:
        await self._deliveries.deliver(series.passage.id, name, series.restored[name])
        series.passage.delivered_to = (*series.passage.delivered_to, name)
        await self._chronicle.delivered(
            series.passage, name, Part10.of(series.restored[name]).sop_instance_uid
        )

    def _rule(self, series: Series) -> Rule:
        rule = rule_for(self._config.rules, series.facts, len(series.slices))
        if rule is None:
            raise PassageUnfit("NO_RULE")
        return rule

    async def _change_model(self, series: Series, model: str) -> None:
        """Begin again at the contourer: the number of slices chose another rule than the first slice had."""
        await self._prepare.settle(series)
        if series.exchange is not None:
            await series.exchange.delete()
            await series.exchange.close()
            series.exchange = None
        series.passage.model, series.passage.uploaded = model, 0
        for slice_ in series.slices.values():
            slice_.is_uploaded = False

    @staticmethod
    def expectation(series: Series) -> Expectation:
        """What the structure set may refer to, in pseudonyms."""
        pseudonyms = series.pseudonyms
        frame_of_reference = next(iter(series.slices.values())).geometry.frame_of_reference_uid
        return Expectation(
            study_instance_uid=pseudonyms.uid(series.key.study),
            series_instance_uid=pseudonyms.uid(series.key.series),
            frame_of_reference_uid=pseudonyms.uid(frame_of_reference),
            patient_id=series.passage.pseudonym,
            slices={
                slice_.pseudonym: ExpectedSlice(
                    slice_.sop_class_uid,
                    slice_.geometry.position,
                    slice_.geometry.orientation,
                    slice_.geometry.spacing,
                    slice_.geometry.rows,
                    slice_.geometry.columns,
                )
                for slice_ in series.ordered
            },
        )
