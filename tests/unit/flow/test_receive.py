"""A series is whole when its source says so, or after silence; what is missing is pulled and asked for."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import PassageUnfit
from gateway.flow import receive as module
from gateway.flow.receive import Receive
from gateway.flow.series import Series
from gateway.passage import Passage

QUIET_S = 0.5
IDLE_S = 1.0


class Stand:
    """The stage with everything around it made up."""

    def __init__(self, here: int, announced: int | None) -> None:
        self.pulled: list[Any] = []
        self.asked = 0
        self.announced = announced
        self.is_remainder = False
        config: Any = SimpleNamespace(
            passage=SimpleNamespace(quiet_time_s=QUIET_S),
            limits=SimpleNamespace(idle_s=IDLE_S, message_s=60),
        )
        chronicle: Any = SimpleNamespace(counted=self._counted)
        self.is_carried = True
        assembler: Any = SimpleNamespace(
            is_remainder=lambda series: self.is_remainder, is_carried=lambda series: self.is_carried
        )
        self.stage = Receive(config, assembler, chronicle, self._announced, self.pulled.append)
        nothing: Any = None
        passage = Passage(source="PACS", called="A", modality="CT")
        self.series = Series(nothing, passage, nothing, nothing, nothing, seen_associations={1})
        self.counts: list[int] = []
        for index in range(here):
            self.add(index)

    def add(self, index: int) -> None:
        nothing: Any = None
        self.series.slices[str(index)] = nothing
        self.series.passage.received += 1
        self.series.last_arrival = time.monotonic()
        self.series.arrived.set()

    async def _announced(self, series: Series) -> int | None:
        self.asked += 1
        return self.announced

    async def _counted(self, passage: Passage) -> None:
        self.counts.append(passage.received)

    async def seconds(self) -> float:
        began = time.monotonic()
        async with asyncio.timeout(10):
            await self.stage(self.series)
        return time.monotonic() - began


async def test_it_is_whole_at_once_when_the_source_says_so() -> None:
    stand = Stand(3, announced=3)
    assert await stand.seconds() < QUIET_S
    assert stand.counts == [3]


async def test_a_source_that_does_not_answer_leaves_it_to_silence() -> None:
    stand = Stand(3, announced=None)
    assert await stand.seconds() >= QUIET_S * 0.9
    assert stand.asked == 1


async def test_a_source_that_has_less_is_not_believed() -> None:
    assert await Stand(3, announced=2).seconds() >= QUIET_S * 0.9


async def test_what_is_missing_is_told_and_pulled_and_a_release_goes_on_without_it() -> None:
    stand = Stand(3, announced=5)
    with pytest.raises(PassageUnfit) as held:
        await stand.seconds()
    assert (held.value.code, held.value.facts) == ("INCOMPLETE", {"slices": 3, "missing": 2})
    assert stand.pulled == [stand.series]
    await stand.seconds()


async def test_what_arrives_then_completes_it() -> None:
    stand = Stand(3, announced=5)
    with pytest.raises(PassageUnfit):
        await stand.seconds()
    stand.add(3)
    stand.add(4)
    assert await stand.seconds() < QUIET_S


async def test_a_sender_that_vanished_is_waited_for_and_then_a_person_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CUT_OFF_WAIT_S", 0.6)
    stand = Stand(3, announced=None)
    stand.series.is_cut_off = True
    with pytest.raises(PassageUnfit) as held:
        await stand.seconds()
    assert held.value.code == "INCOMPLETE"


async def test_a_sender_in_the_middle_of_an_instance_is_waited_for() -> None:
    stand = Stand(3, announced=None)
    stand.series.associations.add(1)
    waiting = asyncio.create_task(stand.seconds())
    await asyncio.sleep(2 * IDLE_S)
    assert not waiting.done()
    stand.add(3)
    stand.series.associations.clear()
    stand.series.arrived.set()
    assert await waiting > 2 * IDLE_S + QUIET_S * 0.9


async def test_control_a_sender_that_went_on_to_another_series_is_not_waited_for() -> None:
    stand = Stand(3, announced=None)
    stand.series.associations.add(1)
    stand.is_carried = False
    assert await stand.seconds() < 2 * IDLE_S


async def test_a_late_remainder_is_held_once() -> None:
    stand = Stand(2, announced=None)
    stand.is_remainder = True
    with pytest.raises(PassageUnfit):
        await stand.seconds()
    await stand.seconds()


async def test_what_a_restart_took_waits_until_a_person_must_be_asked() -> None:
    stand = Stand(0, announced=None)
    waiting = asyncio.create_task(stand.seconds())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    stand.series.lack = PassageUnfit("SEND_AGAIN", slices=4)
    stand.series.arrived.set()
    with pytest.raises(PassageUnfit) as held:
        await waiting
    assert held.value.code == "SEND_AGAIN"


async def test_the_last_count_is_journalled_however_fast_the_rest_came() -> None:
    stand = Stand(1, announced=4)
    receiving = asyncio.create_task(stand.seconds())
    await asyncio.sleep(0.05)
    for index in range(1, 4):
        stand.add(index)
    await receiving
    assert stand.counts == [1, 4]
