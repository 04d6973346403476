"""The vault's memory of one passage: what the journal, the console and the contourer must never see.

A `Series` ties a `Passage` (which may be shown) to its identity, its pseudonyms and its slices (which may not).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.clerk.standing import OpenPassage
from gateway.cloud.contourer import Exchange
from gateway.cloud.payload import SlicePayload
from gateway.config import Rule
from gateway.dicom.instance import Instance
from gateway.errors import GatewayError
from gateway.flow.check import Geometry, SliceGeometry
from gateway.flow.rules import SeriesFacts
from gateway.flow.structure_set import InspectedStructureSet
from gateway.passage import Passage, State
from gateway.vault.identity import Identity
from gateway.vault.pseudonyms import Pseudonyms


@dataclass(slots=True, eq=False, repr=False)
class Slice:
    """One instance of the series."""

    index: int
    """In order of arrival, from 0; the part number at the contourer."""
    sop_class_uid: str
    sop_instance_uid: str
    """The original."""
    pseudonym: str
    """Of the SOP instance UID."""
    geometry: SliceGeometry
    instance: Instance | None
    """The original dataset, until its payload is made."""
    charged_bytes: int
    """What it takes of the memory budget now."""
    payload: SlicePayload | None = None
    """What leaves, before sealing; kept for drawing and for sending again."""
    is_uploaded: bool = False
    is_under_way: bool = False
    """Whether a task is at work on it."""
    fault: GatewayError | None = None
    """What last went wrong with it; raised by the stage that waits for it."""
    unfit: GatewayError | None = None
    """What it declares that keeps the series from leaving; raised by the pixel gate."""
    is_secondary: bool = False
    """Whether it is declared DERIVED and SECONDARY."""


class SeriesKey(NamedTuple):
    """What makes instances one series. Two patients under one series instance UID are two series, both in conflict."""

    study: str
    """StudyInstanceUID."""
    series: str
    """SeriesInstanceUID."""
    patient: bytes
    """See `gateway.vault.pseudonyms.subject_of`."""


@dataclass(slots=True, eq=False, repr=False)
class Series:
    """One image series in the vault."""

    key: SeriesKey
    passage: Passage
    facts: SeriesFacts
    identity: Identity
    pseudonyms: Pseudonyms
    slices: dict[str, Slice] = field(default_factory=dict)
    """By original SOP instance UID, in order of arrival."""
    rule: Rule | None = None
    associations: set[int] = field(default_factory=set)
    """Open associations that brought some of it."""
    last_association: int = 0
    """The one that brought something last."""
    is_cut_off: bool = False
    """Whether the association that last brought some of it ended by abort or loss instead of release."""
    last_arrival: float = field(default_factory=time.monotonic)
    """Monotonic seconds."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something arrives or an association ends."""
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a held passage may go on: released, joined by new slices, or cancelled."""
    seen_associations: set[int] = field(default_factory=set)
    """Every association that brought some of it."""
    announced: int | None = None
    """How many instances its source said that it has; None while it was not asked or does not answer."""
    asked_at: int = 0
    """How many instances were here when the source was asked."""
    accepted_at: int = 0
    """With how many instances a person was asked; with as many, a release means to go on."""
    counted: int = 0
    """How many instances are in the journal's count."""
    counted_at: float = 0.0
    """When that was written, monotonic seconds."""
    before: OpenPassage | None = None
    """How it stood when the vault before this one ended; None where this vault saw all of it."""
    came_back: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first of the instances is here again that a restart took."""
    lack: GatewayError | None = None
    """Why nobody has returned its instances since the restart."""
    joinable: bytes = b""
    """SHA-256 of the manifest under which the contourer may still work on it since before the restart."""
    is_reviewed: bool = False
    """Whether a person has looked at the contours and released them."""
    is_cancelled: bool = False
    is_superseded: bool = False
    """Whether a new passage has taken the slices over, because more of them arrived."""
    gate_is_overridden: bool = False
    """Whether a person has looked at text found in the pixels and released the series."""
    work: set[asyncio.Task[None]] = field(default_factory=set)
    """Slices on their way to the contourer."""
    journalled: asyncio.Future[bool] | None = None
    """True when the clerk has written that this passage exists: no sender gets Success before. False if it cannot."""
    task: asyncio.Task[None] | None = None
    """Conducts the passage."""
    conflict: GatewayError | None = None
    """Raised by the check: a conflict of identity or content seen at intake."""
    exchange: Exchange | None = None
    geometry: Geometry | None = None
    result: bytes = b""
    """The structure set as it came back, pseudonymised."""
    inspected: InspectedStructureSet | None = None
    restored: dict[str, bytes] = field(default_factory=dict)
    """By destination: what is delivered there."""

    @property
    def is_taken_for_whole(self) -> bool:
        """Whether it is too late for another slice to join this passage."""
        at = self.passage.held_from or self.passage.state
        return at not in (State.RECEIVING, State.COMPLETE) or (
            at is State.COMPLETE and self.passage.state is not State.HELD
        )

    @property
    def is_awaited(self) -> bool:
        """Whether a restart took its instances, and none of them has come back yet."""
        return self.before is not None and not self.slices and not self.passage.has_ended

    @property
    def ordered(self) -> list[Slice]:
        """The slices along the patient's axis, once checked; until then by arrival."""
        slices = list(self.slices.values())
        return [slices[i] for i in self.geometry.order] if self.geometry else slices

    @property
    def charged_bytes(self) -> int:
        """What the whole series takes of the memory budget."""
        return sum(slice_.charged_bytes for slice_ in self.slices.values())

    def drop_identity(self) -> None:
        """Forget who the patient is; the pseudonymous slices and contours stay drawable."""
        self.identity.wipe()
        self.pseudonyms.wipe()
        self.facts = SeriesFacts("", "", self.facts.modality, "", "")
        self.key = SeriesKey("", "", b"")
        self.result = b""
        self.restored = {}
        for slice_ in self.slices.values():
            slice_.instance = None
            slice_.sop_instance_uid = ""
        self.slices = {slice_.pseudonym: slice_ for slice_ in self.slices.values()}

    def drop_images(self) -> None:
        """Forget the pseudonymous slices and contours too."""
        self.slices = {}
        self.geometry = None
        self.inspected = None
