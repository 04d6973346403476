"""One transport connection: moves bytes between asyncio and an `Association`, and answers its events.

The thin shell around the pure core. What is decided here is time (deadlines, the minimum rate), back-pressure, and who
is told; what the bytes mean is decided in `association`, who may come in `admission`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final, Protocol

import structlog

from gateway.config import Limits
from gateway.dicom.admission import Refusal
from gateway.dicom.alerts import AlertKind
from gateway.dicom.association import Association
from gateway.dicom.association_events import Answered, AssociateRequested, Ended, Outcome, StoreReceived
from gateway.dicom.contexts import Negotiated
from gateway.dicom.deadlines import Deadlines
from gateway.dicom.dimse import Status
from gateway.dicom.negotiation import AssociateRequest
from gateway.dicom.state_machine import State
from gateway.dicom.storage import StorageService, StoreRequest
from gateway.errors import IntakeError, Word
from gateway.metrics import Metrics

_READS_IN_A_ROW = 8
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_log = structlog.get_logger()


class Desk(Protocol):
    """What a connection asks of the acceptor that it belongs to."""

    @property
    def limits(self) -> Limits:
        """Caps and deadlines."""

    @property
    def metrics(self) -> Metrics:
        """Where to count."""

    @property
    def service(self) -> StorageService:
        """Who takes the instances."""

    def consider(self, connection: Connection, request: AssociateRequest) -> Refusal | Negotiated:
        """Decide on an A-ASSOCIATE-RQ; a `Negotiated` counts as an open association from now on."""

    def alert(self, kind: AlertKind, connection: Connection) -> None:
        """Raise a security alert about the peer."""

    def association_over(self, connection: Connection) -> None:
        """An association that counted is over."""

    def connection_over(self, connection: Connection) -> None:
        """The connection is gone, and nothing of it is left."""


class Connection(asyncio.BufferedProtocol):
    """The protocol object of one connection.

    Parameters
    ----------
    desk : Desk
    number : int
        The association's number, should there be one.
    address : str
        The peer's IP address.
    """

    def __init__(self, desk: Desk, number: int, address: str, peer: socket.socket | None = None) -> None:
        self._desk = desk
        self.number: Final = number
        self.address: Final = address
        self.source = ""
        """The configured AE title that has associated."""
        self.opened: asyncio.Task[None] | None = None
        """The task that brings the connection up, TLS handshake included."""
        self.transport: asyncio.Transport | None = None
        self.certificate: bytes | None = None
        """The peer's, DER; None without TLS."""
        self.association = Association(
            pdu_bytes=desk.limits.pdu_bytes,
            command_bytes=desk.limits.command_bytes,
            instance_bytes=desk.limits.instance_bytes,
        )
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._raw = peer
        """The socket under a transport without TLS."""
        self._called_ae_title = ""
        self._store: asyncio.Task[None] | None = None
        self._store_since = 0.0
        self._counts = False
        """Whether an association was accepted, and the service not told of its end."""
        self._was_released = False
        self._is_lost = False
        self._is_reading = True
        self._peer_reads = True
        self._deadlines: Deadlines | None = None

    @property
    def is_associated(self) -> bool:
        """Whether an association is open."""
        return self._counts and not self.association.has_ended

    # -- asyncio.BufferedProtocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is open, with TLS the handshake done."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._socket = transport.get_extra_info("socket")
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.certificate = tls.getpeercert(binary_form=True)
            self._raw = None
        self._deadlines = Deadlines(self._desk.limits, self._loop.time())
        if self._is_lost:
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes are received."""
        return self.association.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes were received."""
        association = self.association
        association.received(nbytes)
        raw = self._raw
        if raw is not None and self._is_reading:
            # What has arrived meanwhile is taken at once: cheaper than to ask the event loop for it.
            for _ in range(_READS_IN_A_ROW):
                if association.events:
                    break
                try:
                    count = raw.recv_into(association.buffer())
                except (
                    OSError
                ):  # nothing there; or the connection broke, which the transport will see as well
                    break
                if not count:
                    break
                association.received(count)
        if association.events:
            self._follow()
        elif association.is_full:
            self._adjust_reading()

    def pause_writing(self) -> None:
        """The peer does not read its responses."""
        self._peer_reads = False
        self._adjust_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._peer_reads = True
        self._adjust_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_lost = True
        self.association.transport_closed()
        self._follow()
        if self._store is None:
            self._over()

    # -- the association's events --------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Answer the association's events, send what it has to send, close where it wants to be closed."""
        association = self.association
        while association.events:
            event = association.events.popleft()
            if isinstance(event, StoreReceived):
                self._store_received(event)
            elif isinstance(event, Answered):
                self._answered(event)
            elif isinstance(event, AssociateRequested):
                self._associate_requested(event.request)
            else:
                self._association_ended(event)
        transport = self.transport
        if transport is None or self._is_lost:
            return
        data = association.data_to_send()
        if data:
            transport.write(data)
            self._acknowledge_quickly()
        if association.state is State.IDLE:
            transport.close()
        self._adjust_reading()

    def _associate_requested(self, request: AssociateRequest) -> None:
        if self.association.has_ended:
            return
        decision = self._desk.consider(self, request)
        if isinstance(decision, Refusal):
            self.source = decision.source
            self._desk.metrics.connections_refused_total.labels(decision.code).inc()
            if decision.alert is not None:
                self._desk.alert(decision.alert, self)
            self.association.reject(decision.rejection, decision.code)
            return
        assert request.calling_ae_title is not None
        assert request.called_ae_title is not None
        self.source, self._called_ae_title = request.calling_ae_title, request.called_ae_title
        self._counts = True
        metrics = self._desk.metrics
        self._bytes_total = metrics.received_bytes_total.labels(self.source)
        self.association.accept(decision)
        _log.info("association accepted", association=self.number, source=Word.known(self.source))

    def _store_received(self, event: StoreReceived) -> None:
        request = StoreRequest(
            calling_ae_title=self.source,
            called_ae_title=self._called_ae_title,
            address=self.address,
            association=self.number,
            sop_class_uid=event.command.sop_class_uid,
            sop_instance_uid=event.command.sop_instance_uid,
            transfer_syntax_uid=event.context.transfer_syntax_uid,
            dataset=event.dataset,
        )
        self._bytes_total.inc(len(event.dataset))
        self._store_since = self._loop.time()
        self._store = self._loop.create_task(self._take(request))
        self._store.add_done_callback(self._taken)

    async def _take(self, request: StoreRequest) -> None:
        status, comment = int(Status.SUCCESS), ""
        try:
            status = await self._desk.service.store(request)
        except IntakeError as error:
            status, comment = error.dimse_status, error.code
        self._respond(status, comment)

    def _respond(self, status: int, comment: str) -> None:
        seconds = self._loop.time() - self._store_since
        self._store = None
        self.association.respond(status, comment)
        self._follow()
        self._desk.metrics.store_seconds.observe(seconds)

    def _taken(self, task: asyncio.Task[None]) -> None:
        if task is self._store:  # it did not come to its response
            if task.cancelled():
                self._store = None
            else:
                # A fault of ours. What it says could hold a value of the dataset, so it is not said.
                task.exception()
                _log.error(
                    "store failed",
                    association=self.number,
                    source=Word.known(self.source),
                    reason=Word("SERVICE_FAILED"),
                )
                self._respond(Status.PROCESSING_FAILURE, "SERVICE_FAILED")
        if self._store is None and self.association.has_ended:
            self._tell_service()
            if self._is_lost:
                self._over()

    def _answered(self, event: Answered) -> None:
        if event.status != Status.SUCCESS:
            code = event.code or f"STATUS_{event.status:04X}"
            self._desk.metrics.instances_total.labels(self.source, code).inc()

    def _association_ended(self, event: Ended) -> None:
        was_associated = self._counts
        if event.outcome is Outcome.ABORTED:
            self._desk.metrics.aborts_total.labels(event.code).inc()
            if event.code == "NOT_ASSOCIATED_IN_TIME":
                self._desk.alert(AlertKind.NOT_ASSOCIATED_IN_TIME, self)
            elif event.code not in ("STOPPED", "IDLE"):
                self._desk.alert(AlertKind.PROTOCOL_VIOLATED if was_associated else AlertKind.NOT_DICOM, self)
        if not was_associated:
            if event.outcome is Outcome.REJECTED:
                _log.warning(
                    "association rejected",
                    association=self.number,
                    source=Word.known(self.source),
                    reason=Word.known(event.code),
                )
            return
        self._was_released = event.outcome is Outcome.RELEASED and not event.code
        self._desk.metrics.associations_total.labels(self.source, event.outcome.value).inc()
        _log.info(
            "association ended",
            association=self.number,
            source=Word.known(self.source),
            reason=Word.known(event.code) if event.code else event.outcome,
            count=self.association.answered,
        )
        self._desk.association_over(self)
        if self._store is None:
            self._tell_service()
        else:
            self._store.cancel()

    def _tell_service(self) -> None:
        if self._counts:
            self._counts = False
            self._desk.service.association_ended(self.number, self.source, released=self._was_released)

    def _over(self) -> None:
        self._tell_service()
        self._desk.connection_over(self)

    # -- time and flow -------------------------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """End what takes too long; called often, compared with the shortest deadline."""
        association = self.association
        code = None if self._deadlines is None else self._deadlines.passed(association, now)
        if code is None:
            return
        if association.state in (State.AWAITING_ASSOCIATE_RQ, State.AWAITING_TRANSPORT_CLOSE):
            association.artim_expired(code)
        else:
            association.abort(code)
        self._follow()
        if code == "NOT_CLOSED_IN_TIME":
            self.drop()

    def stop(self) -> None:
        """End the association: release it where it is idle, else abort it."""
        association = self.association
        if association.in_message or association.is_storing or association.state is not State.ESTABLISHED:
            association.abort("STOPPED")
        else:
            association.release()
        self._follow()

    def drop(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self.opened is not None:
            self._is_lost = True
            self.opened.cancel()

    def _adjust_reading(self) -> None:
        """Read no more than there is room for, and nothing from a peer that leaves its answers lying."""
        transport = self.transport
        if transport is None or self._is_lost:
            return
        should_read = self._peer_reads and not self.association.is_full
        if should_read is not self._is_reading:
            self._is_reading = should_read
            if should_read:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _acknowledge_quickly(self) -> None:
        """Ask the kernel not to delay the next ACK, on which a sender with Nagle's algorithm would wait.

        The kernel leaves this mode by itself, so it is asked again and again.
        """
        if _QUICKACK is not None and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
