"""The contourer's process: what it gives up before it starts, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from gateway.contourer.identity import ContourerKeys
from gateway.contourer.records import Recorder
from gateway.contourer.service import Service, Settings
from gateway.errors import ConfigError, Word
from gateway.vault import landlock, memory

__all__ = ["end_of_input", "keep_off_the_disk", "serve", "signalled"]


def keep_off_the_disk(state: Path | None, *, without_landlock: bool = False) -> None:
    """Let the kernel deny every change of a file outside the state folder, core dumps and foreign readers.

    Must come before the first thread.

    Parameters
    ----------
    state : Path, optional
        An existing folder that stays writable.
    without_landlock : bool
        Whether the administrator knows that this kernel has no Landlock.

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
        if without_landlock:
            return
        raise ConfigError("LOCKDOWN_IMPOSSIBLE", missing=Word("landlock")) from None


async def signalled() -> None:
    """Wait for SIGTERM or SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


async def end_of_input() -> None:
    """Wait until whoever holds the other end of standard input closes it, or dies.

    Signals are left to the other end: a service manager sends them to every process at once, and the vault still
    needs its contourer while it drains.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    try:
        await reader.read()
    finally:
        transport.close()


async def serve(
    keys: ContourerKeys,
    settings: Settings,
    listening: socket.socket,
    record: Recorder,
    ready: Callable[[], None],
    until: Callable[[], Coroutine[None, None, None]],
) -> None:
    """Serve until something has happened.

    Parameters
    ----------
    keys, settings, listening, record
        See `Service`.
    ready : callable
        Called once the port answers.
    until : callable
        What to wait for: `signalled` or `end_of_input`.
    """
    stopping = asyncio.create_task(until())
    async with Service(keys, settings, listening, record) as service:
        serving = asyncio.create_task(service.run())
        ready()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if serving.done():
            serving.result()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
