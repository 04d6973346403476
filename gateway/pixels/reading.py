"""Reading: the reader process as the vault sees it, one awaited call for each picture.

A reader that crashes or hangs is replaced once; if the second one fails too, the series cannot be read and is held.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

from gateway.errors import DeidentificationError
from gateway.pixels.reader import COUNT, PLACE, READY, REQUEST, SIDE, Place
from gateway.pixels.windows import Grey

START_S: Final = 60.0
"""How long loading the models may take; on an idle machine it is one second."""
READ_S: Final = 20.0
"""How long one picture of 512 by 512 pixels may take; on an idle machine it is a fifth of a second."""

COMMAND: Final = (sys.executable, "-m", "gateway.pixels.reader")
_PASSED_ON: Final = ("PATH", "MALLOC_PERTURB_")


class Reader:
    """One reader process and the queue before it.

    Parameters
    ----------
    deadline_s : float
        How long one picture of 512 by 512 pixels may take; a larger one as much longer.
    command : sequence of str
        What is run; something that fails, in tests.
    """

    def __init__(self, deadline_s: float = READ_S, command: Sequence[str] = COMMAND) -> None:
        self._deadline_s = deadline_s
        self._command = command
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._is_ready = False

    async def start(self) -> None:
        """Start the process; it loads its models while the vault goes on."""
        async with self._turn:
            if self._process is None:
                await self._spawn()

    async def places(self, picture: Grey) -> list[Place]:
        """Where a picture has text.

        Parameters
        ----------
        picture : numpy.ndarray
            (rows, columns), 8-bit grey, C-contiguous.

        Raises
        ------
        DeidentificationError
            DEID_PIXELS_UNREAD.
        """
        async with self._turn:
            for _ in range(2):
                try:
                    return await self._ask(picture)
                except (TimeoutError, OSError, asyncio.IncompleteReadError):
                    await self._end()
                except BaseException:
                    await self._end()  # cancelled in the middle of an answer
                    raise
        raise DeidentificationError("DEID_PIXELS_UNREAD")

    async def close(self) -> None:
        """End the process."""
        await self._end()

    async def _ask(self, picture: Grey) -> list[Place]:
        process = self._process or await self._spawn()
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise BrokenPipeError
        if not self._is_ready:
            async with asyncio.timeout(START_S):
                if await stdout.readexactly(len(READY)) != READY:
                    raise BrokenPipeError
            self._is_ready = True
        async with asyncio.timeout(self._deadline_s * max(1.0, picture.size / SIDE**2)):
            stdin.write(REQUEST.pack(*picture.shape))
            stdin.write(picture.tobytes())
            await stdin.drain()
            (count,) = COUNT.unpack(await stdout.readexactly(COUNT.size))
            answer = await stdout.readexactly(count * PLACE.size)
        return [Place._make((*place, score / 1000)) for *place, score in PLACE.iter_unpack(answer)]

    async def _spawn(self) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._is_ready = False
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={
                **environment,
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        return self._process

    async def _end(self) -> None:
        process, self._process, self._is_ready = self._process, None, False
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
