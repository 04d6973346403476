"""Cycles are let go of soon after a passage has ended."""

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from gateway.vault import sweep as sweep_module
from gateway.vault.memory import ENVIRONMENT
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


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_FREES_AND_SWEEPS = """
from tests.unit.vault.test_sweep import _resident_bytes
from gateway.vault.memory import protect_child
from gateway.vault.sweep import _come_by
protect_child()
buffers = [bytearray(b"x" * 2**19) for _ in range(200)]
full = _resident_bytes()
del buffers
freed = _resident_bytes()
_come_by()
print(full, freed, _resident_bytes())
"""


def test_what_became_free_goes_back_to_the_kernel() -> None:
    command = [sys.executable, "-c", _FREES_AND_SWEEPS]
    told = subprocess.run(
        command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True
    )
    full, freed, swept = map(int, told.stdout.split())
    assert freed > full - 10 * 2**20  # control: without the sweep it stays with the process, to be used again
    assert swept < full - 90 * 2**20
