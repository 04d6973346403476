"""Clock: notice that the machine's clock was set.

No limit and no deadline of the gateway hangs on the wall clock; times in records do. What is noticed is recorded, so
that whoever reads the ledger knows where times do not compare, and raises an alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from gateway.clerk.records import ClockJumped
from gateway.cloud.receipts import since_boot
from gateway.errors import GatewayError
from gateway.flow.chronicle import Link
from gateway.flow.concerns import Concerns

JUMP_S: Final = 10.0
"""Less is what a time service does every day."""
LOOK_S: Final = 1.0


class ClockWatch:
    """Compares the wall clock with one that nobody can set.

    Parameters
    ----------
    link : Link
        The way to the clerk.
    concerns : Concerns
    wall, steady : callable
        Seconds: since 1970, and since the machine started.
    """

    def __init__(
        self,
        link: Link,
        concerns: Concerns,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._link = link
        self._concerns = concerns
        self._wall = wall
        self._steady = steady
        self._offset_s = wall() - steady()

    async def look(self) -> float:
        """Look once; by how many seconds the clock was set since the last look, 0 where it was not."""
        offset_s = self._wall() - self._steady()
        jump_s = offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(jump_s) < JUMP_S:
            return 0.0
        self._concerns.end("CLOCK_JUMPED")
        self._concerns.begin("CLOCK_JUMPED", facts={"seconds": round(jump_s)})
        with contextlib.suppress(GatewayError):  # the clerk is lost: that has its own alarm
            await self._link.write(ClockJumped(at=datetime.now(UTC), seconds=round(jump_s)))
        return jump_s

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)
