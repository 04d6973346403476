"""Asking a peer whether it has an object: C-FIND in the study root model, at the image level (PS3.4 C.4.1, C.6.2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import build_context

from gateway.dicom.part10 import Part10
from gateway.dicom.scu import LITTLE_ENDIAN, Peer, Scu
from gateway.errors import PeerError

__all__ = ["Finder"]

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING: Final = frozenset({0xFF00, 0xFF01})
_OUT_OF_RESOURCES: Final = 0xA700
_MOST_MATCHES: Final = 100_000


class Finder:
    """Asks peers.

    Parameters
    ----------
    scu : Scu
    deadline_s : float
        How long one question may take.
    """

    def __init__(self, scu: Scu, *, deadline_s: float = 30) -> None:
        self._scu = scu
        self._deadline_s = deadline_s

    async def has(self, peer: Peer, part: Part10) -> bool | None:
        """Whether a peer knows an object by its UID.

        Returns
        -------
        bool or None
            None where the peer cannot be asked: it takes no query, or fails at this one.

        Raises
        ------
        PeerError
            If it cannot be asked now.
        """
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = part.study_instance_uid
        query.SeriesInstanceUID = part.series_instance_uid
        query.SOPInstanceUID = part.sop_instance_uid
        try:
            found = await self.find(peer, query)
        except PeerError as error:
            if (
                error.code == "PEER_NO_CONTEXT"
                or error.facts.get("status", _OUT_OF_RESOURCES) != _OUT_OF_RESOURCES
            ):
                return None
            raise
        return any(match.get("SOPInstanceUID") == part.sop_instance_uid for match in found)

    async def find(self, peer: Peer, query: Dataset) -> list[Dataset]:
        """All matches of a query.

        Raises
        ------
        PeerError
            PEER_UNREACHABLE, PEER_REJECTED, PEER_NO_CONTEXT, PEER_ABORTED, or PEER_STATUS with the status.
        """
        contexts = [build_context(STUDY_ROOT_FIND, list(LITTLE_ENDIAN))]
        work = functools.partial(_find, query=query)
        return await self._scu.call(peer, contexts, work, deadline_s=self._deadline_s)


def _find(association: Association, *, query: Dataset) -> list[Dataset]:
    context = association.accepted_contexts[0]
    syntax = context.transfer_syntax[0]
    encoded = encode(query, syntax.is_implicit_VR, syntax.is_little_endian)
    if encoded is None:
        raise ValueError("the query cannot be encoded")
    request = C_FIND()
    request.MessageID = 1
    request.AffectedSOPClassUID = UID(STUDY_ROOT_FIND)
    request.Priority = 0
    request.Identifier = BytesIO(encoded)
    association.dimse.send_msg(request, context.context_id or 0)
    found: list[Dataset] = []
    for response in _responses(association):
        status = response.Status
        if status not in _PENDING:
            if status != 0:
                raise PeerError("PEER_STATUS", status=status or 0)
            return found
        if response.Identifier is not None:
            found.append(decode(response.Identifier, syntax.is_implicit_VR, syntax.is_little_endian))
    raise PeerError("PEER_ABORTED")


def _responses(association: Association) -> Iterator[C_FIND]:
    """The responses as they come, until the peer stops making sense."""
    for _ in range(_MOST_MATCHES):
        _, response = association.dimse.get_msg(block=True)
        if not isinstance(response, C_FIND) or response.MessageIDBeingRespondedTo != 1:
            return
        yield response
