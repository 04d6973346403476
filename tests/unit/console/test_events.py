"""The streams of events, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gateway.console.events import Hub, Stream, StreamLimits, TooManyStreams
from gateway.console.readiness import Readiness
from gateway.console.views import passage_view, status_view
from gateway.passage import Passage, State
from tests.browser.made_board import MadeBoard, made_config, made_passage

QUICK = StreamLimits(streams=3, frames=4, batch_s=0.01, poll_s=0.02, beat_s=0.05)


def events(frame: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Read the frames as a browser would."""
    read = []
    for block in frame.decode("ascii").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line)
        if "data" in fields:
            read.append((fields["event"], json.loads(fields["data"])))
    return read


@asynccontextmanager
async def running(
    board: MadeBoard, readiness: Callable[[], Readiness] = Readiness, limits: StreamLimits = QUICK
) -> AsyncIterator[Hub]:
    config = made_config(1)
    hub = Hub(
        board,
        lambda passage: passage_view(passage, deadline_s=60),
        lambda: status_view(config, board.passages(), readiness()),
        limits,
    )
    task = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        yield hub
    finally:
        hub.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def next_event(stream: Stream, wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(2):
        async for frame in stream.frames():
            for name, data in events(frame):
                if name == wanted:
                    return data
    raise AssertionError(f"the stream ended without {wanted}")


async def test_a_stream_begins_with_everything() -> None:
    board = MadeBoard()
    passage = board.add(made_passage(State.CONTOURING))
    async with running(board) as hub:
        snapshot = await next_event(hub.subscribe(), "snapshot")
    assert [view["id"] for view in snapshot["passages"]] == [passage.id]
    assert snapshot["status"]["active"] == 1


async def test_what_moves_is_told_whole() -> None:
    board = MadeBoard()
    passage = board.add(made_passage(State.CONTOURING))
    async with running(board) as hub:
        stream = hub.subscribe()
        await next_event(stream, "snapshot")
        board.move(passage, State.RETURNED)
        told = await next_event(stream, "passages")
    assert [view["state"] for view in told["passages"]] == ["returned"]


async def test_a_thousand_changes_are_few_frames() -> None:
    board = MadeBoard()
    passage = board.add(made_passage(State.RECEIVING))
    async with running(board, limits=StreamLimits(batch_s=0.05)) as hub:
        stream = hub.subscribe()
        await next_event(stream, "snapshot")
        for received in range(1, 1001):
            passage.received = received
            board.tell(passage)
            if received % 100 == 0:
                await asyncio.sleep(0)
        told = await next_event(stream, "passages")
    assert told["passages"][0]["received"] == 1000


async def test_what_leaves_memory_is_told() -> None:
    board = MadeBoard()
    passage = board.add(made_passage(State.DELIVERED))
    async with running(board) as hub:
        stream = hub.subscribe()
        await next_event(stream, "snapshot")
        board.drop(passage)
        gone = await next_event(stream, "gone")
    assert gone["ids"] == [passage.id]


async def test_readiness_is_told_although_no_passage_moves() -> None:
    now = [Readiness()]
    async with running(MadeBoard(), readiness=lambda: now[0]) as hub:
        stream = hub.subscribe()
        await next_event(stream, "snapshot")
        now[0] = Readiness(("DRAINING",))
        told = await next_event(stream, "status")
        while not told["status"]["is_draining"]:
            told = await next_event(stream, "status")


async def test_silence_is_broken_by_a_beat() -> None:
    async with running(MadeBoard()) as hub:
        assert set(await next_event(hub.subscribe(), "beat")) == {"now"}


async def test_a_page_that_does_not_read_is_dropped_and_others_are_not() -> None:
    board = MadeBoard()
    passage = board.add(made_passage(State.RECEIVING))
    async with running(board) as hub:
        slow, quick = hub.subscribe(), hub.subscribe()
        for received in range(QUICK.frames + 1):
            passage.received = received
            board.tell(passage)
            await next_event(quick, "passages")
        assert slow.is_closed
        assert not quick.is_closed
        async with asyncio.timeout(1):
            assert [frame async for frame in slow.frames()] == []


async def test_no_more_pages_than_may_be() -> None:
    async with running(MadeBoard()) as hub:
        streams = [hub.subscribe() for _ in range(QUICK.streams)]
        with pytest.raises(TooManyStreams):
            hub.subscribe()
        hub.unsubscribe(streams[0])
        hub.subscribe()


async def test_closing_ends_every_stream_and_opens_none() -> None:
    async with running(MadeBoard()) as hub:
        stream = hub.subscribe()
        hub.close()
        async with asyncio.timeout(1):
            assert len([frame async for frame in stream.frames()]) == 1
        with pytest.raises(TooManyStreams):
            hub.subscribe()


async def test_line_ends_in_values_do_not_break_out_of_an_event() -> None:
    board = MadeBoard()
    forged = "event: snapshot\ndata: {}\n\nevent: forged\r\n\u2028"
    board.add(Passage(source=forged, called="CONTOURGATE", modality="CT"))
    async with running(board) as hub:
        async with asyncio.timeout(1):
            frame = await anext(hub.subscribe().frames())
    ((name, data),) = events(frame)
    assert name == "snapshot"
    assert data["passages"][0]["source"] == forged
