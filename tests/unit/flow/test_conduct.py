"""A fault of the program in one series holds that one and leaves the others alone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.flow import conduct, prepare
from gateway.flow.conduct import Conductor
from gateway.flow.prepare import Prepare
from gateway.metrics import Metrics
from gateway.passage import Passage, State


def series() -> Any:
    passage = Passage(source="PACS", called="CONTOURGATE", modality="CT", model="default")
    event = asyncio.Event
    return SimpleNamespace(
        passage=passage, task=None, journalled=None, before=None, is_superseded=False, decided=event(),
        arrived=event(), work=set(), joinable=b"", slices={}, is_cancelled=False, exchange=None,
    )  # fmt: skip


async def nothing(*arguments: object) -> None:
    pass


def conductor(stage: Any, group: asyncio.TaskGroup) -> Conductor:
    unused: Any = SimpleNamespace(ring=nothing)
    config: Any = SimpleNamespace(passage=SimpleNamespace(deadline_s=1800))
    chronicle: Any = SimpleNamespace(moved=nothing, opened=nothing)
    stages = dict.fromkeys(State, stage)
    return Conductor(
        config, unused, stages, chronicle, Metrics(), unused,
        changed=lambda series: None, ended=nothing, group=group,
    )  # fmt: skip


async def stumbles(series: Any) -> None:
    raise KeyError("a value")


async def _held(two: list[Any]) -> list[Any]:
    """Conduct series until they rest, then stop."""
    async with asyncio.TaskGroup() as group:
        conducted = [conductor(stumbles, group), conductor(lambda series: asyncio.Event().wait(), group)]
        for one, by in zip(two, conducted, strict=True):
            by.take_up(one)
        await asyncio.sleep(0.1)
        for by in conducted:
            by.stop()
    return [one.passage.state for one in two]


async def test_a_stage_that_stumbles_holds_its_passage_and_no_other() -> None:
    two = [series(), series()]
    assert await _held(two) == [State.HELD, State.RECEIVING]
    assert two[0].passage.error.code == "PROGRAM_FAULT"
    assert two[0].passage.error.facts["kind"] == "KeyError"


async def test_control_a_fault_that_is_not_caught_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def passed_on(fault: Exception, passage_id: str) -> None:
        raise fault

    monkeypatch.setattr(conduct, "mishap", passed_on)
    with pytest.raises(ExceptionGroup):
        await _held([series(), series()])


async def test_a_slice_that_stumbles_is_told_by_its_series() -> None:
    def stumbling(*arguments: object) -> None:
        raise ZeroDivisionError

    unused: Any = None
    tripwire: Any = SimpleNamespace(check=stumbling)
    profiles: Any = SimpleNamespace(__getitem__=stumbling)
    one = series()
    slice_: Any = SimpleNamespace(
        is_uploaded=False, is_under_way=False, fault=None, instance=object(), payload=None
    )
    one.slices = {"1": slice_}
    async with asyncio.TaskGroup() as group:
        it = Prepare(unused, profiles, tripwire, unused, unused, Metrics(), lambda series: None, group)
        it.begin(one, slice_)
        with pytest.raises(prepare.GatewayError) as told:
            await it.all_looked_at(one)
    assert told.value.code == "PROGRAM_FAULT"
    assert not slice_.is_under_way
