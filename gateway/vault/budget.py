"""The memory budget: what received instances may take in all.

A C-STORE waits here for room, which delays its response: that is the back-pressure on the sender. Room is
given in the order of asking, so that a large instance is not overtaken by small ones for ever; who holds room
already and needs more comes first, because only its end gives room back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import IntakeError

OUT_OF_RESOURCES: Final = 0xA700
"""C-STORE: Refused, Out of Resources (PS3.4 Table B.2-1)."""


class Room:
    """What one instance holds of the budget until it is kept or given back; see `Budget.reserve`."""

    def __init__(self, budget: Budget, size_bytes: int, wait_s: float) -> None:
        self._budget = budget
        self._wait_s = wait_s
        self._is_kept = False
        self.size_bytes = size_bytes

    async def resize(self, size_bytes: int) -> None:
        """Hold another amount, once the true size of an instance is known.

        Raises
        ------
        IntakeError
            `OUT_OF_MEMORY_BUDGET`, 0xA700, when growing finds no room in time.
        """
        more = size_bytes - self.size_bytes
        if more > 0:
            await self._budget.acquire(more, self._wait_s, comes_first=True)
        else:
            self._budget.release(-more)
        self.size_bytes = size_bytes

    def keep(self) -> None:
        """Let the instance stay in memory; whoever drops it calls `Budget.release`."""
        self._is_kept = True

    @property
    def is_kept(self) -> bool:
        """Whether `keep` was called."""
        return self._is_kept


class Budget:
    """Memory that instances may take.

    Parameters
    ----------
    limit_bytes : int
    changed : callable, optional
        Told the bytes in use after each change, for the metric.
    """

    def __init__(self, limit_bytes: int, changed: Callable[[int], None] | None = None) -> None:
        self.limit_bytes: Final = limit_bytes
        self._changed = changed or (lambda used: None)
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self._used

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._waiting)

    async def acquire(self, size_bytes: int, wait_s: float, *, comes_first: bool = False) -> None:
        """Wait for room and take it.

        Parameters
        ----------
        size_bytes : int
        wait_s : float
            Seconds after which the sender is told to come again.
        comes_first : bool
            For one who holds room already.

        Raises
        ------
        IntakeError
            `OUT_OF_MEMORY_BUDGET`, 0xA700; at once when the size is beyond the whole budget.
        """
        if size_bytes <= self.limit_bytes - self._used and (comes_first or not self._waiting):
            self._take(size_bytes)
            return
        if size_bytes > self.limit_bytes:
            raise IntakeError("OUT_OF_MEMORY_BUDGET", OUT_OF_RESOURCES, limit_bytes=self.limit_bytes)
        given = asyncio.get_running_loop().create_future()
        place = (size_bytes, given)
        if comes_first:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        try:
            async with asyncio.timeout(wait_s):
                await given
        except BaseException as stop:
            if given.done() and not given.cancelled():  # given and given up in the same turn of the loop
                self.release(size_bytes)
            else:
                if place in self._waiting:
                    self._waiting.remove(place)
                self._serve()
            if isinstance(stop, TimeoutError):
                raise IntakeError(
                    "OUT_OF_MEMORY_BUDGET", OUT_OF_RESOURCES, limit_bytes=self.limit_bytes
                ) from None
            raise

    def release(self, size_bytes: int) -> None:
        """Give room back.

        Raises
        ------
        ValueError
            If more is given back than is in use: a fault of the program.
        """
        if not 0 <= size_bytes <= self._used:
            raise ValueError("more memory is given back than is in use")
        self._used -= size_bytes
        self._serve()
        self._changed(self._used)

    @asynccontextmanager
    async def reserve(self, size_bytes: int, wait_s: float) -> AsyncIterator[Room]:
        """Hold room for the time of the block, and beyond it if `Room.keep` is called.

        Raises
        ------
        IntakeError
            `OUT_OF_MEMORY_BUDGET`, 0xA700.
        """
        await self.acquire(size_bytes, wait_s)
        room = Room(self, size_bytes, wait_s)
        try:
            yield room
        finally:
            if not room.is_kept:
                self.release(room.size_bytes)

    def _take(self, size_bytes: int) -> None:
        self._used += size_bytes
        self._changed(self._used)

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.limit_bytes - self._used:
            size_bytes, given = self._waiting.popleft()
            if not given.done():  # else it gave up in this turn of the loop
                self._take(size_bytes)
                given.set_result(None)
