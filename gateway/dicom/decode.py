"""Decode: what came compressed, deflated or big endian becomes explicit VR little endian with native pixels.

In: an encoded dataset and its transfer syntax. Out: the dataset, decoded by a process apart. Refuses, with
`IntakeError`: what does not decode within its time and memory. A decoder that crashes or hangs is replaced; its request
is refused, every other one goes on.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.dicom.decoder import ANSWER, REQUEST, Outcome
from gateway.errors import IntakeError

DECODE_S: Final = 20.0
"""How long one image may take; a 512 by 512 slice takes some milliseconds."""

_CODES: Final[Mapping[Outcome, tuple[str, int]]] = MappingProxyType(
    {
        Outcome.UNPARSABLE: ("DATASET_UNPARSABLE", 0xC000),
        Outcome.TOO_LARGE: ("DATASET_TOO_LARGE", 0xA700),
        Outcome.PIXELS_UNFIT: ("PIXELS_UNFIT", 0xA900),
        Outcome.UNDECODABLE: ("PIXELS_UNDECODABLE", 0xC000),
    }
)


class Transcoder:
    """A few decoder processes and the queue before them.

    Parameters
    ----------
    processes : int
        How many run at most; each is started when first needed.
    deadline_s : float
        How long one request may take.
    """

    def __init__(self, processes: int = 2, deadline_s: float = DECODE_S) -> None:
        self._deadline_s = deadline_s
        self._idle: asyncio.Queue[asyncio.subprocess.Process | None] = asyncio.Queue()
        for _ in range(processes):
            self._idle.put_nowait(None)
        self._processes: set[asyncio.subprocess.Process] = set()

    async def to_native(
        self, data: bytes | bytearray | memoryview, transfer_syntax_uid: str, max_bytes: int
    ) -> bytes:
        """Decode one dataset.

        Parameters
        ----------
        data : bytes-like
            The encoded dataset, without file meta information.
        transfer_syntax_uid : str
        max_bytes : int
            The most that may come out.

        Raises
        ------
        IntakeError
            DATASET_UNPARSABLE, DATASET_TOO_LARGE, PIXELS_UNFIT or PIXELS_UNDECODABLE.
        """
        process = await self._idle.get()
        survives = False
        try:
            if process is None or process.returncode is not None:
                process = await self._spawn()
            async with asyncio.timeout(self._deadline_s):
                outcome, whole = await _ask(process, data, transfer_syntax_uid, max_bytes)
            survives = True
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            raise IntakeError("PIXELS_UNDECODABLE", 0xC000) from None
        finally:
            if process is not None and not survives:
                await self._end(process)
            self._idle.put_nowait(process if survives else None)
        if outcome is not Outcome.DONE:
            code, status = _CODES[outcome]
            raise IntakeError(code, status)
        return whole

    async def close(self) -> None:
        """End every decoder."""
        for process in list(self._processes):
            await self._end(process)

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.dicom.decoder",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"},
        )
        self._processes.add(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._processes.discard(process)
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(
    process: asyncio.subprocess.Process, data: bytes | bytearray | memoryview, syntax: str, max_bytes: int
) -> tuple[Outcome, bytes]:
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise BrokenPipeError
    uid = syntax.encode("ascii")
    stdin.write(REQUEST.pack(len(uid), max_bytes, len(data)) + uid)
    stdin.write(data)
    await stdin.drain()
    outcome, length = ANSWER.unpack(await stdout.readexactly(ANSWER.size))
    return Outcome(outcome), await stdout.readexactly(length)
