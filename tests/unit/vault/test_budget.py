"""The memory budget (faults 43)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import IntakeError
from gateway.vault.budget import OUT_OF_RESOURCES, Budget


async def test_room_is_taken_and_given_back() -> None:
    told: list[int] = []
    budget = Budget(100, told.append)
    await budget.acquire(60, 1)
    budget.release(60)
    assert budget.used == 0
    assert told == [60, 0]


async def test_a_full_budget_answers_out_of_resources_after_the_deadline() -> None:
    budget = Budget(100)
    await budget.acquire(100, 1)
    with pytest.raises(IntakeError) as caught:
        await budget.acquire(1, 0.02)
    assert caught.value.code == "OUT_OF_MEMORY_BUDGET"
    assert caught.value.dimse_status == OUT_OF_RESOURCES
    assert (budget.used, budget.waiting) == (100, 0)


async def test_more_than_the_whole_budget_is_refused_at_once() -> None:
    with pytest.raises(IntakeError):
        await asyncio.wait_for(Budget(100).acquire(101, 1000), 1)


async def test_who_waits_is_served_when_room_comes_back() -> None:
    budget = Budget(100)
    await budget.acquire(100, 1)
    waiting = asyncio.create_task(budget.acquire(40, 5))
    await asyncio.sleep(0)
    budget.release(50)
    await waiting
    assert budget.used == 90


async def test_a_large_instance_is_not_overtaken() -> None:
    budget = Budget(100)
    await budget.acquire(90, 1)
    served: list[int] = []

    async def ask(size: int) -> None:
        await budget.acquire(size, 5)
        served.append(size)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask(80))
        await asyncio.sleep(0)
        group.create_task(ask(5))  # would fit at once
        await asyncio.sleep(0.01)
        assert served == []
        budget.release(90)
    assert served == [80, 5]


async def test_who_gives_up_does_not_block_those_behind() -> None:
    budget = Budget(100)
    await budget.acquire(50, 1)
    large = asyncio.create_task(budget.acquire(80, 0.02))
    await asyncio.sleep(0)
    small = asyncio.create_task(budget.acquire(50, 5))
    with pytest.raises(IntakeError):
        await large
    await small
    assert budget.used == 100


async def test_a_cancelled_wait_takes_nothing() -> None:
    budget = Budget(100)
    await budget.acquire(100, 1)
    waiting = asyncio.create_task(budget.acquire(10, 5))
    await asyncio.sleep(0)
    budget.release(100)  # served and cancelled in the same turn
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (budget.used, budget.waiting) == (0, 0)


async def test_room_that_comes_back_in_the_turn_of_a_cancellation_goes_to_the_next() -> None:
    budget = Budget(100)
    await budget.acquire(100, 1)
    first = asyncio.create_task(budget.acquire(10, 5))
    second = asyncio.create_task(budget.acquire(100, 5))
    await asyncio.sleep(0)
    first.cancel()
    budget.release(100)
    await second
    assert first.cancelled()
    assert (budget.used, budget.waiting) == (100, 0)


async def test_a_reservation_that_fails_leaves_nothing_behind() -> None:
    budget = Budget(100)
    with pytest.raises(ZeroDivisionError):
        async with budget.reserve(60, 1):
            raise ZeroDivisionError
    assert budget.used == 0


async def test_a_kept_reservation_stays_at_its_last_size() -> None:
    budget = Budget(100)
    async with budget.reserve(60, 1) as room:
        await room.resize(70)
        await room.resize(20)
        room.keep()
    assert budget.used == 20


async def test_growing_comes_before_those_who_hold_nothing() -> None:
    budget = Budget(100)
    await budget.acquire(60, 1)
    async with budget.reserve(40, 5) as room:
        waiting = asyncio.create_task(budget.acquire(30, 5))
        await asyncio.sleep(0)
        growing = asyncio.create_task(room.resize(60))
        await asyncio.sleep(0)
        budget.release(20)
        await growing
        assert not waiting.done()
        budget.release(40)
        await waiting
    assert budget.used == 30


async def test_giving_back_too_much_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="given back"):
        Budget(100).release(1)


@given(st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=12))
def test_whatever_happens_the_limit_holds_and_nothing_leaks(asked: list[tuple[int, bool]]) -> None:
    async def run() -> None:
        seen: list[int] = []
        budget = Budget(100, seen.append)

        async def one(size: int, fails: bool) -> None:
            async with budget.reserve(size, 0.05):
                await asyncio.sleep(0)
                if fails:
                    raise ZeroDivisionError

        results = await asyncio.gather(*(one(*each) for each in asked), return_exceptions=True)
        for (size, fails), result in zip(asked, results, strict=True):
            expected = IntakeError if size > 100 else ZeroDivisionError if fails else type(None)
            assert isinstance(result, expected)
        assert max(seen, default=0) <= 100
        assert (budget.used, budget.waiting) == (0, 0)

    asyncio.run(run())
