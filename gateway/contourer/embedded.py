"""The embedded contourer: one of our own, as a child of the vault on loopback.

The vault makes its keys in memory and hands them over through a pipe; both ends pin each other, like any contourer
and clinic. The listening socket is the vault's and outlives the child, so a child that died and was started again
is found at the same address, with the same keys, by exchanges that are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict

import gateway
from gateway.cloud.tls import Certificate
from gateway.cloud.transport import Endpoint
from gateway.contourer.engines import ENGINE
from gateway.contourer.identity import ContourerKeys
from gateway.errors import ContourerUnavailable, Word

__all__ = ["READY", "EmbeddedContourer", "Handover"]

READY: Final = "ready\n"
_START_S: Final = 30.0
_END_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0

_log = structlog.get_logger()


class Handover(BaseModel):
    """What the child gets on its standard input."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    keys: str
    """`ContourerKeys.to_bytes`; secret."""
    client: str
    """The vault's certificate, PEM."""
    models: list[str]
    engine: str
    descriptor: int
    """The listening socket."""
    without_landlock: bool


class EmbeddedContourer:
    """Starts the child, starts it again when it dies, and ends it.

    Parameters
    ----------
    models : sequence of str
        What the rules may ask for.
    engine : str
        Module of the engine.
    without_landlock : bool
        Whether a waiver says that this kernel has no Landlock.
    """

    def __init__(
        self, models: Sequence[str], engine: str = ENGINE, *, without_landlock: bool = False
    ) -> None:
        self._keys = ContourerKeys.generate("LOCAL")
        self._ours = Certificate.self_signed("contourgate vault")
        self._models = list(models)
        self._engine = engine
        self._without_landlock = without_landlock
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._child: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def endpoint(self) -> Endpoint:
        """How it is reached; the same for as long as this object lives."""
        port = self._listening.getsockname()[1]
        return Endpoint(f"https://127.0.0.1:{port}", self._keys.public, self._ours)

    @property
    def pid(self) -> int:
        """Of the child that runs now; 0 when there is none."""
        return self._child.pid if self._child is not None else 0

    async def start(self) -> None:
        """Start the child; returns when it answers.

        Raises
        ------
        ContourerUnavailable
            If it does not come up.
        """
        self._child = await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive(self._child))

    async def close(self) -> None:
        """End the child. Idempotent."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._child is not None:
            await _end(self._child)
            self._child = None
        self._listening.close()

    async def _keep_alive(self, child: asyncio.subprocess.Process) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            began = asyncio.get_running_loop().time()
            status = await child.wait()
            _log.error("embedded contourer ended", exit_code=status)
            if asyncio.get_running_loop().time() - began > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            while True:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                try:
                    child = self._child = await self._spawn()
                except ContourerUnavailable as error:
                    _log.error("embedded contourer does not start", reason=error.code)
                else:
                    break

    async def _spawn(self) -> asyncio.subprocess.Process:
        descriptor = self._listening.fileno()
        handover = Handover(
            keys=self._keys.to_bytes().decode("ascii"),
            client=self._ours.certificate.decode("ascii"),
            models=self._models,
            engine=self._engine,
            descriptor=descriptor,
            without_landlock=self._without_landlock,
        )
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "gateway.contourer",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(descriptor,),
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(gateway.__file__).parent.parent),
                    "OPENBLAS_NUM_THREADS": "1",  # a thread that numpy starts would keep its rights over files
                },
            )
        except OSError:
            raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("no process")) from None
        try:
            async with asyncio.timeout(_START_S):
                if await _handed_over(child, handover):
                    return child
        except (TimeoutError, ConnectionError):
            pass
        except BaseException:
            await _end(child)
            raise
        await _end(child)
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("does not start"))


async def _handed_over(child: asyncio.subprocess.Process, handover: Handover) -> bool:
    """Give the child what it needs; whether it says that it is ready."""
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("the child has no pipes")
    document = handover.model_dump_json().encode("ascii")
    child.stdin.write(len(document).to_bytes(4, "big") + document)
    await child.stdin.drain()
    return await child.stdout.readline() == READY.encode("ascii")


async def _end(child: asyncio.subprocess.Process) -> None:
    """Tell it to end by the end of its input, then make it."""
    if child.stdin is not None:
        child.stdin.close()
    if child.returncode is None:
        try:
            async with asyncio.timeout(_END_S):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
    await child.wait()
