"""A clock that is set is noticed, recorded and told, and nothing else is (faults 55)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import config
from gateway.clerk.records import ClockJumped, Record
from gateway.errors import GatewayError
from gateway.flow.alarm import Alarm
from gateway.flow.clock import ClockWatch
from gateway.flow.concerns import Concerns
from gateway.metrics import Metrics

DAY_S = 86400


class Stand:
    """Two clocks that a test moves, and what was written and told."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.wall = 1.8e9
        self.steady = 1000.0
        self.is_lost = False
        self.written: list[Record] = []
        self.concerns = Concerns(Alarm(config.Alarm()), Metrics(), group)
        self.watch = ClockWatch(self, self.concerns, lambda: self.wall, lambda: self.steady)

    async def write(self, record: Record) -> None:
        if self.is_lost:
            raise GatewayError("CLERK_LOST")
        self.written.append(record)

    def passes(self, seconds: float, set_by: float = 0.0) -> None:
        self.steady += seconds
        self.wall += seconds + set_by

    @property
    def told(self) -> list[dict[str, Any]]:
        return [dict(concern.error.facts) for concern in self.concerns.standing]


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
async def test_a_clock_set_by_a_day_is_recorded_and_told(jump_s: int) -> None:
    async with asyncio.TaskGroup() as group:
        stand = Stand(group)
        stand.passes(1, set_by=jump_s)
        assert await stand.watch.look() == pytest.approx(jump_s)
        assert await stand.watch.look() == 0
        (record,) = stand.written
        assert isinstance(record, ClockJumped)
        assert record.seconds == jump_s
        assert stand.told == [{"seconds": jump_s}]


async def test_a_second_jump_is_told_too() -> None:
    async with asyncio.TaskGroup() as group:
        stand = Stand(group)
        for jump_s in (DAY_S, -DAY_S):
            stand.passes(1, set_by=jump_s)
            await stand.watch.look()
        assert stand.told == [{"seconds": -DAY_S}]
        assert len(stand.written) == 2


async def test_control_time_that_passes_is_no_jump_and_neither_is_a_time_service() -> None:
    async with asyncio.TaskGroup() as group:
        stand = Stand(group)
        stand.passes(30 * DAY_S)
        assert await stand.watch.look() == 0
        for _ in range(100):
            stand.passes(1, set_by=0.5)
            assert await stand.watch.look() == 0
        assert stand.told == []
        assert stand.written == []


async def test_a_clerk_that_is_gone_does_not_stop_the_watch() -> None:
    async with asyncio.TaskGroup() as group:
        stand = Stand(group)
        stand.is_lost = True
        stand.passes(1, set_by=DAY_S)
        assert await stand.watch.look()
        assert stand.told == [{"seconds": DAY_S}]
