"""What the console answers over HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from gateway.clerk.records import Record
from gateway.config import Console as ConsoleConfig
from gateway.config import Destination
from gateway.console.events import StreamLimits
from gateway.console.guard import HEADERS, REQUEST_HEADER
from gateway.console.readiness import Readiness
from gateway.console.render import HEADER
from gateway.console.server import Console
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.doctor.rounds import Report
from gateway.errors import ConfigError, PassageUnfit
from gateway.flow.board import SlicePicture
from gateway.flow.chronicle import Chronicle
from gateway.flow.queues import Queues
from gateway.flow.store import Line
from gateway.metrics import Metrics
from gateway.passage import Passage, State
from tests.browser.conftest import free_port
from tests.browser.made_board import MadeBoard, made_config, made_passage, made_slice

CANARY = "CANARY^PATIENT"


@dataclass
class Served:
    """A running console and a client of it."""

    board: MadeBoard
    console: Console
    client: aiohttp.ClientSession
    readiness: Readiness
    port: int

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.client.get(
            path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        ) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.read()

    async def post(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.client.post(path, headers={REQUEST_HEADER: "test", **headers}) as answer:
            return answer.status, await answer.json() if answer.content_length else None


@asynccontextmanager
async def served(
    board: MadeBoard | None = None, limits: StreamLimits | None = None, **more: Any
) -> AsyncIterator[Served]:
    port = free_port()
    board = board or MadeBoard()
    it: Served
    console = Console(made_config(port), board, Metrics(), lambda: it.readiness, limits=limits, **more)
    await console.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            it = Served(board, console, client, Readiness(), port)
            yield it
    finally:
        await console.stop()


def addresses(passage: Passage) -> list[str]:
    """Everything that can be asked for."""
    of_it = f"/passages/{passage.id}"
    return [
        "/",
        of_it,
        f"{of_it}/pictures",
        f"{of_it}/text.png",
        f"{of_it}/slices/0.bin",
        f"{of_it}/slices/0/outlines.json",
        "/static/base.css",
        "/static/passage.js",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/api/status",
        "/api/doctor",
        "/doctor",
        "/api/passages",
        f"/api{of_it}",
        "/nothing/here",
        "/api/nothing",
        "/static/nothing",
        "/passages/" + "0" * 32,
        f"{of_it}/slices/99999.bin",
    ]


async def test_every_answer_has_the_protecting_headers() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.DELIVERED), slices=3, contoured=True)
        for path in [*addresses(passage), "/events"]:
            async with it.client.get(path) as answer:
                missing = {name for name, value in HEADERS.items() if answer.headers.get(name) != value}
                assert not missing, path
        async with it.client.get("/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
            assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


async def test_another_host_gets_nothing_from_any_address() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.DELIVERED), slices=3)
        for path in addresses(passage):
            status, body = await it.get(path, Host="evil.example")
            assert status == 421, path
            assert set(body) == {"error"}


async def test_a_queue_is_paused_and_resumed_by_its_own_pages_only() -> None:
    line = Line(Destination(name="TPS-1", ae_title="TPS", host="127.0.0.1", port=104))
    written: list[Record] = []

    class Link:
        async def write(self, record: Record) -> None:
            written.append(record)

    queues = Queues({"TPS-1": line}, Chronicle(Link(), lambda kind, value: b""))
    async with served(queues=queues) as it:
        assert (await it.post("/api/destinations/TPS-1/pause"))[0] == 204
        assert line.is_paused
        status = (await it.get("/api/status"))[1]
        assert status["queues"] == [{"name": "TPS-1", "waiting": 0, "is_paused": True, "reason": None}]
        async with it.client.post("/api/destinations/TPS-1/resume") as answer:  # without the header
            assert answer.status == 403
        assert line.is_paused
        assert (await it.post("/api/destinations/TPS-1/resume"))[0] == 204
        assert not line.is_paused
        assert (await it.post("/api/destinations/nobody/pause"))[0] == 404
        assert (await it.post("/api/destinations/TPS-1/delete"))[0] == 404
    assert len(written) == 2


async def test_the_doctors_findings_are_told_with_their_verdict() -> None:
    found = [Diagnosis(Finding.WELL, "disk", "is there"), Diagnosis(Finding.ILL, "clock", "is behind")]

    async def report() -> Report:
        return Report(datetime(2026, 3, 1, tzinfo=UTC), found)

    async with served(doctor=report) as it:
        status, body = await it.get("/api/doctor")
        assert (status, body["verdict"], body["at"]) == (200, "red", "2026-03-01T00:00:00.000Z")
        assert body["diagnoses"][1] == {"finding": "ill", "subject": "clock", "text": "is behind"}
        found.pop()
        assert (await it.get("/api/doctor"))[1]["verdict"] == "green"
    async with served() as it:
        assert (await it.get("/api/doctor"))[0] == 404


async def test_a_forwarded_port_is_answered() -> None:
    async with served() as it:
        assert (await it.get("/health/live", Host="localhost:9999"))[0] == 200


async def test_it_listens_on_loopback_only() -> None:
    async with served() as it:
        host = socket.gethostbyname(socket.gethostname())
        if not host.startswith("127."):
            with pytest.raises(OSError, match=r"refused|Connect"):
                await asyncio.open_connection(host, it.port)
    with pytest.raises(ValueError, match="loopback"):
        ConsoleConfig(host="0.0.0.0", port=8080)


async def test_a_port_that_is_taken_is_named() -> None:
    async with served() as it:
        another = Console(made_config(it.port), MadeBoard(), Metrics(), Readiness)
        with pytest.raises(ConfigError) as refused:
            await another.start()
        assert refused.value.code == "PORT_IN_USE"
        assert refused.value.facts == {"port": it.port}
        await another.stop()


async def test_it_is_ready_only_while_nothing_stands_in_the_way() -> None:
    async with served() as it:
        assert await it.get("/health/ready") == (200, {"ready": True, "reasons": []})
        it.readiness = Readiness(("DRAINING", "CLERK_LOST"))
        status, body = await it.get("/health/ready")
        assert status == 503
        assert [reason["code"] for reason in body["reasons"]] == ["DRAINING", "CLERK_LOST"]
        assert (await it.get("/health/live"))[0] == 200


async def test_it_does_not_live_when_it_no_longer_watches_the_board() -> None:
    class Broken(MadeBoard):
        async def changes(self) -> AsyncIterator[Passage]:
            raise OSError
            yield

    console = Console(made_config(port := free_port()), Broken(), Metrics(), Readiness)
    await console.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        await asyncio.sleep(0.1)
        async with client.get("/health/live") as answer:
            assert answer.status == 503
    with pytest.raises(ExceptionGroup):
        await console.stop()


async def test_metrics_are_exposed() -> None:
    async with served() as it:
        status, body = await it.get("/metrics")
        assert status == 200
        assert b"# TYPE contourgate_passages gauge" in body


async def test_passages_can_be_asked_for() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.SEALED))
        _, listed = await it.get("/api/passages")
        _, alone = await it.get(f"/api/passages/{passage.id}")
        assert listed["passages"] == [alone]
        assert alone["state"] == "sealed"
        assert (await it.get(f"/api/passages/{'0' * 32}"))[0] == 404


async def test_many_passages_are_told_without_keeping_others_waiting() -> None:
    async with served() as it:
        for _ in range(500):
            it.board.add(made_passage(State.SEALED))
        turns = 0
        seen: list[int] = []

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        view = it.console._view

        def noted(passage: Passage) -> Any:
            seen.append(turns)
            return view(passage)

        it.console._view = noted  # type: ignore[assignment]
        beside = asyncio.create_task(other())
        _, listed = await it.get("/api/passages")
        beside.cancel()
        assert len(listed["passages"]) == 500
        assert seen[-1] - seen[0] >= 9


@pytest.mark.parametrize(("what", "becomes"), [("release", State.INSPECTED), ("cancel", State.CANCELLED)])
async def test_a_held_passage_is_decided_once(what: str, becomes: State) -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.HELD, held_from=State.INSPECTED))
        assert await it.post(f"/api/passages/{passage.id}/{what}") == (204, None)
        assert passage.state is becomes
        status, body = await it.post(f"/api/passages/{passage.id}/{what}")
        assert status == 409
        assert "not held" in body["error"]["reason"]
        assert it.board.decided == [(what, passage.id)]


async def test_nothing_is_decided_by_a_foreign_page() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.HELD, held_from=State.INSPECTED))
        path = f"/api/passages/{passage.id}/release"
        async with it.client.post(path) as answer:
            assert answer.status == 403
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
            assert (await it.post(path, **headers))[0] == 403
        async with it.client.get(path, headers={REQUEST_HEADER: "test"}) as answer:
            assert answer.status in (404, 405)
        assert it.board.decided == []
        assert passage.state is State.HELD


async def test_a_passage_that_is_not_there_cannot_be_decided() -> None:
    async with served() as it:
        assert (await it.post(f"/api/passages/{'0' * 32}/release"))[0] == 404


async def test_a_slice_is_what_the_board_has() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.DELIVERED), slices=9, contoured=True)
        status, body = await it.get(f"/passages/{passage.id}/slices/4.bin")
        assert status == 200
        assert HEADER.unpack_from(body)[1:3] == (256, 256)
        assert body[HEADER.size :] == made_slice(4, 9).stored_values.astype("<i2").tobytes()


async def test_pictures_that_are_no_longer_in_memory_are_not_there() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.DELIVERED), slices=2, contoured=True)
        assert (await it.get(f"/passages/{passage.id}/slices/2.bin"))[0] == 404
        it.board.drawable[passage.id] = 0
        assert await it.get(f"/passages/{passage.id}/pictures") == (200, {"slices": 0, "rois": []})
        for path in ("0.bin", "0/outlines.json"):
            assert (await it.get(f"/passages/{passage.id}/slices/{path}"))[0] == 404
        it.board.drop(passage)
        assert (await it.get(f"/passages/{passage.id}/slices/0.bin"))[0] == 404
        status, body = await it.get(f"/passages/{passage.id}")
        assert status == 404
        assert b"No longer in memory" in body


async def test_a_picture_of_where_text_is_is_what_the_board_has() -> None:
    async with served() as it:
        passage = it.board.add(made_passage(State.HELD, held_from=State.COMPLETE), slices=0)
        assert (await it.get(f"/passages/{passage.id}/text.png"))[0] == 404
        it.board.masked[passage.id] = b"\x89PNG made"
        async with it.client.get(f"/passages/{passage.id}/text.png") as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
            assert answer.headers["Cache-Control"] == "no-store"
            assert await answer.read() == b"\x89PNG made"
        assert (await it.get(f"/passages/{'0' * 32}/text.png"))[0] == 404


async def test_a_slice_dropped_while_it_was_decoded_is_not_there() -> None:
    class Forgetful(MadeBoard):
        async def picture(self, passage_id: str, index: int) -> SlicePicture:
            raise KeyError(passage_id)

    async with served(Forgetful()) as it:
        passage = it.board.add(made_passage(State.DELIVERED), slices=2)
        assert (await it.get(f"/passages/{passage.id}/slices/0.bin"))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e%2fserver.py",
        "/static/..%2f..%2fconfig.py",
        "/static//etc/passwd",
        "/passages/../api/status%00",
        "/passages/" + "A" * 32,
        "/passages/x/slices/-1.bin",
        "/<script>alert(1)</script>",
    ],
)
async def test_no_address_leads_outside_or_comes_back_in_the_answer(path: str) -> None:
    async with served() as it:
        status, body = await it.get(path)
        assert status in (400, 404)
        text = body if isinstance(body, bytes) else str(body).encode()
        assert b"import" not in text
        assert b"alert(1)" not in text


async def first_frame(answer: aiohttp.ClientResponse) -> bytes:
    return await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 2)


async def test_a_stream_starts_with_a_snapshot_and_ends_when_the_console_stops() -> None:
    async with served() as it:
        it.board.add(made_passage(State.SEALED))
        async with it.client.get("/events") as answer:
            assert answer.content_type == "text/event-stream"
            assert b"event: snapshot" in await first_frame(answer)
            async with asyncio.timeout(1.5):
                await it.console.stop()
                await answer.content.read()


async def test_no_more_streams_than_may_be() -> None:
    async with (
        served(limits=StreamLimits(streams=2)) as it,
        it.client.get("/events") as one,
        it.client.get("/events") as two,
    ):
        await first_frame(one)
        await first_frame(two)
        async with it.client.get("/events") as three:
            assert three.status == 503
            assert three.headers["Retry-After"]


async def test_a_page_that_is_closed_makes_room() -> None:
    async with served(limits=StreamLimits(streams=1, batch_s=0.01, poll_s=0.02, beat_s=0.02)) as it:
        async with it.client.get("/events") as one:
            await first_frame(one)
        async with asyncio.timeout(3):
            while True:
                async with it.client.get("/events") as two:
                    if two.status == 200:
                        break
                await asyncio.sleep(0.02)


async def test_a_page_that_does_not_read_loses_its_stream() -> None:
    limits = StreamLimits(streams=1, frames=4, write_s=0.3, batch_s=0.01, poll_s=0.02)
    board = MadeBoard()
    passages = [board.add(made_passage(State.SEALED)) for _ in range(400)]
    async with served(board, limits) as it:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", it.port))
        deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0.1)
        assert (await it.get("/events"))[0] == 503
        async with asyncio.timeout(10):
            while True:
                for passage in passages:
                    board.tell(passage)
                async with it.client.get("/events") as another:
                    if another.status == 200:
                        break
                await asyncio.sleep(0.05)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        deaf.close()


# No identity, whatever goes wrong


class Leaky(MadeBoard):
    """A board whose failures quote an identity."""

    async def picture(self, passage_id: str, index: int) -> SlicePicture:
        raise RuntimeError(f"no slice of {CANARY}") from ValueError(CANARY)

    def outlines(self, passage_id: str, index: int) -> Sequence[Any]:
        raise OverflowError(CANARY)


class NamedPassage(Passage):
    """A passage that knows more than it should."""

    patient_name = CANARY

    def __repr__(self) -> str:
        return CANARY


async def answers(it: Served, passage: Passage) -> bytes:
    whole = b""
    for accept in ("text/html", "application/json"):
        for path in addresses(passage):
            async with it.client.get(path, headers={"Accept": accept}) as answer:
                whole += str(answer.headers).encode() + await answer.read()
    async with it.client.get("/events") as stream:
        whole += await first_frame(stream)
    return whole


def knowing_passage() -> NamedPassage:
    error = PassageUnfit("SLICE_MISSING", position_mm=1.0)
    error.__cause__ = ValueError(CANARY)
    error.add_note(CANARY)
    made = made_passage(State.HELD, held_from=State.CHECKED, error=error)
    return NamedPassage(
        source=made.source,
        called=made.called,
        modality="CT",
        pseudonym="P-1",
        error=error,
        history=made.history,
    )


async def test_no_identity_is_in_any_answer_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with served(Leaky()) as it:
        passage = it.board.add(knowing_passage(), slices=3)
        whole = await answers(it, passage)
        assert b"Something failed in the gateway" in whole
    assert CANARY.encode() not in whole
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text


async def test_an_identity_in_a_view_is_what_the_search_would_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr("gateway.console.views.PassageView", lambda **view: {**view, "cause": CANARY})
    async with served() as it:
        passage = it.board.add(knowing_passage(), slices=3)
        assert CANARY.encode() in await answers(it, passage)
