"""What the console's pages and the commands get to see, as JSON.

Comes in: passages, outlines, the configuration. Goes out: dictionaries of plain values, nothing else; times are
ISO 8601 in UTC, durations in seconds. Identities are not within reach of this module; names that a contourer gave
are made harmless (see `legible`) and are still to be shown as text only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import numpy as np
from pydicom.tag import BaseTag

from gateway import __version__
from gateway.config import Config
from gateway.console.legible import legible_colour, legible_name
from gateway.console.readiness import Readiness
from gateway.doctor.diagnosis import is_green
from gateway.doctor.rounds import Report
from gateway.errors import CATALOGUE, Fact, GatewayError
from gateway.flow.board import Outline
from gateway.flow.concerns import Concern
from gateway.flow.queues import Queue
from gateway.passage import WAY, Passage, State
from gateway.reload import Changes


class StageView(TypedDict):
    """One state of the way and the time spent in it."""

    state: str
    entered: str | None
    """When it was first reached."""
    seconds: float
    """Spent in it up to `since` of the passage; what runs now is not counted."""
    is_current: bool
    """Whether the passage stands here, or is held from here."""


class FactView(TypedDict):
    name: str
    value: str


class ReasonView(TypedDict):
    code: str
    meaning: str
    hint: str
    facts: list[FactView]


class AlarmView(ReasonView):
    """Something that is wrong with the gateway itself."""

    about: str
    """A passage's id, a destination's name, or nothing."""
    since: str


class QueueView(TypedDict):
    """What waits before a destination."""

    name: str
    waiting: int
    is_paused: bool
    reason: ReasonView | None
    """Why the last try failed."""


class DiagnosisView(TypedDict):
    finding: str
    """`well`, `caution` or `ill`."""
    subject: str
    text: str


class DoctorView(TypedDict):
    """What the doctor found, as `/api/doctor` carries it."""

    verdict: str
    """`green` or `red`."""
    at: str
    diagnoses: list[DiagnosisView]


class DestinationView(TypedDict):
    name: str
    has_it: bool


class StepView(TypedDict):
    state: str
    at: str
    reason: str | None


class PassageView(TypedDict):
    """A passage, as `/api/passages/{id}` and the events carry it."""

    id: str
    pseudonym: str
    source: str
    called: str
    modality: str
    model: str
    state: str
    group: str
    """`held`, `active` or `done`."""
    held_from: str | None
    started: str
    since: str
    deadline: str
    """When it is late, if it has not ended by then."""
    is_late: bool
    way: list[StageView]
    history: list[StepView]
    received: int
    uploaded: int
    destinations: list[DestinationView]
    reason: ReasonView | None
    """Why it is held or has failed."""
    waiting: ReasonView | None
    """What keeps it where it is although nobody is needed: it is tried again by itself."""
    may: list[str]
    """What a person may do: `release`, `cancel`."""


class WaiverView(TypedDict):
    protection: str
    until: str
    reason: str


class StatusView(TypedDict):
    """The gateway at a glance, as `/api/status` and the events carry it."""

    version: str
    is_ready: bool
    is_draining: bool
    reasons: list[ReasonView]
    alarms: list[AlarmView]
    queues: list[QueueView]
    """One for each destination."""
    waivers: list[WaiverView]
    held: int
    active: int
    done: int
    late: int


class ReloadView(TypedDict):
    """What came of reading the configuration again: keys of the file."""

    taken: list[str]
    restart: list[str]
    """Changed, but in force only after a restart."""


class RoiView(TypedDict):
    key: str
    """By which its outlines refer to it."""
    name: str
    colour: str
    slices: list[int]
    """Indices of the slices on which it is drawn, ascending."""


class PicturesView(TypedDict):
    """What can be drawn of a passage."""

    slices: int
    """0 when the pictures are no longer in memory."""
    rois: list[RoiView]


class OutlineView(TypedDict):
    roi: str
    """`RoiView.key`."""
    rings: list[list[int]]
    """Each column, row, column, row, … in hundredths of a pixel; the centre of the first pixel is (0, 0)."""


def timestamp(at: datetime) -> str:
    """Return a UTC time as ISO 8601 with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def passage_view(passage: Passage, *, deadline_s: float) -> PassageView:
    """Return a passage as the pages show it.

    Parameters
    ----------
    passage : Passage
    deadline_s : float
        Seconds after its first instance by which it should be delivered.
    """
    deadline = passage.started + timedelta(seconds=deadline_s)
    return PassageView(
        id=passage.id,
        pseudonym=passage.pseudonym,
        source=passage.source,
        called=passage.called,
        modality=passage.modality,
        model=passage.model,
        state=passage.state.value,
        group=group_of(passage),
        held_from=passage.held_from.value if passage.held_from else None,
        started=timestamp(passage.started),
        since=timestamp(passage.since),
        deadline=timestamp(deadline),
        is_late=is_late(passage),
        way=_way(passage),
        history=[
            StepView(state=step.state.value, at=timestamp(step.at), reason=step.reason)
            for step in passage.history
        ],
        received=passage.received,
        uploaded=passage.uploaded,
        destinations=[
            DestinationView(name=name, has_it=name in passage.delivered_to) for name in passage.deliver_to
        ],
        reason=reason_view(passage.error) if passage.error else None,
        waiting=reason_view(passage.waiting) if passage.waiting and not passage.has_ended else None,
        may=["release", "cancel"] if passage.state is State.HELD else [],
    )


def group_of(passage: Passage) -> str:
    """Return under which heading a passage is listed: `held`, `active` or `done`."""
    if passage.state is State.HELD:
        return "held"
    return "done" if passage.has_ended else "active"


def is_late(passage: Passage) -> bool:
    """Whether a passage should have been delivered before now and was not; no setting of a clock makes it so."""
    return not passage.has_ended and passage.is_late


def _way(passage: Passage) -> list[StageView]:
    seconds = dict.fromkeys(WAY, 0.0)
    entered: dict[State, datetime] = {}
    for step, after in zip(passage.history, [*passage.history[1:], None], strict=True):
        entered.setdefault(step.state, step.at)
        if after is not None and step.state in seconds:
            seconds[step.state] += max(0.0, (after.at - step.at).total_seconds())
    here = passage.held_from or passage.state
    return [
        StageView(
            state=state.value,
            entered=timestamp(entered[state]) if state in entered else None,
            seconds=round(seconds[state], 3),
            is_current=state is here and not passage.has_ended,
        )
        for state in WAY
    ]


def reason_view(error: GatewayError) -> ReasonView:
    """Return why a passage is held or has failed, with what a person should do."""
    facts = [FactView(name=name.replace("_", " "), value=_fact(fact)) for name, fact in error.facts.items()]
    return ReasonView(code=error.code, meaning=error.meaning, hint=error.hint, facts=facts)


def _fact(fact: Fact) -> str:
    if isinstance(fact, BaseTag):
        return str(fact)
    return f"{fact:g}" if isinstance(fact, float) else str(fact)


def readiness_view(readiness: Readiness) -> list[ReasonView]:
    """Return what stands in the way of taking another series."""
    return [
        ReasonView(code=code, meaning=CATALOGUE[code].meaning, hint=CATALOGUE[code].hint, facts=[])
        for code in readiness.reasons
    ]


def alarm_view(concern: Concern) -> AlarmView:
    """Return something that is wrong with the gateway itself."""
    reason = reason_view(concern.error)
    return AlarmView(**reason, about=concern.about, since=timestamp(concern.since))


def queue_view(queue: Queue) -> QueueView:
    """Return what waits before a destination."""
    return QueueView(
        name=queue.name,
        waiting=queue.waiting,
        is_paused=queue.is_paused,
        reason=reason_view(queue.error) if queue.error else None,
    )


def doctor_view(report: Report) -> DoctorView:
    """Return what the doctor found."""
    return DoctorView(
        verdict="green" if is_green(report.diagnoses) else "red",
        at=timestamp(report.at),
        diagnoses=[
            DiagnosisView(finding=one.finding.value, subject=one.subject, text=one.text)
            for one in report.diagnoses
        ],
    )


def status_view(
    config: Config,
    passages: Iterable[Passage],
    readiness: Readiness,
    concerns: Iterable[Concern] = (),
    queues: Iterable[Queue] = (),
) -> StatusView:
    """Return the gateway at a glance."""
    counts = {"held": 0, "active": 0, "done": 0}
    late = 0
    for passage in passages:
        counts[group_of(passage)] += 1
        late += is_late(passage)
    return StatusView(
        version=__version__,
        is_ready=readiness.is_ready,
        is_draining=readiness.is_draining,
        reasons=readiness_view(readiness),
        alarms=[alarm_view(concern) for concern in concerns],
        queues=[queue_view(queue) for queue in queues],
        waivers=[
            WaiverView(
                protection=waiver.protection.value, until=waiver.until.isoformat(), reason=waiver.reason
            )
            for waiver in config.lockdown.waivers
        ],
        held=counts["held"],
        active=counts["active"],
        done=counts["done"],
        late=late,
    )


def reload_view(changes: Changes) -> ReloadView:
    """Return what of a changed configuration is in force."""
    return ReloadView(taken=list(changes.taken), restart=list(changes.restart))


def pictures_view(outlines: Sequence[Sequence[Outline]]) -> PicturesView:
    """Return what can be drawn of a passage.

    Parameters
    ----------
    outlines : sequence of sequence of Outline
        Those of each slice, in the order of the slices.
    """
    rois: dict[str, RoiView] = {}
    for index, on_slice in enumerate(outlines):
        for outline in on_slice:
            if outline.roi not in rois:
                rois[outline.roi] = RoiView(
                    key=roi_key(outline.roi),
                    name=legible_name(outline.roi),
                    colour=legible_colour(outline.colour),
                    slices=[],
                )
            slices = rois[outline.roi]["slices"]
            if slices[-1:] != [index]:
                slices.append(index)
    return PicturesView(slices=len(outlines), rois=list(rois.values()))


def outline_views(outlines: Iterable[Outline]) -> list[OutlineView]:
    """Return the outlines of one slice.

    Notes
    -----
    A hundredth of a pixel is far below what a screen shows, and integers are written five times as fast as floats.
    """
    return [
        OutlineView(
            roi=roi_key(outline.roi),
            rings=[np.rint(ring.reshape(-1) * 100).astype(np.int64).tolist() for ring in outline.rings],
        )
        for outline in outlines
    ]


def roi_key(name: str) -> str:
    """Return a short name for an ROI that is safe anywhere, whatever its own name is."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
