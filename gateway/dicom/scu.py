"""The node as service class user: C-ECHO and C-STORE to peers (PS3.4 A, B).

A whole association is one awaited call, made in a thread that ends with it; no association is ever shared between
threads. A call that takes longer than its deadline, or is cancelled, has its connection cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final, Protocol, TypeVar

from pydicom.uid import UID
from pynetdicom import _config as pynetdicom_config
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.transport import AddressInformation, AssociationSocket

from gateway.dicom.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.dicom.part10 import Part10
from gateway.dicom.transcode import recode
from gateway.dicom.writer import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from gateway.errors import PeerError

__all__ = ["LITTLE_ENDIAN", "Peer", "Scu"]

VERIFICATION: Final = "1.2.840.10008.1.1"
MAXIMUM_PDU_BYTES: Final = 128 * 1024
LITTLE_ENDIAN: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_MEDIUM_PRIORITY: Final = 0
_MOST_RECEIVED_BYTES: Final = 64 * 2**20
"""In one association that brings no images: room for the answers to any query."""
_GRACE_S: Final = 5.0
"""How long a thread whose connection was cut may take to end."""

_T = TypeVar("_T")
_Work = Callable[[Association], _T]


class Peer(Protocol):
    """Whom to call; a configured destination is one."""

    @property
    def ae_title(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def tls(self) -> bool: ...


class Scu:
    """Calls peers.

    Parameters
    ----------
    ae_title : str
        Ours, the calling one.
    tls : ssl.SSLContext, optional
        For peers with TLS.
    threads : int
        Associations at once.
    connect_s, response_s, deadline_s : float
        How long a connection (with its TLS handshake), a response and a whole association may take.
    """

    def __init__(
        self,
        ae_title: str,
        *,
        tls: ssl.SSLContext | None = None,
        threads: int = 16,
        connect_s: float = 10,
        response_s: float = 60,
        deadline_s: float = 180,
    ) -> None:
        _keep_identifiers_out_of_logs()
        self._ae_title = ae_title
        self._tls = tls
        self._connect_s = connect_s
        self._response_s = response_s
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scu")

    async def echo(self, peer: Peer) -> None:
        """Verify that a peer answers (C-ECHO).

        Raises
        ------
        PeerError
            PEER_UNREACHABLE, PEER_REJECTED, PEER_NO_CONTEXT, PEER_ABORTED or PEER_STATUS.
        """
        status = await self.call(peer, [build_context(VERIFICATION, list(LITTLE_ENDIAN))], _echo)
        if status != 0:
            raise PeerError("PEER_STATUS", status=status)

    async def store(self, peer: Peer, objects: Sequence[bytes]) -> list[int]:
        """Store objects over one association (C-STORE).

        Parameters
        ----------
        peer : Peer
        objects : sequence of bytes
            Part 10 streams in explicit or implicit VR little endian. A dataset is sent as it is where the peer takes
            its transfer syntax, otherwise encoded again in the other one.

        Returns
        -------
        list of int
            The status of each response.

        Raises
        ------
        PeerError
            PEER_UNREACHABLE, PEER_REJECTED, PEER_NO_CONTEXT or PEER_ABORTED; some objects may have been stored.
        """
        parts = [Part10.of(one) for one in objects]
        classes = dict.fromkeys(part.sop_class_uid for part in parts)
        contexts = [build_context(uid, syntax) for uid in classes for syntax in LITTLE_ENDIAN]
        return await self.call(peer, contexts, functools.partial(_store, parts=parts))

    async def call(
        self,
        peer: Peer,
        contexts: Sequence[PresentationContext],
        work: _Work[_T],
        *,
        deadline_s: float | None = None,
        roles: Sequence[str] = (),
    ) -> _T:
        """Associate, work and release, in a thread.

        Parameters
        ----------
        peer : Peer
        contexts : sequence of pynetdicom PresentationContext
            To propose.
        work : callable
            What is done with the established association; its reactor is parked.
        deadline_s : float, optional
            Instead of the usual one.
        roles : sequence of str
            SOP classes of which we are the SCP on this association (PS3.7 D.3.3.4).

        Raises
        ------
        PeerError
        """
        if peer.tls and self._tls is None:
            raise ValueError("a peer with TLS needs our own certificate")
        entity = _Entity(self._ae_title, receives_images=bool(roles))
        entity.connection_timeout = self._connect_s
        entity.acse_timeout = entity.dimse_timeout = self._response_s
        call = _Call(entity, peer, contexts, self._tls if peer.tls else None, roles)
        running = asyncio.get_running_loop().run_in_executor(self._pool, call.run, work)
        try:
            async with asyncio.timeout(deadline_s or self._deadline_s):
                return await asyncio.shield(running)
        except (TimeoutError, asyncio.CancelledError) as end:
            call.cut()
            with contextlib.suppress(TimeoutError, PeerError):
                await asyncio.wait_for(running, _GRACE_S)
            if isinstance(end, TimeoutError):
                raise PeerError("PEER_ABORTED") from None
            raise

    async def close(self) -> None:
        """Wait for the calls under way and end the threads."""
        await asyncio.to_thread(self._pool.shutdown)


class _Transport(AssociationSocket):
    """The connection of one call; a peer that sends without end, or says that it will, is cut off."""

    may_receive_bytes: float = _MOST_RECEIVED_BYTES

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or fewer at the end."""
        self.may_receive_bytes -= nr_bytes
        if nr_bytes > MAXIMUM_PDU_BYTES or self.may_receive_bytes < 0:
            raise OSError("the peer sends too much")
        return super().recv(nr_bytes)


class _Entity(ApplicationEntity):
    """Our node in one call; it keeps hold of the socket, which pynetdicom drops unclosed when nobody answers."""

    def __init__(self, ae_title: str, *, receives_images: bool) -> None:
        super().__init__(ae_title)
        self._receives_images = receives_images
        self.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self.sockets: list[socket.socket] = []

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        transport = _Transport(assoc, address=address)
        transport.tls_args = tls_args
        if self._receives_images:
            transport.may_receive_bytes = math.inf
        if transport.socket is not None:
            transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.append(transport.socket)
        return transport

    def close_sockets(self) -> None:
        """Close whatever is still open."""
        for one in self.sockets:
            one.close()


class _Call:
    """One association from its connection to its end."""

    def __init__(
        self,
        entity: _Entity,
        peer: Peer,
        contexts: Sequence[PresentationContext],
        tls: ssl.SSLContext | None,
        roles: Sequence[str],
    ) -> None:
        self._entity = entity
        self._peer = peer
        self._contexts = list(contexts)
        self._tls = tls
        self._roles = roles
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._is_cut = False

    def run(self, work: _Work[_T]) -> _T:
        """Everything that the thread does."""
        try:
            association = self._associate()
            is_done = False
            try:
                done = work(association)
                is_done = True
            finally:
                if is_done:
                    association.release()
                else:
                    _abandon(association)
                association.join(_GRACE_S)
            return done
        finally:
            self._entity.close_sockets()

    def cut(self) -> None:
        """Cut the connection from another thread; whatever waits for the peer fails at once."""
        with self._lock:
            self._is_cut = True
            for one in self._entity.sockets:  # one that still connects
                _shut(one)
            if self._connection is not None:
                _shut(self._connection)

    def _associate(self) -> Association:
        peer = self._peer
        try:
            association = self._entity.associate(
                peer.host,
                peer.port,
                contexts=self._contexts,
                ae_title=peer.ae_title,
                max_pdu=MAXIMUM_PDU_BYTES,
                ext_neg=[build_role(uid, scp_role=True) for uid in self._roles],
                tls_args=None if self._tls is None else (self._tls, peer.host),
                evt_handlers=[(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_ESTABLISHED, _park)],
            )
        except OSError:  # the name does not resolve
            raise PeerError("PEER_UNREACHABLE") from None
        if association.is_established:
            return association
        if self._connection is None:
            raise PeerError("PEER_UNREACHABLE")
        if association.is_rejected:
            raise _rejection(association)
        if association.rejected_contexts:
            raise PeerError("PEER_NO_CONTEXT")
        raise PeerError("PEER_ABORTED")

    def _opened(self, event: evt.Event) -> None:
        transport = event.assoc.dul.socket
        connection = None if transport is None else transport.socket
        if connection is None:
            return
        with self._lock:
            self._connection = connection
            if self._is_cut:
                _shut(connection)


def _park(event: evt.Event) -> None:
    """Park the association's reactor before its thread starts.

    The reactor looks for requests of the peer and may take a response for one; `send_c_store` parks it for each
    message, but too late by a moment now and then. It is let go when the association ends.
    """
    event.assoc._reactor_checkpoint.clear()


def _rejection(association: Association) -> PeerError:
    """What an A-ASSOCIATE-RJ says (PS3.8 9.3.4)."""
    answer = association.acceptor.primitive
    if answer is None:
        return PeerError("PEER_REJECTED")
    return PeerError(
        "PEER_REJECTED",
        result=answer.result or 0,
        source=answer.result_source or 0,
        reason=answer.diagnostic or 0,
    )


def _abandon(association: Association) -> None:
    """End an association that went wrong."""
    association._reactor_checkpoint.set()
    if not association.acse.is_aborted():
        association.abort()


def _shut(connection: socket.socket) -> None:
    # Not `connection.shutdown`: that of an SSLSocket would let a writing thread go on in the clear.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _echo(association: Association) -> int:
    request = C_ECHO()
    request.MessageID = 1
    request.AffectedSOPClassUID = UID(VERIFICATION)
    return _exchange(association, request, association.accepted_contexts[0])


def _store(association: Association, *, parts: Iterable[Part10]) -> list[int]:
    statuses = []
    for number, part in enumerate(parts, 1):
        context = _context(association, part)
        syntax = context.transfer_syntax[0]
        dataset: bytes | memoryview = part.dataset
        if syntax != part.transfer_syntax_uid:
            to_implicit = syntax == IMPLICIT_VR_LITTLE_ENDIAN
            dataset = b"".join(recode(dataset, implicit=not to_implicit, to_implicit=to_implicit))
        request = C_STORE()
        request.MessageID = number % 65536
        request.AffectedSOPClassUID = UID(part.sop_class_uid)
        request.AffectedSOPInstanceUID = UID(part.sop_instance_uid)
        request.Priority = _MEDIUM_PRIORITY
        request.DataSet = BytesIO(dataset)
        statuses.append(_exchange(association, request, context))
    return statuses


def _context(association: Association, part: Part10) -> PresentationContext:
    """The accepted context for an object, preferably in its own transfer syntax."""
    accepted: dict[str, PresentationContext] = {
        context.transfer_syntax[0]: context
        for context in association.accepted_contexts
        if context.abstract_syntax == part.sop_class_uid
    }
    for syntax in (part.transfer_syntax_uid, *LITTLE_ENDIAN):
        if syntax in accepted:
            return accepted[syntax]
    raise PeerError("PEER_NO_CONTEXT")


def _exchange(association: Association, request: C_STORE | C_ECHO, context: PresentationContext) -> int:
    """Send a request and wait for the status of its response."""
    association.dimse.send_msg(request, context.context_id or 0)
    _, response = association.dimse.get_msg(block=True)
    if (
        not isinstance(response, C_STORE | C_ECHO)
        or type(response) is not type(request)
        or response.MessageIDBeingRespondedTo != request.MessageID
        or response.Status is None
    ):
        raise PeerError("PEER_ABORTED")
    return response.Status


def _keep_identifiers_out_of_logs() -> None:
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
    pynetdicom_config.STORE_SEND_CHUNKED_DATASET = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
