"""A pause ends by itself, or early when something has changed."""

from __future__ import annotations

import asyncio
import time

from gateway.flow.pauses import Pauses


async def test_a_pause_ends_by_itself() -> None:
    began = time.monotonic()
    await Pauses().sleep(0.05)
    assert time.monotonic() - began >= 0.05


async def test_everybody_who_pauses_is_woken_and_the_next_pause_is_a_whole_one() -> None:
    pauses = Pauses()
    sleepers = [asyncio.create_task(pauses.sleep(60)) for _ in range(2)]
    await asyncio.sleep(0)
    pauses.wake()
    async with asyncio.timeout(5):
        await asyncio.gather(*sleepers)
    later = asyncio.create_task(pauses.sleep(60))
    await asyncio.sleep(0.05)
    assert not later.done()
    later.cancel()
