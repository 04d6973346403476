"""The node as service class user: C-ECHO and C-STORE to peers (PS3.4 A, B).

A whole association is one awaited call, made in a thread that ends with it; no association is ever shared between
threads. A call that takes longer than its deadline, or is cancelled, has its connection cut.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final, TypeVar

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.presentation import PresentationContext, build_context

from gateway.dicom.calls import GRACE_S, Call, Entity, Peer, Work, keep_identifiers_out_of_logs
from gateway.dicom.part10 import Part10
from gateway.dicom.transcode import recode
from gateway.dicom.writer import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from gateway.errors import PeerError

__all__ = ["LITTLE_ENDIAN", "Peer", "Scu"]

VERIFICATION: Final = "1.2.840.10008.1.1"
LITTLE_ENDIAN: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_MEDIUM_PRIORITY: Final = 0

_T = TypeVar("_T")


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
        keep_identifiers_out_of_logs()
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
        work: Work[_T],
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
        entity = Entity(self._ae_title, receives_images=bool(roles))
        entity.connection_timeout = self._connect_s
        entity.acse_timeout = entity.dimse_timeout = self._response_s
        call = Call(entity, peer, contexts, self._tls if peer.tls else None, roles)
        running = asyncio.get_running_loop().run_in_executor(self._pool, call.run, work)
        try:
            async with asyncio.timeout(deadline_s or self._deadline_s):
                return await asyncio.shield(running)
        except (TimeoutError, asyncio.CancelledError) as end:
            call.cut()
            running.add_done_callback(_forget)
            await asyncio.wait({running}, timeout=GRACE_S)
            if isinstance(end, TimeoutError):
                raise PeerError("PEER_ABORTED") from None
            raise

    async def close(self) -> None:
        """Wait for the calls under way and end the threads."""
        await asyncio.to_thread(self._pool.shutdown)


def _forget(ended: asyncio.Future[_T]) -> None:
    """Take note of how a call ended that nobody waits for any more."""
    if not ended.cancelled():
        ended.exception()


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
