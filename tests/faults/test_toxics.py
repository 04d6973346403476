"""The ways to a TPS and to a PACS are spoiled: an error in time, and what is sent is there once when it is over.

Rows 53 and 54, over a proxy that does to a connection what networks do. Flipped bits are told only over TLS: plain
DICOM has no checksum of its own, so its control shows what TLS is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import RTStructureSetStorage

from gateway.config import Destination, Query
from gateway.dicom.find import Finder
from gateway.dicom.part10 import Part10
from gateway.dicom.query import Arrived, Querier
from gateway.dicom.scu import Scu
from gateway.errors import PeerError
from gateway.flow.store import Deliveries, Patience
from gateway.metrics import Metrics
from tests import made, toy
from tests.peers.pacs import Dcmqrscp, made_series, running_pacs
from tests.pki import Authority
from tests.running import Storescp, free_ports
from tests.toxics import ToxicProxy, Toxics, toxic_proxy
from tests.toy import Toy

OBJECT = toy.part10(Toy(40).structure_set())
PART = Part10.of(OBJECT)
SERIES = 6
DEADLINE_S = 2.0

SPOILED = {
    "latency": Toxics(latency_s=0.05),
    "bandwidth": Toxics(bytes_per_s=200_000),
    "reset": Toxics(reset_after=3000),
    "black hole": Toxics(black_hole=True),
    "half-open": Toxics(half_open=True),
    "refused": Toxics(refuse=True),
}
ONLY_SLOW = {"latency", "bandwidth"}


def spoiled(name: str) -> Toxics:
    toxics = SPOILED[name]
    return Toxics(
        toxics.latency_s,
        toxics.bytes_per_s,
        toxics.reset_after,
        black_hole=toxics.black_hole,
        half_open=toxics.half_open,
        refuse=toxics.refuse,
    )


class Tps:
    """A TPS that keeps what it was given."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, bytes]] = []
        self.port = 0

    def store(self, event: evt.Event) -> int:
        dataset = event.request.DataSet.getvalue()
        self.stored.append((event.request.AffectedSOPInstanceUID, dataset))
        return 0


@contextlib.contextmanager
def tps(tls: ssl.SSLContext | None = None) -> Iterator[Tps]:
    kept = Tps()
    ae = AE("TPS")
    ae.add_supported_context(RTStructureSetStorage)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 5
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, kept.store)], ssl_context=tls
    )
    assert server is not None
    kept.port = server.socket.getsockname()[1]
    try:
        yield kept
    finally:
        server.shutdown()


@contextlib.asynccontextmanager
async def calling(tls: ssl.SSLContext | None = None) -> AsyncIterator[Scu]:
    scu = Scu("CONTOURGATE", tls=tls, connect_s=1, response_s=DEADLINE_S, deadline_s=DEADLINE_S)
    try:
        yield scu
    finally:
        await scu.close()


def lines(scu: Scu, proxy: ToxicProxy, *, tls: bool = False) -> Deliveries:
    peer = Destination(name="tps", ae_title="TPS", host="127.0.0.1", port=proxy.port, tls=tls, confirm=False)
    return Deliveries([peer], scu, Finder(scu), Metrics(), patience=Patience(first_s=0.05, longest_s=0.2))


@pytest.mark.parametrize("name", SPOILED)
async def test_a_structure_set_goes_over_a_spoiled_way_or_waits_for_a_better_one(name: str) -> None:
    with tps() as kept:
        async with toxic_proxy("127.0.0.1", kept.port) as proxy, calling() as scu:
            proxy.toxics = spoiled(name)
            deliveries = lines(scu, proxy)
            delivering = asyncio.create_task(deliveries.deliver("p", "tps", OBJECT))
            if name not in ONLY_SLOW:
                for _ in range(200):  # it fails within its deadline, visibly, and goes on
                    if deliveries.lines["tps"].error is not None:
                        break
                    await asyncio.sleep(0.05)
                assert deliveries.lines["tps"].error is not None
                assert not delivering.done()
                proxy.toxics = Toxics()
                proxy.cut()
            async with asyncio.timeout(20):
                done = await delivering
    # Once as an instance; a try whose answer was lost may have stored it before, always the same.
    assert {uid for uid, _ in kept.stored} == {PART.sop_instance_uid}
    assert len({dataset for _, dataset in kept.stored}) == 1
    if name in ONLY_SLOW:
        assert (done.attempts, len(kept.stored)) == (1, 1)


@contextlib.contextmanager
def certified(folder: Path) -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext]]:
    """TLS of a TPS and of the gateway that trust each other."""
    authority = Authority(folder / "pki")
    contexts = []
    for name, purpose in (("TPS", ssl.PROTOCOL_TLS_SERVER), ("CONTOURGATE", ssl.PROTOCOL_TLS_CLIENT)):
        context = ssl.SSLContext(purpose)
        context.check_hostname = False
        context.load_cert_chain(*authority.issue(name))
        context.load_verify_locations(authority.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    yield contexts[0], contexts[1]


async def test_flipped_bits_are_told_by_tls_and_what_was_sent_arrives_whole(tmp_path: Path) -> None:
    with certified(tmp_path) as (server, client), tps(server) as kept:
        async with toxic_proxy("127.0.0.1", kept.port) as proxy, calling(client) as scu:
            proxy.toxics = Toxics(corrupt_after=len(OBJECT) // 2, times=2)
            async with asyncio.timeout(30):
                done = await lines(scu, proxy, tls=True).deliver("p", "tps", OBJECT)
    assert done.attempts == 3
    assert len(kept.stored) == 1
    assert kept.stored[0][1] in OBJECT


async def test_control_without_tls_a_flipped_bit_arrives() -> None:
    """What TCP does not notice, DICOM does not either."""
    with tps() as kept:
        async with toxic_proxy("127.0.0.1", kept.port) as proxy, calling() as scu:
            proxy.toxics = Toxics(corrupt_after=len(OBJECT) // 2, times=1)
            with contextlib.suppress(PeerError):
                await scu.store(
                    Destination(name="tps", ae_title="TPS", host="127.0.0.1", port=proxy.port), [OBJECT]
                )
    assert all(dataset not in OBJECT for _, dataset in kept.stored)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[tuple[Dcmqrscp, Storescp]]:
    pacs_port, our_port = free_ports(2)
    ours = Storescp(tmp_path / "ours", our_port, ae_title="CONTOURGATE")
    one = Dcmqrscp(tmp_path / "pacs", pacs_port, our_port)
    one.fill(made_series(tmp_path / "images", SERIES))
    with running_pacs(one):
        yield one, ours
    ours.stop()


async def retrieved(querier: Querier, peer: Query, how: str, ours: Storescp) -> int:
    """Find the series by its day and have it sent; how many instances came."""
    today = datetime.now(UTC).date()
    image = made.image(0)
    studies = await querier.studies(peer, today - timedelta(1), today + timedelta(1))
    assert studies == [image.StudyInstanceUID]
    assert await querier.count(peer, image.StudyInstanceUID, image.SeriesInstanceUID) == SERIES
    if how == "move":
        await querier.move(peer, image.StudyInstanceUID, image.SeriesInstanceUID)
        return len(ours.received())
    came: set[str] = set()

    async def take(arrived: Arrived) -> int:
        came.add(arrived.sop_instance_uid)
        return 0

    await querier.get(peer, image.StudyInstanceUID, image.SeriesInstanceUID, take)
    return len(came)


@pytest.mark.peer("dcmqrscp", "storescp", "dcmqridx")
@pytest.mark.parametrize("how", ["move", "get"])
@pytest.mark.parametrize("name", SPOILED)
async def test_a_pacs_behind_a_spoiled_way_is_left_in_time_and_asked_again(
    pacs: tuple[Dcmqrscp, Storescp], name: str, how: str
) -> None:
    one, ours = pacs
    async with toxic_proxy("127.0.0.1", one.port) as proxy, calling() as scu:
        proxy.toxics = spoiled(name)
        if proxy.toxics.reset_after is not None:
            proxy.toxics.reset_after = 400  # a question is small
        querier = Querier(scu, Finder(scu, deadline_s=DEADLINE_S), "CONTOURGATE", deadline_s=10)
        peer = Query(ae_title="PACS", host="127.0.0.1", port=proxy.port)
        if name not in ONLY_SLOW:
            began = time.monotonic()
            with pytest.raises(PeerError):
                await retrieved(querier, peer, how, ours)
            assert time.monotonic() - began < 15
            proxy.toxics = Toxics()
            proxy.cut()
        assert await retrieved(querier, peer, how, ours) == SERIES
