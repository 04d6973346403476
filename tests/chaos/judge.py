"""What a run has done: who is at the TPS, who waits for a person, who is nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from tests import made
from tests.chaos.senders import Sent
from tests.chaos.studies import Study

TOLERANCE_MM = 2.5
"""How far the contours' box may be from the body's."""
ENDED = ("delivered", "cancelled", "failed")


@dataclass(frozen=True)
class Arrived:
    """One object at the TPS."""

    path: Path
    dataset: Dataset

    @property
    def study_uid(self) -> str:
        return str(self.dataset.get("StudyInstanceUID", ""))

    @property
    def sop_instance_uid(self) -> str:
        return str(self.dataset.SOPInstanceUID)

    @property
    def at(self) -> float:
        """When it was there, Unix time."""
        return self.path.stat().st_mtime


def arrived(folder: Path) -> tuple[list[Arrived], int]:
    """What the TPS holds, and how many files it had not finished when it was killed."""
    found, torn = [], 0
    for path in sorted(folder.iterdir()):
        try:
            dataset = pydicom.dcmread(path)
            dataset.walk(lambda *_: None)  # reads every element
            found.append(Arrived(path, dataset))
        except (InvalidDicomError, EOFError, ValueError, KeyError):
            torn += 1
    return found, torn


def flaws(dataset: Dataset, study: Study) -> list[str]:
    """What in a structure set is not this study's: empty, where it is this patient's and of all slices."""
    found = [keyword for keyword, value in study.identity.items() if str(dataset.get(keyword, "")) != value]
    own = {study.uid, study.series_uid, study.frame_of_reference_uid, *study.sop_instance_uids}
    referred: set[str] = set()

    def look(_: Dataset, element: Any) -> None:
        if element.VR == "UI":
            values = element.value if element.VM > 1 else [element.value]
            referred.update(str(value) for value in values if str(value).startswith(made.ROOT))
        elif isinstance(element.value, str) and "CHAOS" in element.value and study.mark not in element.value:
            found.append(f"{element.keyword} of another")

    dataset.walk(look)
    if referred - own:
        found.append("refers to another study")
    if not set(study.sop_instance_uids) <= referred:
        found.append("not of all slices")
    if study.frame_of_reference_uid not in referred:
        found.append("not in the frame of reference")
    if not _is_at(dataset, study):
        found.append("the contours are another body's")
    return found


def _is_at(dataset: Dataset, study: Study) -> bool:
    points = [
        np.asarray(contour.ContourData, float).reshape(-1, 3)[:, :2]
        for roi in dataset.get("ROIContourSequence", ())
        for contour in roi.get("ContourSequence", ())
    ]
    if not points:
        return False
    every = np.concatenate(points)
    box = [*every.min(axis=0), *every.max(axis=0)]
    return bool(np.allclose(box, study.box_mm, atol=TOLERANCE_MM))


@dataclass
class Account:
    """Where every study of a run is."""

    sent: int = 0
    delivered: int = 0
    held: Counter[str] = field(default_factory=Counter)
    """Not at the TPS, and a person is asked: by code."""
    under_way: list[int] = field(default_factory=list)
    """Not at the TPS, and not at its end although everything was well again for long."""
    not_taken: list[int] = field(default_factory=list)
    """Never taken by the gateway; the sender knows."""
    sent_again: Counter[str] = field(default_factory=Counter)
    """For what a person had to send again, by code."""
    lost: list[int] = field(default_factory=list)
    """Taken, and now neither at the TPS nor shown."""
    duplicated: list[int] = field(default_factory=list)
    """Two structure sets of one sending."""
    contoured_again: list[int] = field(default_factory=list)
    """A second structure set, because the sender sent again after the first was delivered."""
    wrong: list[str] = field(default_factory=list)
    """What stands at the TPS and is not the patient's whose it says it is."""
    stored_twice: int = 0
    """The same object once more: its answer was lost."""
    torn: int = 0
    """Files that the TPS had not finished when it was killed."""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong or self.under_way or self.not_taken)

    def __str__(self) -> str:
        lines = {
            "sent": self.sent,
            "delivered": self.delivered,
            "held": _told(self.held),
            "sent again by a person": _told(self.sent_again),
            "lost": _listed(self.lost),
            "duplicated": _listed(self.duplicated),
            "wrong patient": _listed(self.wrong),
            "still under way": _listed(self.under_way),
            "not taken": _listed(self.not_taken),
            "contoured again, sent after delivery": _listed(self.contoured_again),
            "the same object stored twice": self.stored_twice,
            "torn by the death of the TPS": self.torn,
        }
        return "\n".join(f"{name:38}{value}" for name, value in lines.items())


def account(
    sent: Sequence[Sent],
    at_the_tps: tuple[Sequence[Arrived], int],
    passages: Iterable[Mapping[str, Any]],
    pseudonyms: Mapping[int, str],
) -> Account:
    """Find every study.

    Parameters
    ----------
    sent : sequence of Sent
    at_the_tps : tuple
        From `arrived`.
    passages : iterable of mapping
        What the console shows.
    pseudonyms : mapping of int to str
        What each study's patient is called there, by the study's number.
    """
    objects, torn = at_the_tps
    told = Account(sent=len(sent), torn=torn)
    by_uid = {one.study.uid: one for one in sent}
    there: dict[int, list[Arrived]] = {}
    for one in objects:
        owner = by_uid.get(one.study_uid)
        if owner is None:
            told.wrong.append("a study that nobody sent")
            continue
        if found := flaws(one.dataset, owner.study):
            told.wrong.append(f"{owner.study.number}: {', '.join(found)}")
        there.setdefault(owner.study.number, []).append(one)
    shown: dict[str, list[Mapping[str, Any]]] = {}
    for passage in passages:
        shown.setdefault(passage["pseudonym"], []).append(passage)
    for one in sent:
        number = one.study.number
        told.sent_again.update(one.again)
        mine = [p for p in shown.get(pseudonyms[number], ()) if p["state"] not in ENDED]
        if number in there:
            told.delivered += 1
            _count_twice(told, one, there[number])
        elif any(p["state"] == "held" for p in mine):
            told.held.update(p["reason"]["code"] for p in mine if p["state"] == "held")
        elif mine:
            told.under_way.append(number)
        elif one.is_taken:
            told.lost.append(number)
        else:
            told.not_taken.append(number)
    return told


def _count_twice(told: Account, sent: Sent, objects: Sequence[Arrived]) -> None:
    distinct = {one.sop_instance_uid for one in objects}
    told.stored_twice += len(objects) - len(distinct)
    if len(distinct) > 1:
        first = min(one.at for one in objects)
        is_sent_after = any(ended > first for _, ended, _ in sent.attempts)
        (told.contoured_again if is_sent_after else told.duplicated).append(sent.study.number)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items())) or "0"


def _listed(found: Sequence[object]) -> str:
    return f"{len(found)}" + (f"  ({'; '.join(map(str, found[:20]))})" if found else "")
