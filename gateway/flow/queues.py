"""Queues: what waits before each destination, and a person's switch for it.

While a queue is paused nothing is sent to its destination; an association under way is finished. What waits stays
where it is. The switch lasts until it is turned back, or until the gateway is started again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.clerk.records import Deed
from gateway.errors import GatewayError
from gateway.flow.chronicle import Chronicle
from gateway.flow.store import Line


@dataclass(frozen=True, slots=True)
class Queue:
    """One destination's, as a person sees it."""

    name: str
    waiting: int
    """Structure sets not yet delivered."""
    is_paused: bool
    error: GatewayError | None
    """Why the last try failed; None after a success."""


class Queues:
    """All of them.

    Parameters
    ----------
    lines : mapping of str to Line
        By the destination's name.
    chronicle : Chronicle
        Where a person's decisions are recorded.
    """

    def __init__(self, lines: Mapping[str, Line], chronicle: Chronicle) -> None:
        self._lines = lines
        self._chronicle = chronicle

    def all(self) -> Sequence[Queue]:
        """In the order of the configuration."""
        return [Queue(name, line.waiting, line.is_paused, line.error) for name, line in self._lines.items()]

    async def pause(self, name: str) -> None:
        """Send nothing to a destination from now on.

        Raises
        ------
        KeyError
            If there is no such destination.
        """
        line = self._lines[name]
        if not line.is_paused:
            await self._chronicle.switched(name, Deed.PAUSE)
            line.pause()

    async def resume(self, name: str) -> None:
        """Send again, at once.

        Raises
        ------
        KeyError
        """
        line = self._lines[name]
        if line.is_paused:
            await self._chronicle.switched(name, Deed.RESUME)
            line.resume()
