"""Stages: what is done in each state of a passage before it enters the next.

In: a series. Out: the same series, one step further. A stage raises what `gateway.flow.conduct` decides upon; it never
moves the passage itself. Each may be run again after it raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from gateway.config import Config, Rule
from gateway.dicom.part10 import Part10
from gateway.errors import ContourerRefused, PassageUnfit
from gateway.flow.check import check_geometry
from gateway.flow.chronicle import Chronicle
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.prepare import Prepare
from gateway.flow.receipts import Receipts
from gateway.flow.restore import restore
from gateway.flow.rules import rule_for
from gateway.flow.series import Series
from gateway.flow.store import Deliveries
from gateway.flow.structure_set import Expectation, ExpectedSlice
from gateway.passage import State

Stage = Callable[[Series], Awaitable[None]]
Seed = Callable[[str, str], bytes]
"""Secret of a passage and a destination, from which the restored structure set gets its new UIDs."""


class PixelGate(Protocol):
    """Looks for text in the pixels of a whole series."""

    async def verdict(self, series: Series) -> None:
        """Raises where text is found or the images are no slices, as far as no person has released them."""


class Stages:
    """The stages, and what they need of the world.

    Parameters
    ----------
    receipts : Receipts
        Told of each passage whose key is about to be released.
    deletion : callable
        Has everything of a passage deleted at the contourer, without waiting for it.
    """

    def __init__(
        self,
        config: Config,
        receive: Stage,
        prepare: Prepare,
        gate: PixelGate,
        deliveries: Deliveries,
        chronicle: Chronicle,
        seed: Seed,
        receipts: Receipts,
        deletion: Callable[[Series], None],
    ) -> None:
        self._config = config
        self._receive = receive
        self._prepare = prepare
        self._gate = gate
        self._deliveries = deliveries
        self._chronicle = chronicle
        self._seed = seed
        self._receipts = receipts
        self._deletion = deletion
        self._outputs = _outputs(config)

    def update(self, config: Config) -> None:
        """Take over a changed configuration; passages that stand before a stage go by it.

        Raises
        ------
        ConfigError
            If a destination's ROI file is not fit; then nothing has changed.
        """
        outputs = _outputs(config)
        self._outputs |= outputs  # passages on their way may still name one that is not configured any more
        self._config = config

    def table(self) -> Mapping[State, Stage]:
        """What is done in which state."""
        return {
            State.RECEIVING: self._receive,
            State.COMPLETE: self.check,
            State.CHECKED: self.seal,
            State.SEALED: self.commit,
            State.COMMITTED: self.hand_over,
            State.CONTOURING: self.await_result,
            State.RETURNED: self.inspect,
            State.INSPECTED: self.restore,
            State.RESTORED: self.deliver,
        }

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
        """Wait until the last ciphertext is acknowledged, and journal what will be released.

        What was committed before a restart is joined where it stands.
        """
        if series.joinable and await self._prepare.is_joined(series):
            return
        await self._prepare.all_uploaded(series)
        exchange = await self._prepare.exchange(series)
        profile = self._prepare.profile(series.passage.modality)
        await self._chronicle.committed(series, exchange.seal(), profile.name)
        self._receipts.committed(series.passage.id)

    async def commit(self, series: Series) -> None:
        """Release the key."""
        exchange = await self._prepare.exchange(series)
        await exchange.commit()

    async def hand_over(self, series: Series) -> None:
        """The commit was acknowledged: nothing more to do before the contourer works."""

    async def await_result(self, series: Series) -> None:
        """Wait for the structure set, then have everything deleted over there."""
        try:
            async with asyncio.timeout(self._config.passage.deadline_s):
                series.result = await self._result(series)
        except TimeoutError:
            raise PassageUnfit("DEADLINE_PASSED") from None
        except ContourerRefused as refused:
            if refused.code == "CONTOURER_FOUND_IDENTIFIERS":
                self._deletion(series)  # it says that it did: its signed receipt is wanted at once
            raise
        self._deletion(series)

    async def _result(self, series: Series) -> bytes:
        exchange = await self._prepare.exchange(series)
        try:
            return await exchange.result()
        except ContourerRefused as lost:
            if lost.code != "CONTOURER_LOST" or series.before is None:
                raise
        # It was joined after a restart and is gone now; its slices are here.
        await self._prepare.begin_anew(series)
        await self.seal(series)
        await self.commit(series)
        return await (await self._prepare.exchange(series)).result()

    async def inspect(self, series: Series) -> None:
        """Accept the structure set only if it is of this passage and nothing else."""
        series.inspected = await asyncio.to_thread(inspect, series.result, self.expectation(series))

    async def restore(self, series: Series) -> None:
        """Give the structure set its patient back, once for each destination."""
        if series.inspected is None:
            raise RuntimeError("a structure set is restored only after it was inspected")
        returned = next(step.at for step in series.passage.history if step.state is State.RETURNED)
        for name in series.passage.deliver_to:
            if name not in series.passage.delivered_to:
                series.restored[name] = await asyncio.to_thread(
                    restore,
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

        Where one refuses it, the others are served all the same before a person is asked. A rule can want a person to
        look at the contours first.
        """
        if series.rule is not None and series.rule.deliver == "after_review" and not series.is_reviewed:
            raise PassageUnfit("REVIEW_WANTED")
        names = [name for name in series.passage.deliver_to if name not in series.passage.delivered_to]
        ends = await asyncio.gather(
            *(self._deliver_to(series, name) for name in names), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _deliver_to(self, series: Series, name: str) -> None:
        part10 = series.restored[name]
        # The vault before this one may have ended between the delivery and its record.
        if series.before is None or not await self._deliveries.is_there(name, part10):
            await self._deliveries.deliver(series.passage.id, name, part10)
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
            await self._receipts.received(await series.exchange.delete())
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


def _outputs(config: Config) -> dict[str, OutputProfile]:
    return {destination.name: OutputProfile.of(destination) for destination in config.destinations}
