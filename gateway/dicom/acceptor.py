"""The storage SCP: listens, lets in whom it should, and hands each received instance to a `StorageService`.

::

    socket -> address, connections -> TLS -> A-ASSOCIATE-RQ -> AE titles -> contexts -> bytes -> PDUs -> messages
              admission               tls    negotiation       admission    contexts    pdu_stream       association

One event loop, no thread. A connection is a `Connection` (asyncio) around an `Association` (pure).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import itertools
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from gateway.config import TLS, Config
from gateway.dicom.admission import Admission, Refusal, normal_address
from gateway.dicom.alerts import AlertGate, AlertKind, SecurityAlert
from gateway.dicom.connection import Connection
from gateway.dicom.contexts import Negotiated, SupportedContexts
from gateway.dicom.deadlines import ARTIM_S
from gateway.dicom.negotiation import AssociateRequest
from gateway.dicom.storage import StorageService, StoreRequest
from gateway.dicom.tls import ServerTLS, belongs_to
from gateway.errors import ConfigError, Word
from gateway.metrics import Metrics

__all__ = ["Acceptor", "AlertKind", "SecurityAlert", "StorageService", "StoreRequest"]

_BACKLOG = 128
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SLOWEST_TICK_S, _FASTEST_TICK_S = 1.0, 0.02
_PARTING_S = 1.0
"""How long peers have at the end of a stop."""

_log = structlog.get_logger()


class Acceptor:
    """Listens for associations.

    Parameters
    ----------
    config : Config
    service : StorageService
    metrics : Metrics
    alert : callable
        Gets a `SecurityAlert`, one a minute for each kind and address.

    Raises
    ------
    ConfigError
        `TLS_UNFIT`.
    """

    def __init__(
        self,
        config: Config,
        service: StorageService,
        metrics: Metrics,
        alert: Callable[[SecurityAlert], None],
    ) -> None:
        self.limits: Final = config.limits
        self.metrics: Final = metrics
        self.service: Final = service
        self._dicom: Final = config.dicom
        self._admission = Admission(config)
        self._contexts: Final = SupportedContexts(accept_lossy=config.dicom.accept_lossy)
        self._on_alert: Final = alert
        self._tls = ServerTLS(config.dicom.tls) if isinstance(config.dicom.tls, TLS) else None
        self._numbers: Final = itertools.count(1)
        self._connections: dict[str, dict[Connection, None]] = {}
        """By address, in the order in which they came."""
        self._associations: Counter[str] = Counter()
        """Open ones by calling AE title."""
        self._listeners: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False
        self._quiet = asyncio.Event()
        """Set whenever an association or a connection ends."""

    def update(self, config: Config) -> None:
        """Take over who may come from now on; open associations go on."""
        self._admission = Admission(config)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listeners[0].getsockname()[1])

    @property
    def associations(self) -> int:
        """Associations open now."""
        return self._associations.total()

    async def start(self) -> None:
        """Listen; on return, connections are taken.

        Raises
        ------
        ConfigError
            `PORT_IN_USE`, or `ADDRESS_UNUSABLE` where the address is not ours or the port not permitted.
        """
        loop = asyncio.get_running_loop()
        self._gate = AlertGate(self._on_alert, loop.time)
        try:
            found = await loop.getaddrinfo(
                self._dicom.host, self._dicom.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError:
            raise ConfigError("ADDRESS_UNUSABLE", what=Word("dicom.host")) from None
        try:
            for family, kind, protocol, _, where in dict.fromkeys(found):
                self._listeners.append(_listen(family, kind, protocol, where))
        except ConfigError:
            for listener in self._listeners:
                listener.close()
            raise
        self._tasks = [loop.create_task(self._listen(listener)) for listener in self._listeners]
        self._tasks.append(loop.create_task(self._watch()))

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, let open associations end, and after a while end them.

        While it waits, a new association is rejected as transient (temporary congestion), so that senders try again.

        Parameters
        ----------
        grace_s : float
            How long open associations may go on.
        """
        self._draining = True
        await self._until(lambda: not self.associations, grace_s)
        for connection in self._all():
            connection.stop()
        await self._until(lambda: not self._connections, _PARTING_S if self.associations else 0.1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._all():
            connection.drop()
        await self._until(lambda: not self._connections, _PARTING_S)
        for listener in self._listeners:
            listener.close()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition that the end of an association or a connection can bring about, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._quiet.clear()
                    await self._quiet.wait()

    # -- letting in ----------------------------------------------------------------------------------------------------

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, where = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self.metrics.connections_refused_total.labels("OUT_OF_DESCRIPTORS").inc()
                    await asyncio.sleep(0.1)
                continue  # the peer was gone before it was accepted
            self._admit(peer, normal_address(where[0]))

    def _admit(self, peer: socket.socket, address: str) -> None:
        if not self._admission.admits_address(address):
            peer.close()
            self.metrics.connections_refused_total.labels("ADDRESS_NOT_ADMITTED").inc()
            self._gate.raise_alert(AlertKind.ADDRESS_NOT_ADMITTED, address)
            return
        if not self._has_room(address):
            peer.close()
            return
        connection = Connection(self, next(self._numbers), address, peer)
        self._connections.setdefault(address, {})[connection] = None
        connection.opened = asyncio.get_running_loop().create_task(self._open(connection, peer))
        connection.opened.add_done_callback(functools.partial(self._opened, connection, peer))

    def _has_room(self, address: str) -> bool:
        """Whether one more connection may come: the oldest that has not associated gives way to it."""
        of_address, every = list(self._connections.get(address, ())), self._all()
        refusal = self._admission.connection_refusal(from_address=len(of_address), in_all=len(every))
        if refusal is None:
            return True
        self.metrics.connections_refused_total.labels(refusal.code).inc()
        self._gate.raise_alert(AlertKind.TOO_MANY_CONNECTIONS, address, self._admission.source_at(address))
        oldest = next((c for c in of_address + every if not c.is_associated), None)
        if oldest is None:
            return False
        oldest.drop()
        self.connection_over(oldest)  # so that it counts no more, even before the event loop has closed it
        return True

    async def _open(self, connection: Connection, peer: socket.socket) -> None:
        """Bring a connection up; with TLS that is the handshake."""
        loop = asyncio.get_running_loop()
        try:
            if self._tls is None:
                await loop.connect_accepted_socket(lambda: connection, peer)
            else:
                await loop.connect_accepted_socket(
                    lambda: connection,
                    peer,
                    ssl=self._tls.context(),
                    ssl_handshake_timeout=self._tls.handshake_s,
                    ssl_shutdown_timeout=ARTIM_S,
                )
        except (OSError, ssl.SSLError):
            self.metrics.connections_refused_total.labels("TLS_REFUSED").inc()
            self.alert(AlertKind.TLS_REFUSED, connection)

    def _opened(self, connection: Connection, peer: socket.socket, task: asyncio.Task[None]) -> None:
        """Let go of what did not come up, also where the task was cancelled before it had begun."""
        connection.opened = None
        if connection.transport is None:
            peer.close()
            self.connection_over(connection)

    # -- Desk ----------------------------------------------------------------------------------------------------------

    def consider(self, connection: Connection, request: AssociateRequest) -> Refusal | Negotiated:
        """Decide on an A-ASSOCIATE-RQ."""
        refusal = self._admission.association_refusal(
            request,
            connection.address,
            lambda source: self._tls is None or belongs_to(connection.certificate, source),
            of_source=self._associations.__getitem__,
            in_all=self.associations,
            draining=self._draining,
        )
        if refusal is not None:
            return refusal
        assert request.calling_ae_title is not None
        self._associations[request.calling_ae_title] += 1
        self.metrics.associations.set(self.associations)
        return self._contexts.negotiate(request.contexts, request.roles)

    def alert(self, kind: AlertKind, connection: Connection) -> None:
        """Raise a security alert about a peer."""
        source = connection.source or self._admission.source_at(connection.address)
        self._gate.raise_alert(kind, connection.address, source)

    def association_over(self, connection: Connection) -> None:
        """An association is over."""
        self._associations[connection.source] -= 1
        self.metrics.associations.set(self.associations)
        self._quiet.set()

    def connection_over(self, connection: Connection) -> None:
        """A connection is gone."""
        of_address = self._connections.get(connection.address, {})
        of_address.pop(connection, None)
        if not of_address:
            self._connections.pop(connection.address, None)
        self._quiet.set()

    # -- time ----------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at every connection's deadlines, a few times within the shortest."""
        loop = asyncio.get_running_loop()
        limits = self.limits
        shortest = min(limits.associate_s, limits.idle_s, limits.message_s, limits.rate_window_s)
        while True:
            await asyncio.sleep(min(max(shortest / 5, _FASTEST_TICK_S), _SLOWEST_TICK_S))
            self._look_at(loop.time())

    def _look_at(self, now: float) -> None:
        for connection in self._all():
            connection.check_time(now)
        self._gate.tell_counted()
        if self._tls is not None:
            self._tls.context()
            self.metrics.certificate_not_after_seconds.set(self._tls.not_after.timestamp())

    def _all(self) -> list[Connection]:
        return [connection for of_address in self._connections.values() for connection in of_address]


def _listen(family: int, kind: int, protocol: int, where: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        code = "PORT_IN_USE" if error.errno == errno.EADDRINUSE else "ADDRESS_UNUSABLE"
        raise ConfigError(code, port=int(str(where[1])), what=Word("dicom.port")) from None
    return listener
