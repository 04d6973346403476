"""A running contourer: the parts made, wired, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from gateway.cloud.tls import fingerprint, server_context
from gateway.contourer.api import Api
from gateway.contourer.contouring import Contouring
from gateway.contourer.engines import ENGINE, Engines
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.records import Recorder
from gateway.contourer.retention import Caps, Retention

__all__ = ["Service", "Settings"]

_SHUTDOWN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides about a contourer."""

    models: frozenset[str] = frozenset()
    """None: whatever is asked for."""
    clients: tuple[bytes, ...] = ()
    """Certificates of the clients, PEM; none: anyone who reaches the port."""
    engine: str = ENGINE
    timeout_s: float = 900
    """For one passage."""
    without_landlock: bool = False
    """Whether it is known that this kernel has no Landlock."""
    caps: Caps = field(default_factory=Caps)


class Service:
    """Serves on a listening socket for as long as its `async with` block lasts."""

    def __init__(
        self, keys: ContourerKeys, settings: Settings, listening: socket.socket, record: Recorder
    ) -> None:
        self._keys = keys
        self._settings = settings
        self._listening = listening
        self._record = record
        self._engines = Engines(
            settings.engine, settings.timeout_s, without_landlock=settings.without_landlock
        )
        self._retention = Retention(keys.signing, keys.region, record, settings.caps)
        self._contouring = Contouring(keys, self._retention, self._engines, record)
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        settings = self._settings
        clients = frozenset(
            fingerprint(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))) for pem in settings.clients
        )
        api = Api(self._keys, settings.models, clients, self._retention, self._contouring, settings.caps)
        self._runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        context = server_context(self._keys.certificate, settings.clients)
        await web.SockSite(self._runner, self._listening, ssl_context=context).start()
        self._tasks = [
            asyncio.create_task(self._contouring.work()),
            asyncio.create_task(self._retention.keep_time()),
        ]
        return self

    async def run(self) -> None:
        """Serve until cancelled; a part that breaks ends it with its error."""
        await asyncio.gather(*self._tasks)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._runner is not None:
            await self._runner.cleanup()
        await self._engines.close()
        self._record({"event": "stopped"})
