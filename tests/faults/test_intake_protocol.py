"""Faults 1 to 18 and 44 at the DICOM port, each over a real socket, with a valid sender at work beside it.

A check is a function of its own where a control needs it: the same check must fail when the protection is taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import resource
import socket
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from gateway.dicom.alerts import AlertKind
from gateway.dicom.association import Association
from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.negotiation import Rejection
from gateway.dicom.tls import client_context
from gateway.errors import ConfigError
from tests import wire
from tests.intake import Intake, Peer, SteadySender, connected
from tests.pki import Authority
from tests.unit.dicom.test_state_machine import feed

DATASET = wire.made_dataset(30_000)


@contextlib.asynccontextmanager
async def intake(*, tls: object = None, sources: object = None, **limits: float) -> AsyncIterator[Intake]:
    """An acceptor with short deadlines."""
    port = wire.free_port()
    changes: dict[str, object] = {
        "dicom": {"ae_title": "GATEWAY", "port": port, "tls": tls},
        "limits": {"associate_s": 1.0, "rate_window_s": 1.0, "message_s": 5.0, **limits},
    }
    if sources is not None:
        changes["sources"] = sources
    async with Intake(wire.config(port, **changes)) as running:
        running.service.keeps = False
        yield running


@contextlib.asynccontextmanager
async def attacked(scene: Intake, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of an acceptor with a valid sender at work."""
    port = scene.acceptor.port
    async with SteadySender(port, tls=tls):
        yield port


# -- 1 to 6: TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki"))
    for name in ("GATEWAY", "STORESCU", "OTHER", "STOLEN"):
        made.issue(name)
    made.issue("LATE", starts_in_days=-9, ends_in_days=-1)
    made.revoke("STOLEN")
    return made


SOURCES = [
    {"ae_title": "STORESCU", "addresses": ["127.0.0.1"]},
    {"ae_title": "OTHER", "addresses": ["127.0.0.1"]},
]


def our_tls(authority: Authority, **changes: object) -> dict[str, object]:
    return {
        "certificate_file": authority.folder / "GATEWAY.pem",
        "key_file": authority.folder / "GATEWAY.key",
        "ca_file": authority.ca_file,
        "crl_file": authority.folder / "crl.pem",
        "handshake_s": 1.0,
    } | changes


def tls_of(authority: Authority, name: str, ca: Authority | None = None) -> ssl.SSLContext:
    files = {
        "certificate_file": authority.folder / f"{name}.pem",
        "key_file": authority.folder / f"{name}.key",
    }
    made = wire.config(
        dicom={"ae_title": "X", "port": 1, "tls": {**files, "ca_file": (ca or authority).ca_file}}
    ).dicom.tls
    assert made is not None
    assert made != "off"
    return client_context(made)


async def silent_connection_is_dropped(port: int) -> None:
    async with connected(port) as peer:
        assert await peer.rest(within_s=2.5) == b""


async def test_1_a_silent_connection_on_the_tls_port_is_dropped(authority: Authority) -> None:
    async with (
        intake(tls=our_tls(authority), sources=SOURCES) as scene,
        attacked(scene, tls_of(authority, "STORESCU")) as port,
    ):
        await asyncio.gather(*(silent_connection_is_dropped(port) for _ in range(5)))
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TLS_REFUSED]
        assert scene.count("connections_refused_total", "TLS_REFUSED") == 5


async def test_1_control_without_the_deadline_it_would_stay(authority: Authority) -> None:
    async with intake(tls=our_tls(authority, handshake_s=60.0), sources=SOURCES) as scene:
        with pytest.raises(AssertionError, match="still open"):
            await silent_connection_is_dropped(scene.acceptor.port)


NOISE = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", random.Random(1).randbytes(5000), b"\x00" * 64, b"\r\n"]


async def noise_gives_one_alert(scene: Intake, port: int) -> None:
    async def make_noise(noise: bytes) -> None:
        async with connected(port) as peer:
            await peer.send(noise + b"\xff" * 6)
            assert await peer.rest() in (b"", wire.ABORT_AS_USER)

    await asyncio.gather(*(make_noise(noise) for noise in NOISE * 5))
    assert [alert.kind for alert in scene.alerts] == [AlertKind.NOT_DICOM]


async def test_2_http_and_random_bytes_are_closed_with_one_alert() -> None:
    async with intake() as scene, attacked(scene) as port:
        await noise_gives_one_alert(scene, port)


async def test_2_control_without_the_gate_there_would_be_many_alerts() -> None:
    async with intake() as scene:
        scene.acceptor._gate._quiet_s = -1  # type: ignore[misc]
        with pytest.raises(AssertionError):
            await noise_gives_one_alert(scene, scene.acceptor.port)


async def test_2_noise_on_the_tls_port_is_closed(authority: Authority) -> None:
    async with (
        intake(tls=our_tls(authority), sources=SOURCES) as scene,
        attacked(scene, tls_of(authority, "STORESCU")) as port,
    ):
        for noise in (*NOISE, wire.associate_rq()):
            async with connected(port) as peer:
                await peer.send(noise)
                await peer.rest()
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TLS_REFUSED]


async def tls_is_refused(port: int, context: ssl.SSLContext) -> None:
    """Neither a handshake nor, where TLS 1.3 tells it later, an answer to an A-ASSOCIATE-RQ."""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        async with connected(port, tls=context) as peer:
            await peer.send(wire.associate_rq())
            assert await peer.rest() == b""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("what", ["TLS 1.1", "AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"])
async def test_3_old_tls_and_weak_ciphers_are_refused(authority: Authority, what: str) -> None:
    context = tls_of(authority, "STORESCU")
    if what == "TLS 1.1":
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(what)
    async with (
        intake(tls=our_tls(authority), sources=SOURCES) as scene,
        attacked(scene, tls_of(authority, "STORESCU")) as port,
    ):
        await tls_is_refused(port, context)
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TLS_REFUSED]


@pytest.mark.parametrize("tls_version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@pytest.mark.parametrize("whose", ["nobody", "LATE", "foreign", "STOLEN"])
async def test_4_no_expired_foreign_and_revoked_certificates_are_refused(
    authority: Authority, tmp_path: Path, whose: str, tls_version: ssl.TLSVersion
) -> None:
    if whose == "nobody":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(authority.ca_file)
    elif whose == "foreign":
        foreign = Authority(tmp_path / "foreign", "Another CA")
        foreign.issue("STORESCU")
        context = tls_of(foreign, "STORESCU", authority)
    else:
        context = tls_of(authority, whose)
    context.maximum_version = tls_version
    async with (
        intake(tls=our_tls(authority), sources=SOURCES) as scene,
        attacked(scene, tls_of(authority, "STORESCU")) as port,
    ):
        await tls_is_refused(port, context)
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TLS_REFUSED]


async def test_4_control_without_the_crl_a_revoked_certificate_would_come_in(authority: Authority) -> None:
    sources = [*SOURCES, {"ae_title": "STOLEN", "addresses": ["127.0.0.1"]}]
    async with (
        intake(tls=our_tls(authority, crl_file=None), sources=sources) as scene,
        connected(scene.acceptor.port, tls=tls_of(authority, "STOLEN")) as peer,
    ):
        await peer.associate(calling="STOLEN")


async def rejected(peer: Peer, rejection: Rejection, **request: str) -> None:
    await peer.send(wire.associate_rq(**request))  # type: ignore[arg-type]
    assert await peer.pdu() == rejection.encode()


async def test_5_a_valid_certificate_with_another_ae_title_is_rejected(authority: Authority) -> None:
    async with (
        intake(tls=our_tls(authority), sources=SOURCES) as scene,
        attacked(scene, tls_of(authority, "STORESCU")) as port,
    ):
        async with connected(port, tls=tls_of(authority, "OTHER")) as peer:
            await rejected(peer, Rejection.CALLING_AE_TITLE, calling="STORESCU")
        async with connected(port, tls=tls_of(authority, "OTHER")) as peer:
            await peer.associate(calling="OTHER")
        assert [(alert.kind, alert.source) for alert in scene.alerts] == [
            (AlertKind.CERTIFICATE_OF_ANOTHER, "STORESCU")
        ]


@pytest.mark.parametrize("encrypted", [False, True])
async def test_6_a_wrong_address_is_closed_before_anything_else(
    authority: Authority, encrypted: bool
) -> None:
    tls = our_tls(authority) if encrypted else None
    context = tls_of(authority, "STORESCU") if encrypted else None
    async with intake(tls=tls, sources=SOURCES) as scene, attacked(scene, context) as port:
        async with connected(port, address="127.0.0.9") as peer:
            assert await peer.rest(within_s=0.5) == b""
        assert [(alert.kind, alert.address) for alert in scene.alerts] == [
            (AlertKind.ADDRESS_NOT_ADMITTED, "127.0.0.9")
        ]


async def test_6_a_known_ae_title_from_the_address_of_another_is_rejected() -> None:
    sources = [*SOURCES[:1], {"ae_title": "OTHER", "addresses": ["127.0.0.9"]}]
    async with intake(sources=sources) as scene, attacked(scene) as port:
        async with connected(port) as peer:
            await rejected(peer, Rejection.CALLING_AE_TITLE, calling="OTHER")
        assert [alert.kind for alert in scene.alerts] == [AlertKind.CALLING_ADDRESS]


# -- 7, 8: AE titles


async def test_7_an_unknown_called_ae_title_is_rejected() -> None:
    async with intake() as scene, attacked(scene) as port, connected(port) as peer:
        await rejected(peer, Rejection.CALLED_AE_TITLE, called="ANY-SCP")
        assert [alert.kind for alert in scene.alerts] == [AlertKind.CALLED_AE_TITLE]


@pytest.mark.parametrize("control", [b"\r\n", b"\x1b[2J", b"\x00", b"\n"])
@pytest.mark.parametrize("which", ["called", "calling"])
async def test_8_control_characters_in_an_ae_title_are_rejected_and_not_logged(
    which: str, control: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    titles = {"called": b"GATEWAY", "calling": b"STORESCU"}
    titles[which] = titles[which][:4] + control + b"EVIL"
    items = wire.APPLICATION_CONTEXT + wire.context_item(1) + wire.USER_INFORMATION
    with structlog.testing.capture_logs() as logs:
        async with intake() as scene, attacked(scene) as port, connected(port) as peer:
            await peer.send(wire.raw_associate_rq(items, **titles))
            expected = Rejection.CALLED_AE_TITLE if which == "called" else Rejection.CALLING_AE_TITLE
            assert await peer.pdu() == expected.encode()
            assert len(scene.alerts) == 1
            seen = repr(scene.alerts) + repr(logs)
    assert "EVIL" not in seen
    assert any(entry["event"] == "association rejected" for entry in logs)
    assert "EVIL" not in "".join(capfd.readouterr())


# -- 9, 10: connections


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def idle_sockets_stay_below_the_cap(scene: Intake, port: int, number: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        most = 0
        for _ in range(number):
            await stack.enter_async_context(connected(port))
            most = max(most, scene.connections)
        await asyncio.sleep(0.1)
        assert most <= 32
        async with connected(port) as valid:
            await valid.associate()
            assert await valid.store(DATASET) == 0


@pytest.mark.parametrize("number", [100, 1000])
async def test_9_idle_sockets_are_capped_and_a_valid_sender_is_served(
    number: int, many_descriptors: None
) -> None:
    async with intake(associate_s=30.0) as scene, attacked(scene) as port:
        await idle_sockets_stay_below_the_cap(scene, port, number)
        assert scene.count("connections_refused_total", "TOO_MANY_CONNECTIONS") >= number - 32
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TOO_MANY_CONNECTIONS]


async def test_9_idle_sockets_on_the_tls_port_are_capped_and_a_valid_sender_is_served(
    authority: Authority,
) -> None:
    context = tls_of(authority, "STORESCU")
    async with (
        intake(tls=our_tls(authority, handshake_s=30.0), sources=SOURCES) as scene,
        attacked(scene, context) as port,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(100):
            await stack.enter_async_context(connected(port))
            assert scene.connections <= 32
        async with connected(port, tls=context) as valid:
            await valid.associate()
            assert await valid.store(DATASET) == 0


async def test_9_a_crowd_that_comes_in_one_moment_leaves_no_socket_open() -> None:
    """Those that give way before they came up are closed too, and not only when the collector comes by."""
    async with intake(associate_s=30.0, connections_per_address=4) as scene:
        crowd = [socket.create_connection(("127.0.0.1", scene.acceptor.port)) for _ in range(12)]
        gc.disable()
        try:
            for _ in range(500):
                if sum(map(is_closed, crowd)) == 8:
                    break
                await asyncio.sleep(0.02)
            assert sum(map(is_closed, crowd)) == 8
        finally:
            gc.enable()
            for one in crowd:
                one.close()
        assert scene.count("connections_refused_total", "TOO_MANY_CONNECTIONS") == 8


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it."""
    try:
        return not connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def test_9_control_without_the_cap_they_would_all_be_held(many_descriptors: None) -> None:
    async with intake(associate_s=30.0, connections_per_address=5000, connections=5000) as scene:
        with pytest.raises(AssertionError):
            await idle_sockets_stay_below_the_cap(scene, scene.acceptor.port, 100)


async def test_9_associations_are_capped_and_the_sender_is_told_to_try_again() -> None:
    async with intake(associations=3) as scene, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            peer = await stack.enter_async_context(connected(scene.acceptor.port))
            await peer.associate()
        async with connected(scene.acceptor.port) as peer:
            await rejected(peer, Rejection.LOCAL_LIMIT)


async def half_a_request_is_closed(scene: Intake, port: int) -> None:
    async with connected(port) as peer:
        await peer.send(struct.pack(">BBI", 1, 0, 200_000) + bytes(100_000))
        assert await peer.rest(within_s=2.5) == b""


async def test_10_half_an_associate_rq_is_closed_and_nothing_is_left() -> None:
    async with intake() as scene, attacked(scene) as port:
        await half_a_request_is_closed(scene, port)
        assert [alert.kind for alert in scene.alerts] == [AlertKind.NOT_ASSOCIATED_IN_TIME]
        await asyncio.sleep(0.05)
        gc.collect()
        held = [kept for kept in gc.get_objects() if isinstance(kept, Association) and kept.has_ended]
        assert not any(len(kept._stream._staging) > 4096 for kept in held)


async def test_10_control_without_the_deadline_it_would_stay() -> None:
    async with intake(associate_s=60.0) as scene:
        with pytest.raises(AssertionError, match="still open"):
            await half_a_request_is_closed(scene, scene.acceptor.port)


# -- 11 to 18: data


async def aborted(peer: Peer, abort: bytes = wire.ABORT_AS_USER, within_s: float = 4) -> None:
    async with asyncio.timeout(within_s):
        assert await peer.pdu() == abort


async def a_trickle_is_aborted(port: int) -> None:
    async with connected(port) as peer:
        await peer.associate()
        data = wire.store_message(DATASET)
        await peer.send(data[:300])

        async def trickle() -> None:
            for position in range(300, 340):
                await peer.send(data[position : position + 1])
                await asyncio.sleep(0.1)

        with contextlib.suppress(ConnectionError):
            task = asyncio.create_task(trickle())
            try:
                await aborted(peer, within_s=3)
            except TimeoutError:
                raise AssertionError("not aborted") from None
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_11_a_trickle_of_data_is_aborted_for_its_rate() -> None:
    async with intake() as scene, attacked(scene) as port:
        await a_trickle_is_aborted(port)
        assert scene.count("aborts_total", "TOO_SLOW") == 1


async def test_11_control_without_a_minimum_rate_it_would_go_on() -> None:
    async with intake(min_bytes_per_s=0) as scene:
        with pytest.raises(AssertionError, match="not aborted"):
            await a_trickle_is_aborted(scene.acceptor.port)


HUGE = 0xFFFFFFFF


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("pdu_type", [1, 4])
async def test_12_nothing_is_allocated_for_a_pdu_of_4_gib(pdu_type: int, when: str) -> None:
    async with intake() as scene, attacked(scene) as port, connected(port) as peer:
        if when == "after":
            await peer.associate()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            await peer.send(struct.pack(">BBIIBB", pdu_type, 0, HUGE, HUGE - 4, 1, 0) + bytes(1000))
            await aborted(peer, wire.ABORT_AS_USER if when == "before" else wire.abort_as_provider(6))
            assert tracemalloc.get_traced_memory()[1] - before < 2**20
        finally:
            tracemalloc.stop()


def test_12_control_without_the_cap_the_claim_would_be_believed() -> None:
    claim = 2**26
    association = Association(pdu_bytes=2**31, command_bytes=2**31, instance_bytes=2**31)
    feed(association, wire.associate_rq())
    request = association.events.popleft().request  # type: ignore[union-attr]
    association.accept(SupportedContexts(accept_lossy=False).negotiate(request.contexts, {}))
    tracemalloc.start()
    try:
        feed(association, struct.pack(">BBIIBB", 4, 0, claim, claim - 4, 1, 1) + bytes(8000))
        assert tracemalloc.get_traced_memory()[1] > claim
    finally:
        tracemalloc.stop()


VIOLATIONS = {
    "13 longer than negotiated": (wire.p_data(1, 1, bytes(131072)), 6),
    "14 unknown type": (b"\x42\x00\x00\x00\x00\x04\x00\x00\x00\x00", 1),
    "14 A-ASSOCIATE-AC": (b"\x02\x00\x00\x00\x00\x04\x00\x00\x00\x00", 2),
    "a second A-ASSOCIATE-RQ": (wire.associate_rq(), 2),
    "A-RELEASE-RP unasked": (wire.RELEASE_RP, 2),
    "PDV longer than its PDU": (struct.pack(">BBIIBB", 4, 0, 20, 500, 1, 3) + bytes(14), 6),
    "unknown context": (wire.p_data(9, 3, wire.echo_rq()), 5),
    "17 command without end": (wire.p_data(1, 1, bytes(9000)) * 2, 6),
    "17 empty fragments": (wire.p_data(1, 1, b"") * 50, 6),
}


@pytest.mark.parametrize("what", VIOLATIONS)
async def test_13_to_17_what_the_protocol_forbids_is_aborted(what: str) -> None:
    data, reason = VIOLATIONS[what]
    async with intake() as scene, attacked(scene) as port, connected(port) as peer:
        await peer.associate()
        await peer.send(data)
        await aborted(peer, wire.abort_as_provider(reason))
        assert [alert.kind for alert in scene.alerts] == [AlertKind.PROTOCOL_VIOLATED]


async def test_an_aborted_peer_that_does_not_close_is_closed() -> None:
    async with intake() as scene, attacked(scene) as port, connected(port) as peer:
        await peer.associate()
        await peer.send(b"\x42" * 10)
        assert await peer.rest() == wire.abort_as_provider(1)


async def test_13_control_a_pdu_as_long_as_negotiated_is_taken() -> None:
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        await peer.send(wire.store_message(bytes(131066 * 2), fragment_bytes=131072 - 6))
        assert wire.read_response(await peer.pdu()).Status == 0


async def test_17_control_with_a_higher_cap_the_command_would_be_gathered() -> None:
    async with intake(command_bytes=20_000) as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        await peer.send(wire.p_data(1, 1, bytes(9000)) * 2)
        with pytest.raises(TimeoutError):
            await aborted(peer, within_s=0.5)


@pytest.mark.parametrize(
    "pdu", [wire.p_data(1, 3, wire.echo_rq()), wire.RELEASE_RQ, wire.RELEASE_RP], ids=repr
)
async def test_15_data_before_the_association_is_aborted(pdu: bytes) -> None:
    async with intake() as scene, attacked(scene) as port, connected(port) as peer:
        await peer.send(pdu)
        await aborted(peer)
        assert [alert.kind for alert in scene.alerts] == [AlertKind.NOT_DICOM]


@pytest.mark.parametrize("ids", [[*range(1, 256, 2), 1], [*range(256)], [1, 1], [2], []], ids=len)
async def test_16_too_many_repeated_and_even_context_ids_are_rejected(ids: list[int]) -> None:
    items = wire.APPLICATION_CONTEXT + b"".join(map(wire.context_item, ids)) + wire.USER_INFORMATION
    async with intake() as scene, attacked(scene) as port, connected(port) as peer:
        await peer.send(wire.raw_associate_rq(items))
        assert await peer.pdu() == Rejection.NOT_UNDERSTOOD.encode()


async def test_16_control_128_valid_contexts_are_answered() -> None:
    items = (
        wire.APPLICATION_CONTEXT + b"".join(map(wire.context_item, range(1, 256, 2))) + wire.USER_INFORMATION
    )
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.send(wire.raw_associate_rq(items))
        answer = wire.read_ac(await peer.pdu())
        assert len(answer.presentation_context_definition_results_list) == 128


async def an_endless_message_is_aborted_and_freed(scene: Intake, port: int) -> None:
    async with connected(port) as peer:
        await peer.associate()
        await peer.send(wire.p_data(1, 3, wire.store_rq()) + wire.p_data(1, 0, bytes(100_000)))
        try:
            await aborted(peer, within_s=3)
        except TimeoutError:
            raise AssertionError("not aborted") from None
        assert all(c.association._dataset.size == 0 for c in scene.acceptor._all() if c.association.has_ended)


async def test_18_a_message_without_its_last_fragment_times_out() -> None:
    async with intake(message_s=1.0, min_bytes_per_s=0) as scene, attacked(scene) as port:
        await an_endless_message_is_aborted_and_freed(scene, port)
        assert scene.count("aborts_total", "MESSAGE_TOO_LONG_UNDER_WAY") == 1


async def test_18_control_without_the_deadline_it_would_wait() -> None:
    async with intake(message_s=60.0, min_bytes_per_s=0) as scene:
        with pytest.raises(AssertionError, match="not aborted"):
            await an_endless_message_is_aborted_and_freed(scene, scene.acceptor.port)


# -- 44: the sender ends in the middle


@pytest.mark.parametrize("how", ["abort", "reset", "close"])
@pytest.mark.parametrize("where", ["between slices", "in a slice", "in a header"])
async def test_44_a_sender_that_ends_in_the_middle_leaves_no_part_of_a_slice(how: str, where: str) -> None:
    message = wire.store_message(DATASET, 2)
    part = {
        "between slices": b"",
        "in a slice": message[:-9000],
        "in a header": message[:-9000] + message[-9000:][:3],
    }
    async with intake() as scene, attacked(scene) as port:
        scene.service.keeps = True
        before = len(scene.service.ended)
        async with connected(port) as peer:
            await peer.associate()
            assert await peer.store(DATASET) == 0
            mine = max(request.association for request in scene.service.requests)
            await peer.send(
                part[where] + (wire.ABORT if how == "abort" and where == "between slices" else b"")
            )
            if how == "reset":
                peer.reset()
            elif how == "abort" and where != "between slices":
                peer.reset()  # in the middle of a PDU an A-ABORT would be its data
        await scene.service.until(lambda: (mine, False) in scene.service.ended)
        assert len(scene.service.ended) > before
        assert sum(request.association == mine for request in scene.service.requests) == 1
        async with connected(port) as peer:
            await peer.associate()
            assert await peer.store(DATASET, 2) == 0


async def test_a_release_is_told_as_one() -> None:
    async with intake() as scene:
        async with connected(scene.acceptor.port) as peer:
            await peer.associate()
            await peer.send(wire.RELEASE_RQ)
            assert await peer.pdu() == wire.RELEASE_RP
        assert scene.service.ended == [(1, True)]


# -- being stopped


async def test_while_stopping_open_associations_end_and_new_ones_are_told_to_try_again() -> None:
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        stop = asyncio.create_task(scene.acceptor.stop(5))
        await asyncio.sleep(0.05)
        async with connected(scene.acceptor.port) as late:
            await rejected(late, Rejection.CONGESTION)
        assert await peer.store(DATASET) == 0
        await peer.send(wire.RELEASE_RQ)
        assert await peer.pdu() == wire.RELEASE_RP
        async with asyncio.timeout(3):
            await stop


async def test_at_the_end_of_the_grace_an_idle_association_is_released_and_a_busy_one_aborted() -> None:
    async with (
        intake() as scene,
        connected(scene.acceptor.port) as idle,
        connected(scene.acceptor.port) as busy,
    ):
        await idle.associate()
        await busy.associate()
        await busy.send(wire.store_message(DATASET)[:-100])
        await asyncio.sleep(0.05)
        stop = asyncio.create_task(scene.acceptor.stop(0.1))
        assert await idle.pdu() == wire.RELEASE_RQ
        await idle.send(wire.RELEASE_RP)
        assert await busy.pdu() == wire.ABORT_AS_USER
        async with asyncio.timeout(3):
            await stop
        assert sorted(scene.service.ended) == [(1, False), (2, False)]


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_one_clear_error(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with Intake(
            wire.config(dicom={"ae_title": "GATEWAY", "host": host, "port": 11112, "tls": "off"})
        ):
            pass
    assert caught.value.code == "ADDRESS_UNUSABLE"


async def test_a_port_in_use_is_one_clear_error() -> None:
    async with intake() as scene:
        with pytest.raises(ConfigError) as caught:
            async with Intake(scene.config):
                pass
        assert caught.value.code == "PORT_IN_USE"
