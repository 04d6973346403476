"""Delivery to peers that misbehave, over real sockets (faults 53, 54): an error in time, no thread left, one object."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import RTStructureSetStorage, Verification

from gateway.config import Destination
from gateway.dicom import calls
from gateway.dicom.find import Finder
from gateway.dicom.scu import Scu
from gateway.errors import PeerError
from gateway.flow.store import Deliveries, Patience
from gateway.metrics import Metrics
from tests import toy
from tests.toy import Toy

OBJECT = toy.part10(Toy(4).structure_set())
CONTEXTS = [build_context(RTStructureSetStorage)]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def peer(port: int, name: str = "tps") -> Destination:
    return Destination(name=name, ae_title="TPS", host="127.0.0.1", port=port)


@pytest.fixture
async def scu() -> AsyncIterator[Scu]:
    before = set(threading.enumerate())
    scu = Scu("CONTOURGATE", connect_s=0.5, response_s=1, deadline_s=2)
    yield scu
    await scu.close()
    ours = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    left = [thread for thread in ours if thread not in before]
    for thread in left:
        await asyncio.to_thread(thread.join, 5)
    assert not [thread.name for thread in left if thread.is_alive()]


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server of raw bytes; its connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(serving(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Scp:
    """A pynetdicom SCP that answers as told."""

    statuses: list[int | str]
    """In turn; "abort" aborts instead, "late" keeps the answer for two seconds. The last one stays."""
    stored: list[str]
    port: int = 0

    def store(self, event: evt.Event) -> int:
        self.stored.append(event.request.AffectedSOPInstanceUID)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == "abort":
            event.assoc.abort()
            return 0xC000
        if status == "late":
            time.sleep(2)
            return 0
        assert isinstance(status, int)
        return status


@contextlib.contextmanager
def scp(
    *statuses: int | str, contexts: tuple[str, ...] = (RTStructureSetStorage,), port: int = 0
) -> Iterator[Scp]:
    answering = Scp(list(statuses) or [0], [])
    ae = AE("TPS")
    for context in contexts:
        ae.add_supported_context(context)
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, answering.store)]
    )
    assert server is not None
    answering.port = server.socket.getsockname()[1]
    try:
        yield answering
    finally:
        server.shutdown()


async def code(attempt: Awaitable[object]) -> str:
    with pytest.raises(PeerError) as failed:
        await attempt
    return failed.value.code


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def accepting() -> bytes:
    """An A-ASSOCIATE-AC for the two contexts that are proposed, and nothing after it."""
    contexts = b"".join(
        struct.pack(">BxHBxBx", 0x21, 8 + len(syntax), number, 0)
        + struct.pack(">BxH", 0x40, len(syntax))
        + syntax
        for number, syntax in ((1, b"1.2.840.10008.1.2.1"), (3, b"1.2.840.10008.1.2"))
    )
    application = struct.pack(">BxH", 0x10, 21) + b"1.2.840.10008.3.1.1.1"
    user = struct.pack(">BxHI", 0x51, 4, 16384) + struct.pack(">BxH", 0x52, 5) + b"1.2.3"
    items = application + contexts + struct.pack(">BxH", 0x50, len(user)) + user
    body = struct.pack(">HH", 1, 0) + b"TPS".ljust(16) + b"CONTOURGATE".ljust(16) + bytes(32) + items
    return struct.pack(">BxI", 0x02, len(body)) + body


async def test_nobody_listens(scu: Scu) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert await code(scu.store(peer(port), [OBJECT])) == "PEER_UNREACHABLE"
    assert await code(scu.echo(peer(port))) == "PEER_UNREACHABLE"


async def test_a_name_that_does_not_resolve(scu: Scu) -> None:
    unknown = Destination(name="tps", ae_title="TPS", host="tps.invalid", port=104)
    assert await code(scu.store(unknown, [OBJECT])) == "PEER_UNREACHABLE"


async def test_a_peer_that_says_nothing_is_left_in_time(scu: Scu) -> None:
    async with listening(nothing) as port:
        started = time.monotonic()
        assert await code(scu.store(peer(port), [OBJECT])) == "PEER_ABORTED"
        assert time.monotonic() - started < 4


async def test_a_peer_that_speaks_another_protocol(scu: Scu) -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        await asyncio.sleep(60)

    async with listening(http) as port:
        assert await code(scu.store(peer(port), [OBJECT])) == "PEER_ABORTED"


async def test_a_peer_that_closes_at_once(scu: Scu) -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(closes) as port:
        assert await code(scu.store(peer(port), [OBJECT])) == "PEER_ABORTED"


async def test_a_peer_that_rejects_says_why(scu: Scu) -> None:
    async def rejects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(bytes.fromhex("03000000000400010107"))  # called AE title not recognised
        await asyncio.sleep(60)

    async with listening(rejects) as port:
        with pytest.raises(PeerError) as rejected:
            await scu.store(peer(port), [OBJECT])
    assert rejected.value.code == "PEER_REJECTED"
    assert rejected.value.facts == {"result": 1, "source": 1, "reason": 7}


async def test_a_peer_that_takes_no_structure_sets(scu: Scu) -> None:
    with scp(contexts=(Verification,)) as tps:
        assert await code(scu.store(peer(tps.port), [OBJECT])) == "PEER_NO_CONTEXT"
        await scu.echo(peer(tps.port))


async def test_a_peer_that_aborts_midway(scu: Scu) -> None:
    with scp("abort") as tps:
        assert await code(scu.store(peer(tps.port), [OBJECT])) == "PEER_ABORTED"


async def test_a_peer_whose_answer_comes_too_late(scu: Scu) -> None:
    with scp("late") as tps:
        assert await code(scu.store(peer(tps.port), [OBJECT])) == "PEER_ABORTED"


async def test_a_peer_that_stops_reading_is_left_in_time(scu: Scu) -> None:
    async def stops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(accepting())
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    large = OBJECT + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 12_000_000) + bytes(12_000_000)
    async with listening(stops) as port:
        started = time.monotonic()
        assert await code(scu.store(peer(port), [large])) == "PEER_ABORTED"
        assert time.monotonic() - started < 5


async def test_a_peer_that_announces_four_gigabytes_is_cut_off(scu: Scu) -> None:
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(1000)
        writer.write(accepting() + struct.pack(">BxI", 0x04, 2**32 - 1))
        while True:
            writer.write(bytes(2**16))
            await writer.drain()
            sent += 2**16

    async with listening(floods) as port:
        assert await code(scu.store(peer(port), [OBJECT])) == "PEER_ABORTED"
    assert sent < 64 * 2**20


async def test_a_peer_that_answers_without_end_is_cut_off(scu: Scu) -> None:
    fragment = struct.pack(">IBB", 65538, 1, 0) + bytes(65536)  # of a dataset, never the last one

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(accepting())
        while True:
            writer.write(struct.pack(">BxI", 0x04, len(fragment)) + fragment)
            await writer.drain()

    async with listening(floods) as port:
        assert await code(scu.store(peer(port), [OBJECT])) == "PEER_ABORTED"


async def test_a_cancelled_delivery_cuts_its_connection(scu: Scu) -> None:
    closed = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        closed.set()

    async with listening(waits) as port:
        task = asyncio.create_task(scu.store(peer(port), [OBJECT]))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2):
            await closed.wait()


async def test_a_call_that_still_connects_is_cut_too() -> None:
    scu = Scu("CONTOURGATE", connect_s=30)
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(4):  # fill the backlog: the next connection gets no answer
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        task = asyncio.create_task(scu.store(peer(port), [OBJECT]))
        await asyncio.sleep(0.3)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        await scu.close()
        assert time.monotonic() - started < 3


async def test_every_response_is_taken_by_the_one_who_waits_for_it(scu: Scu) -> None:
    """The reactor that could take responses away is parked from the first moment."""
    with scp(0) as tps:
        for _ in range(3):
            assert await scu.store(peer(tps.port), [OBJECT] * 40) == [0] * 40
    assert len(tps.stored) == 120


def sentinel_survives(association: Association) -> bool:
    """Whether a message that the peer seems to have sent is left for the one who waits for it."""
    time.sleep(0.05)  # the reactor looks every millisecond
    association.dimse.msg_queue.put((1, C_STORE()))
    time.sleep(0.05)
    return association.dimse.get_msg(block=False) != (None, None)


async def test_the_reactor_takes_no_message_while_we_work(scu: Scu) -> None:
    with scp() as tps:
        assert await scu.call(peer(tps.port), CONTEXTS, sentinel_survives)


async def test_a_reactor_that_is_not_parked_would_take_it(scu: Scu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_park", lambda event: None)
    taken: list[bool] = []

    def look(association: Association) -> None:  # on a busy machine the thief may be late
        taken.append(any(not sentinel_survives(association) for _ in range(50)))

    with scp() as tps, contextlib.suppress(PeerError):
        await scu.call(peer(tps.port), CONTEXTS, look)
    assert taken == [True]


async def test_statuses_come_back_as_they_are(scu: Scu) -> None:
    with scp(0, 0xB000, 0xA700, 0xC001) as tps:
        assert await scu.store(peer(tps.port), [OBJECT] * 4) == [0, 0xB000, 0xA700, 0xC001]


async def test_a_tps_that_comes_and_goes_gets_the_object_as_one_instance(scu: Scu) -> None:
    with scp(0xA700, "abort", 0) as tps:
        patience = Patience(first_s=0.01, longest_s=0.1)
        lines = Deliveries([peer(tps.port)], scu, Finder(scu), Metrics(), patience=patience)
        async with asyncio.timeout(10):
            done = await lines.deliver("p", "tps", OBJECT)
    assert done.attempts == 3
    assert len(tps.stored) == 3
    assert len(set(tps.stored)) == 1


async def test_a_dead_tps_does_not_delay_the_other(scu: Scu) -> None:
    async with listening(nothing) as port:
        with scp(0) as tps:
            lines = Deliveries([peer(port, "dead"), peer(tps.port, "well")], scu, Finder(scu), Metrics())
            dead = [asyncio.create_task(lines.deliver(f"p{n}", "dead", OBJECT)) for n in range(20)]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(1.5):
                await lines.deliver("p", "well", OBJECT)
            for task in dead:
                task.cancel()
            await asyncio.gather(*dead, return_exceptions=True)
