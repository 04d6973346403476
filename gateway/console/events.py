"""Server-sent events: what changes on the board reaches every open page.

Comes in: the board's changes. Goes out: frames of `text/event-stream` (WHATWG HTML, section 9.2), the same bytes to
every page. A page gets a snapshot first and then whole passages, never differences, so that nothing depends on what
it saw before. Changes are gathered for `batch_s`, so that a thousand slices a second are a few frames.

A page that does not read loses its stream when its queue is full, and gets a new snapshot when it comes back.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.console.views import PassageView, StatusView, timestamp
from gateway.flow.board import Board
from gateway.passage import Passage


class TooManyStreams(Exception):
    """As many pages are open as may be."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What the streams may take."""

    streams: int = 32
    """Open at once."""
    frames: int = 64
    """Waiting for one page."""
    write_s: float = 10
    """For one frame to go out."""
    batch_s: float = 0.2
    """For which changes are gathered."""
    poll_s: float = 1
    """Between looks at what changes without a passage moving: readiness, lateness, memory."""
    beat_s: float = 10
    """At most between two frames, so that a page knows that it is not cut off."""


class Stream:
    """The frames that wait for one page."""

    def __init__(self, first: bytes, *, limit: int) -> None:
        self._waiting: deque[bytes] = deque((first,))
        self._limit = limit
        self._is_closed = False
        self._stirred = asyncio.Event()
        self._stirred.set()

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more frames."""
        return self._is_closed

    def offer(self, frame: bytes) -> None:
        """Queue a frame; if the queue is full, drop what waits and close."""
        if self._is_closed:
            return
        if len(self._waiting) >= self._limit:
            self._waiting.clear()
            self.close()
            return
        self._waiting.append(frame)
        self._stirred.set()

    def close(self) -> None:
        """Let `frames` end after what waits."""
        self._is_closed = True
        self._stirred.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the frames in order, until the stream is closed."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._waiting:
                yield self._waiting.popleft()
            if self._is_closed:
                return


class Hub:
    """Renders each change once and offers it to every stream.

    Parameters
    ----------
    board : Board
    passage_view : callable
    status : callable
    limits : StreamLimits, optional
    """

    def __init__(
        self,
        board: Board,
        passage_view: Callable[[Passage], PassageView],
        status: Callable[[], StatusView],
        limits: StreamLimits | None = None,
    ) -> None:
        self.limits = limits or StreamLimits()
        self._board = board
        self._view = passage_view
        self._status = status
        self._streams: set[Stream] = set()
        self._changed: dict[str, Passage] = {}
        self._known: set[str] = set()
        self._last_status: StatusView | None = None
        self._last_frame_at = 0.0
        self._stirred = asyncio.Event()
        self._is_closed = False

    def subscribe(self) -> Stream:
        """Open a stream, which begins with a snapshot.

        Raises
        ------
        TooManyStreams
            If as many are open as may be, or the console is being stopped.
        """
        if self._is_closed or len(self._streams) >= self.limits.streams:
            raise TooManyStreams
        stream = Stream(self._snapshot(), limit=self.limits.frames)
        self._streams.add(stream)
        return stream

    def unsubscribe(self, stream: Stream) -> None:
        """Close a stream and forget it."""
        stream.close()
        self._streams.discard(stream)

    def close(self) -> None:
        """Close every stream and open no more."""
        self._is_closed = True
        for stream in self._streams:
            stream.close()

    async def run(self) -> None:
        """Watch the board until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._publish_forever())

    async def _watch(self) -> None:
        async for passage in self._board.changes():
            self._changed[passage.id] = passage
            self._stirred.set()

    async def _publish_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.limits.poll_s):
                    await self._stirred.wait()
                await asyncio.sleep(self.limits.batch_s)
            except TimeoutError:
                pass
            self._stirred.clear()
            self.publish()

    def publish(self) -> None:
        """Offer to every stream what has changed since it was last called."""
        changed, self._changed = self._changed, {}
        if not self._streams:
            return
        frames: list[bytes] = []
        now = {passage.id for passage in self._board.passages()}
        if moved := [self._view(passage) for passage in changed.values() if passage.id in now]:
            frames.append(_frame("passages", {"passages": moved}))
        if gone := sorted(self._known - now):
            frames.append(_frame("gone", {"ids": gone}))
        self._known = now
        status = self._status()
        if status != self._last_status:
            frames.append(_frame("status", {"status": status}))
            self._last_status = status
        moment = asyncio.get_running_loop().time()
        if not frames and moment - self._last_frame_at >= self.limits.beat_s:
            frames.append(_frame("beat", {}))
        if frames:
            self._last_frame_at = moment
            whole = b"".join(frames)
            for stream in self._streams:
                stream.offer(whole)

    def _snapshot(self) -> bytes:
        passages = self._board.passages()
        self._known |= {passage.id for passage in passages}
        views = [self._view(passage) for passage in passages]
        return b"retry: 2000\n" + _frame("snapshot", {"passages": views, "status": self._status()})


def _frame(event: str, data: Mapping[str, Any]) -> bytes:
    """Return one event; JSON escapes line ends, so the data is one line whatever it holds."""
    text = json.dumps({"now": timestamp(datetime.now(UTC)), **data}, separators=(",", ":"), allow_nan=False)
    return f"event: {event}\ndata: {text}\n\n".encode("ascii")
