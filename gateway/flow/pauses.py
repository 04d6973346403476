"""Pauses between tries, which end early when something has changed."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["Pauses"]


class Pauses:
    """The pauses of all who wait for the same thing."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """End every pause that somebody is in: another try is worth it."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for a while, or until `wake`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
