"""The shell around an association: responses, back-pressure, deadlines, the one end."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from gateway.config import Limits
from gateway.dicom.admission import Refusal
from gateway.dicom.alerts import AlertKind
from gateway.dicom.connection import Connection
from gateway.dicom.contexts import Negotiated, SupportedContexts
from gateway.dicom.deadlines import ARTIM_S
from gateway.dicom.negotiation import AssociateRequest, Rejection
from gateway.dicom.storage import StoreRequest
from gateway.errors import IntakeError
from gateway.metrics import Metrics
from tests import wire

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
DATASET = wire.made_dataset()
STORE = wire.store_message(DATASET)


class Service:
    """A storage service that answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[StoreRequest] = []
        self.ended: list[tuple[int, str, bool]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def store(self, request: StoreRequest) -> int:
        assert not self.ended
        self.requests.append(request)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return 0

    def association_ended(self, association: int, calling_ae_title: str, *, released: bool) -> None:
        self.ended.append((association, calling_ae_title, released))


class Desk:
    def __init__(self, **limits: float) -> None:
        self.limits = Limits.model_validate(limits)
        self.metrics = Metrics()
        self.service = Service()
        self.refusal: Refusal | None = None
        self.alerts: list[AlertKind] = []
        self.associations_over = self.connections_over = 0
        self._contexts = SupportedContexts(accept_lossy=False)

    def consider(self, connection: Connection, request: AssociateRequest) -> Refusal | Negotiated:
        return self.refusal or self._contexts.negotiate(request.contexts, request.roles)

    def alert(self, kind: AlertKind, connection: Connection) -> None:
        self.alerts.append(kind)

    def association_over(self, connection: Connection) -> None:
        self.associations_over += 1

    def connection_over(self, connection: Connection) -> None:
        self.connections_over += 1


class Transport(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.reading = True
        self.closed = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


class Scene:
    """A connection, the desk above it and the transport below it."""

    def __init__(self, **limits: float) -> None:
        self.desk = Desk(**limits)
        self.transport = Transport()
        self.connection = Connection(self.desk, 7, "10.0.0.1")
        self.connection.connection_made(self.transport)
        self.start = asyncio.get_running_loop().time()

    def feed(self, data: bytes) -> int:
        """Give bytes as far as the connection reads; return how many."""
        given = 0
        while data and self.transport.reading:
            window = self.connection.get_buffer(-1)
            count = min(len(window), len(data))
            window[:count] = data[:count]
            self.connection.buffer_updated(count)
            data, given = data[count:], given + count
        return given

    def associate(self) -> Scene:
        self.feed(wire.associate_rq())
        assert wire.read_ac(self.transport.take()).result == 0
        return self

    def after(self, seconds: float) -> None:
        """Look at the time now, so that it knows the phase, and `seconds` later."""
        self.connection.check_time(self.start)
        self.connection.check_time(self.start + seconds)

    def lose(self) -> None:
        self.connection.connection_lost(None)

    def count(self, name: str, *labels: str) -> float:
        return float(getattr(self.desk.metrics, name).labels(*labels)._value.get())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_response_comes_only_when_the_service_has_taken_the_instance() -> None:
    scene = Scene().associate()
    scene.desk.service.gate.clear()
    scene.feed(STORE)
    await settle()
    assert scene.transport.take() == b""
    scene.desk.service.gate.set()
    await settle()
    assert wire.read_response(scene.transport.take()).Status == 0
    (request,) = scene.desk.service.requests
    assert bytes(request.dataset) == DATASET
    assert (request.calling_ae_title, request.called_ae_title, request.association) == (
        "STORESCU",
        "GATEWAY",
        7,
    )
    assert (request.address, request.transfer_syntax_uid) == ("10.0.0.1", wire.EXPLICIT_LE)
    assert scene.count("received_bytes_total", "STORESCU") == len(DATASET)


async def test_a_request_shows_no_instance_and_no_dataset() -> None:
    scene = Scene().associate()
    scene.feed(STORE)
    await settle()
    shown = repr(scene.desk.service.requests[0])
    assert wire.SOP_INSTANCE not in shown
    assert "dataset" not in shown


async def test_while_the_service_is_busy_the_sender_is_held_back() -> None:
    scene = Scene().associate()
    scene.desk.service.gate.clear()
    given = scene.feed(STORE * 20)
    assert given < 4 * len(STORE)
    assert not scene.transport.reading
    scene.desk.service.gate.set()
    await settle()
    assert scene.transport.reading


async def test_a_refusal_of_the_service_is_the_status_and_the_code() -> None:
    scene = Scene().associate()
    scene.desk.service.error = IntakeError("OUT_OF_MEMORY_BUDGET", 0xA700)
    scene.feed(STORE)
    await settle()
    response = wire.read_response(scene.transport.take())
    assert (response.Status, response.ErrorComment) == (0xA700, "OUT_OF_MEMORY_BUDGET")


async def test_a_fault_of_the_service_is_a_processing_failure_and_tells_no_value() -> None:
    scene = Scene().associate()
    scene.desk.service.error = ValueError("Doe^John is not a number")
    with structlog.testing.capture_logs() as logs:
        scene.feed(STORE)
        await settle()
    response = wire.read_response(scene.transport.take())
    assert response.Status == 0x0110
    assert "Doe" not in str(response)
    assert "Doe" not in str(logs)
    assert logs[-1]["reason"] == "SERVICE_FAILED"
    scene.desk.service.error = None
    scene.feed(wire.store_message(DATASET, 2))
    await settle()
    assert wire.read_response(scene.transport.take()).Status == 0


async def test_logs_have_only_the_fields_that_are_agreed() -> None:
    allowed = {"event", "log_level", "association", "source", "reason", "count", "seconds"}
    with structlog.testing.capture_logs() as logs:
        scene = Scene().associate()
        scene.feed(STORE + b"\xff" * 20)
        await settle()
        scene.lose()
        other = Scene()
        other.desk.refusal = Refusal("CALLED_AE_TITLE_UNKNOWN", Rejection.CALLED_AE_TITLE, None)
        other.feed(wire.associate_rq(called="X"))
    assert len(logs) >= 3
    assert all(set(entry) <= allowed for entry in logs)


async def test_what_the_service_never_sees_is_counted_here() -> None:
    scene = Scene()
    scene.feed(wire.associate_rq([(1, RTSTRUCT, [wire.EXPLICIT_LE])]))
    scene.feed(wire.store_message(DATASET, sop_class=RTSTRUCT))
    assert scene.count("instances_total", "STORESCU", "SOP_CLASS_NOT_SUPPORTED") == 1
    assert scene.desk.service.requests == []


# -- the end


async def _released(scene: Scene) -> None:
    scene.feed(wire.RELEASE_RQ)
    assert scene.transport.take() == wire.RELEASE_RP


async def _aborted_by_peer(scene: Scene) -> None:
    scene.feed(wire.ABORT)
    assert scene.transport.closed


async def _vanished(scene: Scene) -> None:
    scene.feed(STORE[:-100])


async def _violated(scene: Scene) -> None:
    scene.feed(b"\xff" * 20)
    assert scene.transport.take() == wire.abort_as_provider(1)


async def _stopped(scene: Scene) -> None:
    scene.connection.stop()


async def _stopped_and_released(scene: Scene) -> None:
    scene.connection.stop()
    scene.feed(wire.RELEASE_RP)


async def _storing(scene: Scene) -> None:
    scene.desk.service.gate.clear()
    scene.feed(STORE)
    await settle()


async def _aborted_while_storing(scene: Scene) -> None:
    scene.desk.service.gate.clear()
    scene.feed(STORE + wire.ABORT)
    await settle()


async def _stored_as_it_ends(scene: Scene) -> None:
    scene.feed(STORE + wire.ABORT)


@pytest.mark.parametrize(
    "end",
    [
        _released,
        _aborted_by_peer,
        _vanished,
        _violated,
        _stopped,
        _stopped_and_released,
        _storing,
        _aborted_while_storing,
        _stored_as_it_ends,
    ],
)
async def test_the_service_learns_the_end_once_and_last(end: object) -> None:
    scene = Scene().associate()
    await end(scene)  # type: ignore[operator]
    scene.lose()
    await settle()
    scene.connection.check_time(scene.start + 1e6)
    assert scene.desk.service.ended == [(7, "STORESCU", end is _released)]
    assert scene.desk.associations_over == 1
    assert scene.desk.connections_over == 1
    assert scene.connection.association._dataset.size == 0


async def test_a_request_and_its_abort_at_once_are_no_association() -> None:
    scene = Scene()
    scene.feed(wire.associate_rq() + wire.ABORT)
    scene.lose()
    assert (scene.desk.service.ended, scene.desk.associations_over, scene.desk.connections_over) == ([], 0, 1)


async def test_a_store_is_cancelled_when_its_sender_is_gone() -> None:
    scene = Scene().associate()
    await _storing(scene)
    scene.lose()
    await settle()
    assert scene.desk.service.cancelled == 1


async def test_a_rejected_peer_is_no_association() -> None:
    scene = Scene()
    scene.desk.refusal = Refusal(
        "CALLED_AE_TITLE_UNKNOWN", Rejection.CALLED_AE_TITLE, AlertKind.CALLED_AE_TITLE
    )
    scene.feed(wire.associate_rq(called="X"))
    assert scene.transport.take() == Rejection.CALLED_AE_TITLE.encode()
    assert scene.desk.alerts == [AlertKind.CALLED_AE_TITLE]
    assert scene.count("connections_refused_total", "CALLED_AE_TITLE_UNKNOWN") == 1
    scene.lose()
    assert (scene.desk.service.ended, scene.desk.associations_over, scene.desk.connections_over) == ([], 0, 1)


# -- time


async def test_a_peer_that_does_not_associate_is_dropped() -> None:
    scene = Scene(associate_s=10)
    scene.feed(wire.associate_rq()[:40])
    scene.after(9)
    assert scene.transport.closed == ""
    scene.after(11)
    assert scene.transport.closed == "closed"
    assert scene.transport.sent == b""
    assert scene.desk.alerts == [AlertKind.NOT_ASSOCIATED_IN_TIME]


async def test_an_idle_association_is_aborted() -> None:
    scene = Scene(idle_s=60).associate()
    scene.after(59)
    assert scene.transport.take() == b""
    scene.after(61)
    assert scene.transport.take() == wire.ABORT_AS_USER
    assert scene.desk.alerts == []
    assert scene.count("aborts_total", "IDLE") == 1


async def test_bytes_that_are_no_message_do_not_count_as_activity() -> None:
    scene = Scene(idle_s=60).associate()
    scene.connection.check_time(scene.start)
    for second in range(0, 66, 6):
        scene.feed(wire.p_data(1, 3, wire.store_rq())[second // 6 : second // 6 + 1])
        scene.connection.check_time(scene.start + second)
    scene.connection.check_time(scene.start + 61)
    assert scene.transport.take() == wire.ABORT_AS_USER


async def test_waiting_for_the_service_is_not_idle() -> None:
    scene = Scene(idle_s=60).associate()
    await _storing(scene)
    scene.after(1000)
    assert scene.transport.take() == b""


async def test_a_message_that_takes_too_long_is_aborted() -> None:
    scene = Scene(message_s=300, min_bytes_per_s=0).associate()
    scene.feed(STORE[:-10])
    scene.after(299)
    assert scene.transport.take() == b""
    scene.after(301)
    assert scene.transport.take() == wire.ABORT_AS_USER
    assert scene.count("aborts_total", "MESSAGE_TOO_LONG_UNDER_WAY") == 1


def _trickle(scene: Scene, bytes_per_s: int, seconds: int) -> None:
    data = wire.p_data(1, 3, wire.store_rq()) + wire.p_data(1, 0, bytes(16000))
    scene.feed(data[:200])
    data = data[200:]
    for second in range(seconds):
        scene.feed(data[:bytes_per_s])
        data = data[bytes_per_s:]
        scene.connection.check_time(scene.start + second)


async def test_a_sender_below_the_minimum_rate_is_aborted() -> None:
    scene = Scene(min_bytes_per_s=100, rate_window_s=15).associate()
    _trickle(scene, 99, 20)
    assert scene.transport.take() == wire.ABORT_AS_USER
    assert scene.count("aborts_total", "TOO_SLOW") == 1


async def test_control_a_sender_at_the_minimum_rate_is_left_alone() -> None:
    scene = Scene(min_bytes_per_s=100, rate_window_s=15).associate()
    _trickle(scene, 101, 100)
    assert scene.transport.take() == b""


async def test_a_peer_that_does_not_close_is_closed() -> None:
    scene = Scene().associate()
    scene.feed(wire.RELEASE_RQ)
    scene.after(ARTIM_S - 0.1)
    assert scene.transport.closed == ""
    scene.after(ARTIM_S + 0.1)
    assert scene.transport.closed == "aborted"


async def test_a_peer_that_reads_no_responses_is_not_read_from() -> None:
    scene = Scene().associate()
    scene.connection.pause_writing()
    assert not scene.transport.reading
    scene.connection.resume_writing()
    assert scene.transport.reading


async def test_an_idle_association_is_released_at_the_stop_and_a_busy_one_aborted() -> None:
    idle, busy = Scene().associate(), Scene().associate()
    busy.feed(STORE[:-10])
    idle.connection.stop()
    busy.connection.stop()
    assert idle.transport.take() == wire.RELEASE_RQ
    assert busy.transport.take() == wire.ABORT_AS_USER
    idle.feed(wire.RELEASE_RP)
    assert idle.transport.closed
