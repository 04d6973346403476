"""What a stage makes of a contourer that does not answer, or that found identifiers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import ContourerRefused, PassageUnfit
from gateway.flow.stages import Stages


class Exchange:
    def __init__(self, answer: bytes | ContourerRefused | None) -> None:
        self.answer = answer

    async def result(self) -> bytes:
        if self.answer is None:
            await asyncio.sleep(60)
        if isinstance(self.answer, ContourerRefused):
            raise self.answer
        return self.answer or b""


def stages(exchange: Exchange, deleted: list[Any]) -> Stages:
    async def of(series: object) -> Exchange:
        return exchange

    unused: Any = None
    config: Any = SimpleNamespace(destinations=(), passage=SimpleNamespace(deadline_s=0.05))
    prepare: Any = SimpleNamespace(exchange=of)
    return Stages(config, unused, prepare, unused, unused, unused, unused, unused, deleted.append)


@pytest.fixture
def series() -> Any:
    return SimpleNamespace(before=None, result=b"")


async def test_a_result_is_taken_and_everything_over_there_is_deleted(series: Any) -> None:
    deleted: list[Any] = []
    await stages(Exchange(b"RTSTRUCT"), deleted).await_result(series)
    assert (series.result, deleted) == (b"RTSTRUCT", [series])


async def test_a_contourer_that_never_answers_has_the_passage_held_at_the_deadline(series: Any) -> None:
    """Fault 52."""
    deleted: list[Any] = []
    with pytest.raises(PassageUnfit) as held:
        await stages(Exchange(None), deleted).await_result(series)
    assert held.value.code == "DEADLINE_PASSED"
    assert deleted == []  # a person may release it, and it is waited for again


@pytest.mark.parametrize(
    ("code", "is_deleted"), [("CONTOURER_FOUND_IDENTIFIERS", True), ("CONTOURER_FAILED", False)]
)
async def test_the_receipt_for_found_identifiers_is_asked_for_at_once(
    series: Any, code: str, is_deleted: bool
) -> None:
    """Fault 50."""
    deleted: list[Any] = []
    with pytest.raises(ContourerRefused):
        await stages(Exchange(ContourerRefused(code)), deleted).await_result(series)
    assert deleted == ([series] if is_deleted else [])
