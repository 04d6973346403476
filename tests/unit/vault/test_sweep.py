"""Cycles are let go of soon after a passage has ended."""

import asyncio
import gc
import weakref

import pytest

from gateway.vault import sweep as sweep_module
from gateway.vault.sweep import Sweep


class _Identity:
    def __init__(self) -> None:
        self.myself = self


def _forgotten() -> "weakref.ref[_Identity]":
    return weakref.ref(_Identity())


async def test_what_only_a_cycle_holds_goes_soon_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "AFTER_S", (0.01,))
    gc.disable()  # as in a gateway that is idle
    try:
        sweep = Sweep()
        left = _forgotten()
        await asyncio.sleep(0.05)
        assert left() is not None  # control: without the sweep it stays
        sweep.passage_ended()
        await asyncio.sleep(0.05)
        assert left() is None
    finally:
        gc.enable()


async def test_a_sweep_that_was_stopped_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "AFTER_S", (0.01,))
    gc.disable()
    try:
        sweep = Sweep()
        left = _forgotten()
        sweep.passage_ended()
        sweep.stop()
        await asyncio.sleep(0.05)
        assert left() is not None
    finally:
        gc.enable()
