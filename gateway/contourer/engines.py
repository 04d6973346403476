"""Engines: run the model in processes of their own and speak to them through pipes.

In: a model's name and packed slices. Out: an RT Structure Set. Two processes work on a passage, each in a cell (see
`gateway.contourer.cell`): the unpacker, whose output is the engine's input. Both are fresh for each passage, so
nothing of one patient is there when the next one comes; a pair is started ahead, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gateway
from gateway.cloud.protocol import Reason
from gateway.contourer.cell import WITHOUT_LANDLOCK
from gateway.contourer.refusal import Refusal
from gateway.contourer.unpacker import INVALID

__all__ = ["Engines"]

ENGINE: Final = "gateway.contourer.engine"
_UNPACKER: Final = "gateway.contourer.unpacker"
_ANSWER_LIMIT_BYTES: Final = 1 << 20
_RESULT_LIMIT_BYTES: Final = 256 << 20
_END_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Pair:
    unpacker: asyncio.subprocess.Process
    engine: asyncio.subprocess.Process

    def is_alive(self) -> bool:
        return self.unpacker.returncode is None and self.engine.returncode is None


class Engines:
    """Runs the engine for one passage after the other.

    Parameters
    ----------
    engine : str
        Module of the engine, or a script.
    timeout_s : float
        How long one passage may take.
    without_landlock : bool
        See `gateway.contourer.cell`.
    """

    def __init__(
        self, engine: str = ENGINE, timeout_s: float = 900, *, without_landlock: bool = False
    ) -> None:
        self._engine = engine
        self._options = (WITHOUT_LANDLOCK,) if without_landlock else ()
        self._timeout_s = timeout_s
        self._ahead: asyncio.Task[_Pair] | None = None
        self._processes: set[asyncio.subprocess.Process] = set()

    def warm_up(self) -> None:
        """Start the next pair now, so that it is ready when it is needed."""
        if self._ahead is None:
            self._ahead = asyncio.create_task(self._start())

    async def contour(self, model: str, count: int, slices: Callable[[], Iterable[bytes]]) -> bytes:
        """Have a series contoured.

        Parameters
        ----------
        model : str
        count : int
            Number of slices.
        slices : callable
            Gives the packed slices (`SlicePayload.to_bytes`) one after the other, so that all of them are never in
            memory at once.

        Returns
        -------
        bytes
            DICOM Part 10 stream.

        Raises
        ------
        Refusal
            ENGINE_TIMEOUT, ENGINE_CRASHED, ENGINE_REJECTED or SLICE_INVALID.
        """
        try:
            pair = await self._pair()
        except OSError:  # no process or no descriptor left
            raise Refusal(Reason.ENGINE_CRASHED) from None
        try:
            async with asyncio.timeout(self._timeout_s):
                feeding = asyncio.create_task(_feed(pair, model, count, slices))
                try:
                    return await _answer(pair)
                finally:
                    feeding.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await feeding
        except TimeoutError:
            raise Refusal(Reason.ENGINE_TIMEOUT) from None
        finally:
            await self._end(pair)
            self.warm_up()

    async def close(self) -> None:
        """End every process."""
        if self._ahead is not None:
            self._ahead.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await self._ahead
            self._ahead = None
        for process in list(self._processes):
            await self._end_process(process)

    async def _pair(self) -> _Pair:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            pair = await ahead
            if pair.is_alive():
                return pair
            await self._end(pair)
        return await self._start()

    async def _start(self) -> _Pair:
        reading, writing = os.pipe()
        try:
            engine = await self._spawn(self._engine, stdin=reading, stdout=asyncio.subprocess.PIPE)
            try:
                unpacker = await self._spawn(_UNPACKER, stdin=asyncio.subprocess.PIPE, stdout=writing)
            except BaseException:
                await self._end_process(engine)
                raise
        finally:
            os.close(reading)
            os.close(writing)
        return _Pair(unpacker, engine)

    async def _spawn(self, target: str, *, stdin: int, stdout: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "gateway.contourer.cell",
            *self._options,
            target,
            stdin=stdin,
            stdout=stdout,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            limit=_ANSWER_LIMIT_BYTES,
        )
        self._processes.add(process)
        return process

    async def _end(self, pair: _Pair) -> None:
        await self._end_process(pair.unpacker)
        await self._end_process(pair.engine)

    async def _end_process(self, process: asyncio.subprocess.Process) -> None:
        self._processes.discard(process)
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Nothing of ours but where the program lies and how many threads it may use."""
    kept = ("PATH", "LANG", "LC_ALL", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    found: Mapping[str, str] = {name: os.environ[name] for name in kept if name in os.environ}
    return {**found, "PYTHONPATH": str(Path(gateway.__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}


async def _feed(pair: _Pair, model: str, count: int, slices: Callable[[], Iterable[bytes]]) -> None:
    """Write the request; an end of the reader is no error here, because the answer tells more."""
    pipe = pair.unpacker.stdin
    if pipe is None:
        raise RuntimeError("the unpacker has no input")
    head = json.dumps({"model": model, "slices": count}).encode("ascii")
    try:
        pipe.write(len(head).to_bytes(4, "big") + head)
        for packed in slices():
            pipe.write(len(packed).to_bytes(8, "big") + packed)
            await pipe.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        pipe.close()


async def _answer(pair: _Pair) -> bytes:
    pipe = pair.engine.stdout
    if pipe is None:
        raise RuntimeError("the engine has no output")
    try:
        length = int.from_bytes(await pipe.readexactly(4), "big")
        if length > _ANSWER_LIMIT_BYTES:
            raise Refusal(Reason.ENGINE_CRASHED)
        told = json.loads(await pipe.readexactly(length))
        if not isinstance(told, dict) or told.get("ok") is not True:
            raise _rejection(told)
        size = int.from_bytes(await pipe.readexactly(8), "big")
        if not 0 < size <= _RESULT_LIMIT_BYTES:
            raise Refusal(Reason.ENGINE_CRASHED)
        return await pipe.readexactly(size)
    except (asyncio.IncompleteReadError, ValueError):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                if await pair.unpacker.wait() == INVALID:
                    raise Refusal(Reason.SLICE_INVALID) from None
        raise Refusal(Reason.ENGINE_CRASHED) from None


def _rejection(told: object) -> Refusal:
    code = told.get("code") if isinstance(told, dict) else None
    if isinstance(code, str) and re.fullmatch(r"[A-Z][A-Z_]{1,39}", code):
        return Refusal(Reason.ENGINE_REJECTED, detail=code)
    return Refusal(Reason.ENGINE_REJECTED)
