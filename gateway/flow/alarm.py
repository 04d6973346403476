"""Alarm: tell a hospital's own alarm system of a passage that is late or must be sent again, and of other concerns.

In: a passage, or a message. Out: a JSON object by POST, once and then daily for as long as the matter is open. It
carries nothing that the console does not show: ids, pseudonym, state, code, times. That it cannot be told harms no
passage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import structlog

from gateway.config import Alarm as AlarmSettings
from gateway.config import Config
from gateway.flow.pauses import Pauses
from gateway.passage import Passage

_log = structlog.get_logger()

ANSWER_S: Final = 10.0
PAUSES_S: Final = (5.0, 30.0, 120.0)
"""Between the tries of one telling."""

Message = Mapping[str, str]


class Alarm:
    """Tells of passages and concerns.

    Parameters
    ----------
    settings : gateway.config.Alarm
        Without `webhook_url` nobody is told.
    pauses_s : tuple of float
        Between tries.
    """

    def __init__(self, settings: AlarmSettings, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self._url = settings.webhook_url
        self._repeat_s = settings.repeat_s
        self._pauses_s = pauses_s
        self._ringing: set[str] = set()
        self._pauses = Pauses()

    def update(self, config: Config) -> None:
        """Take over a changed configuration: what was told and still stands is told anew, to whom it names."""
        if (config.alarm.webhook_url, config.alarm.repeat_s) != (self._url, self._repeat_s):
            self._url, self._repeat_s = config.alarm.webhook_url, config.alarm.repeat_s
            self._pauses.wake()

    async def ring(self, passage: Passage) -> None:
        """Tell of a passage, now and again; returns when it has ended, or at once where it is told of already."""
        if passage.id in self._ringing:
            return
        self._ringing.add(passage.id)
        try:
            await self.tell(lambda: message(passage), until=lambda: passage.has_ended)
        finally:
            self._ringing.discard(passage.id)

    async def tell(self, told: Callable[[], Message], *, until: Callable[[], bool]) -> None:
        """Tell a message, now and again.

        Parameters
        ----------
        told : callable
            Makes the message as it is now.
        until : callable
            Whether there is nothing more to tell.
        """
        while self._url is not None and not until():
            await self._insist(self._url, told())
            await self._pauses.sleep(self._repeat_s)

    async def _insist(self, url: str, told: Message) -> None:
        for pause_s in (*self._pauses_s, None):
            if await _is_told(url, told):
                return
            _log.warning("alarm not told", passage=told.get("passage", ""), reason="ALARM_NOT_TOLD")
            if pause_s is not None:
                await asyncio.sleep(pause_s)


async def _is_told(url: str, told: Message) -> bool:
    # No proxy of the environment, no cookie, no redirection: only who was configured.
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    jar = aiohttp.DummyCookieJar()
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, trust_env=False) as session,
            session.post(url, json=dict(told), allow_redirects=False) as answer,
        ):
            return answer.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):  # ValueError: no URL after all
        return False


def message(passage: Passage) -> dict[str, str]:
    """What is told of a passage."""
    reason = passage.error or passage.waiting
    return {
        "passage": passage.id,
        "pseudonym": passage.pseudonym,
        "source": passage.source,
        "state": passage.state.value,
        "code": reason.code if reason is not None else "DEADLINE_PASSED",
        "since": passage.since.isoformat(timespec="seconds"),
        "started": passage.started.isoformat(timespec="seconds"),
    }
