"""Rounds: what the doctor finds in a running gateway, for the console.

Nothing is written, because the vault can write nothing. Files are read off the event loop. However often it is asked,
the examinations are made once in a while only: each asks every peer for an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.cloud.contourer import Contourer
from gateway.config import Config, DicomwebContourer
from gateway.doctor import certificates, clock, machine, peers, state
from gateway.doctor.diagnosis import Diagnosis
from gateway.vault.lockdown import Lockdown

__all__ = ["Report", "Rounds"]

AGAIN_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and when."""

    at: datetime
    diagnoses: Sequence[Diagnosis]


class Rounds:
    """Examines the gateway that it is a part of.

    Parameters
    ----------
    config : Config
    lockdown : Lockdown
        What is in force.
    scu : Echoes
    contourer : Contourer
    again_s : float
        For how long a report is given again.
    """

    def __init__(
        self,
        config: Config,
        lockdown: Lockdown,
        scu: peers.Echoes,
        contourer: Contourer,
        again_s: float = AGAIN_S,
    ) -> None:
        self._config = config
        self._lockdown = lockdown
        self._scu = scu
        self._contourer = contourer
        self._again_s = again_s
        self._turn = asyncio.Lock()
        self._last: tuple[float, Report] | None = None

    def update(self, config: Config) -> None:
        """Examine by a changed configuration, as soon as the next report is asked for."""
        self._config, self._last = config, None

    async def report(self) -> Report:
        """The last report, or a new one where that is too old."""
        async with self._turn:
            if self._last is None or time.monotonic() - self._last[0] > self._again_s:
                self._last = (time.monotonic(), Report(datetime.now(UTC), await self._examined()))
            return self._last[1]

    async def _examined(self) -> list[Diagnosis]:
        is_attested = not isinstance(self._config.contourer, DicomwebContourer)
        there, answered, contourer = await asyncio.gather(
            asyncio.to_thread(self._look),
            peers.peers_answer(self._config, self._scu),
            peers.contourer_answers(self._contourer, is_attested=is_attested),
        )
        return [*there, *answered, contourer]

    def _look(self) -> list[Diagnosis]:
        return [
            *machine.lockdown_in_force(self._lockdown),
            *clock.examine(self._config),
            *state.folder(self._config),
            *state.key_and_files(self._config),
            *certificates.examine(self._config),
        ]
