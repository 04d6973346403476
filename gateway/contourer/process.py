"""The contourer's process: what it gives up before it starts, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from gateway.contourer.identity import ContourerKeys
from gateway.contourer.records import Recorder
from gateway.contourer.service import Service, Settings
from gateway.errors import ConfigError, Word
from gateway.vault import landlock, memory

__all__ = ["keep_off_the_disk", "serve"]


def keep_off_the_disk(state: Path | None) -> None:
    """Let the kernel deny every change of a file outside the state folder, core dumps and foreign readers.

    Must come before the first thread.

    Raises
    ------
    ConfigError
        LOCKDOWN_IMPOSSIBLE.
    """
    writable = [Path("/dev/null")]
    if state is not None:
        writable.append(state)
    try:
        memory.forbid_core_dumps()
        memory.forbid_foreign_readers()
        landlock.deny_changes(writable)
    except OSError:
        raise ConfigError("LOCKDOWN_IMPOSSIBLE", missing=Word("landlock")) from None


async def serve(
    keys: ContourerKeys,
    settings: Settings,
    listening: socket.socket,
    record: Recorder,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    keys, settings, listening, record
        See `Service`.
    ready : callable
        Called once the port answers.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with Service(keys, settings, listening, record) as service:
        serving = asyncio.create_task(service.run())
        stopping = asyncio.create_task(told.wait())
        ready()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            stopping.cancel()
            serving.result()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
