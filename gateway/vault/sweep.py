"""Sweep: let go of what only cycles of objects still hold (R5).

CPython frees an object with its last reference, but a cycle only when its collector comes by, and in a gateway that
is idle it comes never. So it is sent soon after a passage has ended, and again when the last associations and
deletions that belonged to it are over. What was there before the first patient is put out of its sight, which makes
the way short. What became free goes back to the kernel.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

from gateway.vault.memory import return_freed

AFTER_S: Final = (1.0, 10.0, 60.0)
"""When it comes after an end."""


class Sweep:
    """The collector's timetable, on the event loop that is running."""

    def __init__(self) -> None:
        self._due: list[asyncio.TimerHandle] = []

    def start(self) -> None:
        """Take what exists now for permanent; call it when everything is wired and no passage has begun."""
        gc.collect()
        gc.freeze()

    def passage_ended(self) -> None:
        """Come by soon."""
        loop = asyncio.get_running_loop()
        self.stop()
        self._due = [loop.call_later(after_s, _come_by) for after_s in AFTER_S]

    def stop(self) -> None:
        """Come by no more."""
        for timer in self._due:
            timer.cancel()
        self._due = []


def _come_by() -> None:
    gc.collect()
    return_freed()
