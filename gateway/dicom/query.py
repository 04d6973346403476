"""Asking a PACS what it has and having it sent: C-FIND, C-MOVE and C-GET in the study root model (PS3.4 C.4, C.6.2).

A study is looked for within days, its series by name; what is retrieved comes either over an association of the PACS's
own to our Storage service (C-MOVE) or over ours (C-GET), where each instance is handed to the same service.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Final, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, MRImageStorage
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE, C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context

from gateway.dicom.scu import LITTLE_ENDIAN, Peer, Scu
from gateway.errors import PeerError

__all__ = ["Arrived", "Finds", "FoundSeries", "Querier", "Retrieved"]

STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
IMAGES: Final = (str(CTImageStorage), str(MRImageStorage))
SYNTAXES: Final = (*LITTLE_ENDIAN, str(JPEGLosslessSV1), str(JPEGLSLossless), str(JPEG2000Lossless))
"""In which images may come over a C-GET."""

_PENDING: Final = frozenset({0xFF00, 0xFF01})
_SOME_FAILED: Final = 0xB000
"""PS3.4 C.4.2.1.5: sub-operations complete, one or more failures."""
_OUT_OF_RESOURCES: Final = 0xA700
_MOST_MESSAGES: Final = 200_000


class Finds(Protocol):
    """What asks: `gateway.dicom.find.Finder`."""

    async def find(self, peer: Peer, query: Dataset) -> list[Dataset]: ...


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series that a PACS has. Original UIDs: vault only."""

    study_instance_uid: str
    series_instance_uid: str
    instances: int | None
    """NumberOfSeriesRelatedInstances (0020,1209); None where the PACS does not tell."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a C-MOVE or C-GET came to, in sub-operations."""

    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """One C-STORE sub-operation of a C-GET."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes


Take = Callable[[Arrived], Awaitable[int]]
"""Takes an instance and returns its DIMSE status; on the event loop."""


class Querier:
    """Asks and retrieves.

    Parameters
    ----------
    scu : Scu
    finder : Finds
    ae_title : str
        Ours: where a C-MOVE sends to. The PACS must know our address under it.
    deadline_s : float
        How long a retrieval of one series may take.
    """

    def __init__(self, scu: Scu, finder: Finds, ae_title: str, *, deadline_s: float = 1800) -> None:
        self._scu = scu
        self._finder = finder
        self._ae_title = ae_title
        self._deadline_s = deadline_s

    async def studies(self, peer: Peer, first: date, last: date) -> list[str]:
        """StudyInstanceUIDs of the studies of some days.

        Raises
        ------
        PeerError
        """
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        query.StudyDate = f"{first:%Y%m%d}-{last:%Y%m%d}"
        query.StudyInstanceUID = ""
        return _uids(await self._finder.find(peer, query), "StudyInstanceUID")

    async def series(
        self, peer: Peer, study_instance_uid: str, series_instance_uid: str = ""
    ) -> list[FoundSeries]:
        """The series of a study, or only the one named.

        Raises
        ------
        PeerError
        """
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID = study_instance_uid
        query.SeriesInstanceUID = series_instance_uid
        query.NumberOfSeriesRelatedInstances = None
        matches = await self._finder.find(peer, query)
        return [
            FoundSeries(study_instance_uid, str(match.SeriesInstanceUID), _count(match))
            for match in matches
            if match.get("SeriesInstanceUID")
        ]

    async def count(self, peer: Peer, study_instance_uid: str, series_instance_uid: str) -> int:
        """How many instances of a series the PACS has; 0 where it does not know the series.

        Raises
        ------
        PeerError
        """
        found = [
            one
            for one in await self.series(peer, study_instance_uid, series_instance_uid)
            if one.series_instance_uid == series_instance_uid
        ]
        if not found:
            return 0
        if found[0].instances is not None:
            return found[0].instances
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = study_instance_uid
        query.SeriesInstanceUID = series_instance_uid
        query.SOPInstanceUID = ""
        return len(set(_uids(await self._finder.find(peer, query), "SOPInstanceUID")))

    async def move(self, peer: Peer, study_instance_uid: str, series_instance_uid: str) -> Retrieved:
        """Have a series sent to our Storage service.

        Raises
        ------
        PeerError
            PEER_NO_CONTEXT where the PACS knows no C-MOVE; PEER_STATUS with its status, 0xA801 where it does not know
            our AE title.
        """
        contexts = [build_context(STUDY_ROOT_MOVE, list(LITTLE_ENDIAN))]
        identifier = _of_series(study_instance_uid, series_instance_uid)
        work = functools.partial(
            _move, identifier=identifier, destination=self._ae_title, wait_s=self._deadline_s
        )
        return await self._scu.call(peer, contexts, work, deadline_s=self._deadline_s)

    async def get(
        self, peer: Peer, study_instance_uid: str, series_instance_uid: str, take: Take
    ) -> Retrieved:
        """Get a series over our own association.

        Raises
        ------
        PeerError
            PEER_NO_CONTEXT where the PACS knows no C-GET.
        """
        contexts = [build_context(STUDY_ROOT_GET, list(LITTLE_ENDIAN))]
        contexts += [build_context(uid, syntax) for uid in IMAGES for syntax in SYNTAXES]
        loop = asyncio.get_running_loop()

        def taken(arrived: Arrived) -> int:
            return asyncio.run_coroutine_threadsafe(_awaited(take(arrived)), loop).result(self._deadline_s)

        identifier = _of_series(study_instance_uid, series_instance_uid)
        work = functools.partial(_get, identifier=identifier, take=taken, wait_s=self._deadline_s)
        return await self._scu.call(peer, contexts, work, deadline_s=self._deadline_s, roles=IMAGES)


async def _awaited(answer: Awaitable[int]) -> int:
    return await answer


def _of_series(study_instance_uid: str, series_instance_uid: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID = study_instance_uid
    identifier.SeriesInstanceUID = series_instance_uid
    return identifier


def _uids(matches: list[Dataset], keyword: str) -> list[str]:
    return [str(match[keyword].value) for match in matches if match.get(keyword)]


def _count(match: Dataset) -> int | None:
    try:
        return int(match.get("NumberOfSeriesRelatedInstances"))
    except (TypeError, ValueError):  # absent, empty or no number
        return None


def _encoded(association: Association, sop_class_uid: str, identifier: Dataset) -> tuple[int, BytesIO]:
    context = next(
        (one for one in association.accepted_contexts if one.abstract_syntax == sop_class_uid), None
    )
    if context is None:
        raise PeerError("PEER_NO_CONTEXT")
    syntax = context.transfer_syntax[0]
    encoded = encode(identifier, syntax.is_implicit_VR, syntax.is_little_endian)
    if encoded is None:
        raise ValueError("the identifier cannot be encoded")
    return context.context_id or 0, BytesIO(encoded)


def _move(association: Association, *, identifier: Dataset, destination: str, wait_s: float) -> Retrieved:
    # A PACS may say nothing until the last image is sent.
    association.dimse_timeout = wait_s
    context_id, encoded = _encoded(association, STUDY_ROOT_MOVE, identifier)
    request = C_MOVE()
    request.MessageID = 1
    request.AffectedSOPClassUID = UID(STUDY_ROOT_MOVE)
    request.Priority = 0
    request.MoveDestination = destination
    request.Identifier = encoded
    association.dimse.send_msg(request, context_id)
    for _, message in _messages(association):
        if not isinstance(message, C_MOVE) or message.MessageIDBeingRespondedTo != 1:
            break
        if message.Status not in _PENDING:
            return _outcome(message)
    raise PeerError("PEER_ABORTED")


def _get(
    association: Association, *, identifier: Dataset, take: Callable[[Arrived], int], wait_s: float
) -> Retrieved:
    association.dimse_timeout = wait_s
    context_id, encoded = _encoded(association, STUDY_ROOT_GET, identifier)
    request = C_GET()
    request.MessageID = 1
    request.AffectedSOPClassUID = UID(STUDY_ROOT_GET)
    request.Priority = 0
    request.Identifier = encoded
    association.dimse.send_msg(request, context_id)
    syntaxes = {one.context_id: str(one.transfer_syntax[0]) for one in association.accepted_contexts}
    for context, message in _messages(association):
        if isinstance(message, C_STORE) and context is not None and context in syntaxes:
            association.dimse.send_msg(_stored(message, take, syntaxes[context]), context)
        elif not isinstance(message, C_GET) or message.MessageIDBeingRespondedTo != 1:
            break
        elif message.Status not in _PENDING:
            return _outcome(message)
    raise PeerError("PEER_ABORTED")


def _stored(request: C_STORE, take: Callable[[Arrived], int], syntax: str) -> C_STORE:
    dataset = request.DataSet.getvalue() if isinstance(request.DataSet, BytesIO) else b""
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = request.MessageID
    answer.AffectedSOPClassUID = request.AffectedSOPClassUID
    answer.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
    answer.Status = take(
        Arrived(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), syntax, dataset)
    )
    return answer


def _outcome(message: C_MOVE | C_GET) -> Retrieved:
    if message.Status not in (0, _SOME_FAILED):
        raise PeerError("PEER_STATUS", status=message.Status or _OUT_OF_RESOURCES)
    return Retrieved(message.NumberOfCompletedSuboperations or 0, message.NumberOfFailedSuboperations or 0)


def _messages(association: Association) -> Iterator[tuple[int | None, object]]:
    """What the peer sends, until the association ends."""
    for _ in range(_MOST_MESSAGES):
        context, message = association.dimse.get_msg(block=True)
        if message is None:
            return
        yield context, message
