"""What is wrong with the gateway itself is shown, counted and told, once, until it is well again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from gateway import config
from gateway.clerk.records import Damaged, LedgerFault
from gateway.errors import PeerError
from gateway.flow.alarm import Alarm
from gateway.flow.concerns import Concerns, damage_told, delivery_troubled
from gateway.flow.store import Trouble
from gateway.metrics import Metrics


class Told(Alarm):
    """An alarm system that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(config.Alarm())
        self.messages: list[Mapping[str, str]] = []

    async def tell(self, told: Callable[[], Mapping[str, str]], *, until: Callable[[], bool]) -> None:
        self.messages.append(told())
        for _ in range(300):
            await asyncio.sleep(0.01)
            if until():
                break


def count(metrics: Metrics, code: str) -> float | None:
    return metrics.registry.get_sample_value("contourgate_alarms", {"code": code})


async def test_it_stands_until_it_is_well_again_and_is_told_once() -> None:
    metrics, alarm = Metrics(), Told()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        concerns = Concerns(alarm, metrics, group)
        concerns.begin("RECEIPT_MISSING", "ab" * 16)
        concerns.begin("RECEIPT_MISSING", "ab" * 16)
        concerns.begin("RECEIPT_MISSING", "cd" * 16)
        await asyncio.sleep(0.02)
        assert [(one.error.code, one.about) for one in concerns.standing] == [
            ("RECEIPT_MISSING", "ab" * 16),
            ("RECEIPT_MISSING", "cd" * 16),
        ]
        assert count(metrics, "RECEIPT_MISSING") == 2
        concerns.end("RECEIPT_MISSING", "ab" * 16)
        assert count(metrics, "RECEIPT_MISSING") == 1
        concerns.end("RECEIPT_MISSING", "cd" * 16)
        concerns.end("RECEIPT_MISSING", "cd" * 16)
    assert concerns.standing == ()  # and the tasks that told have ended by themselves
    assert [message["about"] for message in alarm.messages] == ["ab" * 16, "cd" * 16]


async def test_stopping_leaves_no_task() -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        concerns = Concerns(Told(), Metrics(), group)
        concerns.begin("CLOCK_JUMPED", facts={"seconds": 86400})
        await asyncio.sleep(0.02)
        concerns.stop()


@pytest.mark.parametrize(("file", "code"), [("journal", "JOURNAL_DAMAGED"), ("ledger", "LEDGER_DAMAGED")])
def test_damage_is_told_with_its_place(file: str, code: str) -> None:
    damage = Damaged(
        at=datetime.now(UTC),
        file=file,  # type: ignore[arg-type]
        fault=LedgerFault.TRUNCATED,
        entry=4,
        offset=99,
        signed_entries=9,
    )
    told = damage_told(damage)
    assert told[0] == code
    assert told[2]["offset"] == 99
    assert ("entry" in told[2]) is (file == "ledger")


@pytest.mark.parametrize("is_alarm", [True, False])
async def test_only_a_delivery_that_takes_too_long_is_a_concern(is_alarm: bool) -> None:
    alarm = Told()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        concerns = Concerns(alarm, Metrics(), group)
        trouble = Trouble("ab" * 16, "tps", PeerError("PEER_UNREACHABLE"), 7, 120, is_alarm)
        delivery_troubled(concerns, trouble)
        await asyncio.sleep(0)
        concerns.end("DELIVERY_LATE", "tps")
    assert [message["reason"] for message in alarm.messages] == (["PEER_UNREACHABLE"] if is_alarm else [])
