"""What an association tells its owner: see `gateway.dicom.association`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.dicom.contexts import Context
from gateway.dicom.dimse import Command
from gateway.dicom.negotiation import AssociateRequest


class Outcome(StrEnum):
    """How an association ended."""

    RELEASED = "released"
    REJECTED = "rejected"
    ABORTED_BY_PEER = "aborted_by_peer"
    ABORTED = "aborted"
    """By us."""
    LOST = "lost"
    """The connection closed under it."""


@dataclass(frozen=True, slots=True)
class AssociateRequested:
    """Wants `Association.accept` or `Association.reject`."""

    request: AssociateRequest


@dataclass(frozen=True, slots=True)
class StoreReceived:
    """A whole C-STORE-RQ that can be taken; wants `Association.respond`."""

    command: Command
    context: Context
    dataset: bytearray


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered without asking anybody."""

    command: Command
    status: int
    code: str
    """The error comment, or empty."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The association, or the attempt at one, is over; told once."""

    outcome: Outcome
    code: str
    """Why, where it was us who ended it; else empty."""


AssociationEvent = AssociateRequested | StoreReceived | Answered | Ended
