"""One call to a peer: one association from its connection to its end, in the thread that makes it.

Everything that pynetdicom does on the wire as requestor is here, and what it must not do: take responses away, log
identifiers, wait for a peer without end, receive without end, leave a socket or a thread behind.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from pynetdicom import _config as pynetdicom_config
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_role
from pynetdicom.transport import AddressInformation, AssociationSocket

from gateway.dicom.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.errors import PeerError

__all__ = ["GRACE_S", "Call", "Entity", "Peer", "Work", "keep_identifiers_out_of_logs"]

MAXIMUM_PDU_BYTES: Final = 128 * 1024
_MOST_RECEIVED_BYTES: Final = 64 * 2**20
"""In one association that brings no images: room for the answers to any query."""
GRACE_S: Final = 5.0
"""How long a thread whose connection was cut may take to end."""

_T = TypeVar("_T")
Work = Callable[[Association], _T]
"""What is done with an established association."""


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


class _Transport(AssociationSocket):
    """The connection of one call; a peer that sends without end, or says that it will, is cut off."""

    may_receive_bytes: float = _MOST_RECEIVED_BYTES

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or fewer at the end."""
        self.may_receive_bytes -= nr_bytes
        if nr_bytes > MAXIMUM_PDU_BYTES or self.may_receive_bytes < 0:
            raise OSError("the peer sends too much")
        return super().recv(nr_bytes)


class Entity(ApplicationEntity):
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


class Call:
    """One association from its connection to its end."""

    def __init__(
        self,
        entity: Entity,
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

    def run(self, work: Work[_T]) -> _T:
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
                association.join(GRACE_S)
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


def keep_identifiers_out_of_logs() -> None:
    """Silence pynetdicom, which logs UIDs and whole identifiers, and keep it from temporary files."""
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
    pynetdicom_config.STORE_SEND_CHUNKED_DATASET = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
