"""Reload: a running gateway reads its configuration again, and what waits for a mended entry goes on.

In: the configuration file, when somebody asks (`gateway reload`, SIGHUP). Out: sources, destinations, rules and the
alarm as they are in the file now; which other keys have changed and wait for a restart. Refuses, with `ConfigError`, a
file with a mistake: then everything stays as it was, and the console says so.

What is in memory stays there: no passage is interrupted, and each that waits for a destination or a PACS is tried again
at once. The clerk must know every name before a record has it, so the supervisor reads the file first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import structlog

from gateway.clerk.records import Reconfigured
from gateway.config import Config, load
from gateway.config_checks import findings
from gateway.errors import ConfigError, GatewayError, Word
from gateway.flow.chronicle import Link
from gateway.flow.concerns import Concerns

__all__ = ["TAKEN_OVER", "Changes", "Reload", "changes"]

_log = structlog.get_logger()

TAKEN_OVER: Final = ("sources", "destinations", "rules", "otherwise", "alarm")
"""The keys that a running gateway takes over; every other one is read at the start only."""
REFUSED: Final = "CONFIG_NOT_TAKEN_OVER"

Taker = Callable[[Config], None]
"""Takes over a configuration; may raise `ConfigError`, if it changes nothing then."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What another file means for a running gateway."""

    config: Config
    """In force from now on."""
    taken: tuple[str, ...]
    """Keys that were taken over."""
    restart: tuple[str, ...]
    """Keys that have changed, too, and stay as they were until the gateway is started again."""


def changes(before: Config, after: Config, today: date) -> Changes:
    """Tell what of a changed configuration can be taken over.

    Parameters
    ----------
    before : Config
        In force.
    after : Config
        The file's.
    today : date
        UTC.

    Raises
    ------
    ConfigError
        RESTART_NEEDED, where what can be taken over does not fit what cannot: a destination with TLS, say, and no
        certificate yet.
    """
    changed = [key for key in Config.model_fields if getattr(before, key) != getattr(after, key)]
    config = before.model_copy(update={key: getattr(after, key) for key in TAKEN_OVER})
    if any(findings(config, today)):
        raise ConfigError("RESTART_NEEDED")
    return Changes(
        config,
        taken=tuple(key for key in changed if key in TAKEN_OVER),
        restart=tuple(key for key in changed if key not in TAKEN_OVER),
    )


class Reload:
    """Reads the configuration again when it is told to.

    Parameters
    ----------
    path : Path
        Of the file.
    config : Config
        In force.
    link : Link
        The way to the clerk.
    concerns : Concerns
        Where a file that cannot be taken over shows.
    takers : sequence of Taker
        Who takes a configuration over, those that may refuse it first.
    wanted : Event
        Set when the file is to be read again: by the supervisor's SIGHUP, after the clerk has learnt its names.
    renew : callable
        Asks the supervisor for that.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        link: Link,
        concerns: Concerns,
        takers: Sequence[Taker],
        *,
        wanted: asyncio.Event,
        renew: Callable[[], None],
    ) -> None:
        self._path = path
        self._config = config
        self._link = link
        self._concerns = concerns
        self._takers = takers
        self._renew = renew
        self._wanted = wanted
        self._asked: list[asyncio.Future[Changes]] = []

    async def ask(self) -> Changes:
        """Have the file read again, and return what came of it.

        Raises
        ------
        ConfigError
            If it has a mistake, or RESTART_NEEDED.
        """
        answer: asyncio.Future[Changes] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self._renew()
        return await answer

    async def watch(self) -> None:
        """Read it whenever that is wanted."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            asked, self._asked = self._asked, []
            try:
                done = await self._take_over()
            except ConfigError as error:
                _log.error("configuration not taken over", reason=error.code, facts=error)
                self._concerns.begin(REFUSED, facts=error.facts)
                for answer in asked:
                    if not answer.done():  # nobody waits for it any more
                        answer.set_exception(error)
            else:
                self._concerns.end(REFUSED)
                for answer in asked:
                    if not answer.done():
                        answer.set_result(done)

    async def _take_over(self) -> Changes:
        found, sha256 = await asyncio.to_thread(self._read)
        for take in self._takers:
            take(found.config)
        self._config = found.config
        _log.info("configuration taken over", keys=[Word(key) for key in found.taken])
        if found.restart:
            _log.warning("these keys wait for a restart", keys=[Word(key) for key in found.restart])
        with contextlib.suppress(GatewayError):  # the clerk is lost: that has its own alarm
            await self._link.write(
                Reconfigured(
                    at=datetime.now(UTC),
                    configuration=sha256,
                    is_whole=not found.restart,
                )
            )
        return found

    def _read(self) -> tuple[Changes, str]:
        """Read the file, off the event loop; also its digest."""
        found = changes(self._config, load(self._path), datetime.now(UTC).date())
        try:
            return found, hashlib.sha256(self._path.read_bytes()).hexdigest()
        except OSError:  # gone since it was loaded
            raise ConfigError("CONFIG_UNREADABLE") from None
