"""The synthetic answer key: invented identifiers put into copies of images, and what must happen to each.

The actions are the ten of the MIDI-B benchmark (Medical Image De-Identification Benchmark). What must happen follows
PS3.15 E.1 with Clean Descriptors, Retain Longitudinal Temporal Information with Modified Dates, Retain Patient
Characteristics and Retain Safe Private, as that benchmark asks for; device identity is not retained.

Every identifier is a word, number or date that exists in one place of one file (what belongs to
the person: of one patient), so that a search of the whole output tells which place it came from.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

from tests.bench.score_places import DATES, IDENTIFIERS, MIXED, PRESENT, RETAINED, VALUED, WRITTEN

__all__ = ["Action", "Expectation", "Injector", "Path", "Sample", "as_text"]

Path = tuple[str | int | tuple[int, str, int], ...]
"""Keywords and item numbers, from the first level inwards; a private element is (group, creator, offset)."""


class Action(StrEnum):
    """What must be true of one place of the output."""

    TAG_RETAINED = "tag retained"
    TEXT_NOT_NULL = "text not null"
    TEXT_RETAINED = "text retained"
    TEXT_REMOVED = "text removed"
    DATE_SHIFTED = "date shifted"
    UID_CHANGED = "UID changed"
    UID_CONSISTENT = "UID consistent"
    PATIENT_ID_CONSISTENT = "patient id consistent"
    PIXELS_HIDDEN = "pixels hidden"
    PIXELS_RETAINED = "pixels retained"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of the answer key."""

    action: Action
    path: Path
    text: str = ""
    """The identifier, the original UID or date, or the text that must be there."""


@dataclass(slots=True)
class Sample:
    """One image with identifiers in it, and its part of the answer key."""

    dataset: FileDataset
    patient: int
    series: int
    expectations: list[Expectation] = field(default_factory=list)
    letters: npt.NDArray[np.bool_] | None = None
    """Where a burned-in text has its letters."""


PRIVATE_CREATOR = "INVENTED PRIVATE"
SAFE_PRIVATE: Path = ((0x0019, "SIEMENS MR HEADER", 0x0C),)
"""B value: in the list of safe private attributes, PS3.15 table E.3.10-1."""
UID_ROOT = "1.2.826.0.1.3680043.10.9999."
PREAMBLE: Path = ("preamble",)
META_TITLE: Path = ("file_meta", "SourceApplicationEntityTitle")
META_INSTANCE: Path = ("file_meta", "MediaStorageSOPInstanceUID")


class Injector:
    """Puts identifiers into images; the same seed makes the same ones.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._series = 0
        self._people: dict[int, dict[str, str]] = {}

    def series(self, datasets: list[FileDataset], patient: int, *, text: bool = False) -> list[Sample]:
        """Copies become one series of one study of an invented patient.

        Parameters
        ----------
        datasets : list of FileDataset
            Changed in place.
        patient : int
            Which invented patient.
        text : bool
            Burn a text into the pixels; the answer key then asks for nothing but that it is hidden.
        """
        self._series += 1
        study, series, frame = self._uid(), self._uid(), self._uid()
        instances = [self._uid() for _ in datasets]
        day = datetime.date(2017, 1, 1) + datetime.timedelta(self._random.randrange(900))
        samples = []
        for number, dataset in enumerate(datasets):
            sample = Sample(dataset, patient, self._series)
            uids = {
                "StudyInstanceUID": study,
                "SeriesInstanceUID": series,
                "FrameOfReferenceUID": frame,
                "SOPInstanceUID": instances[number],
                "ReferencedStudySequence/0/ReferencedSOPInstanceUID": study,
                "ReferencedImageSequence/0/ReferencedSOPInstanceUID": instances[number - 1],
            }
            self._inject(sample, uids, day)
            if text:
                sample.letters = self._burn(dataset)
                sample.expectations = [Expectation(Action.PIXELS_HIDDEN, ("PixelData",))]
            samples.append(sample)
        return samples

    def _inject(self, sample: Sample, uids: dict[str, str], day: datetime.date) -> None:
        dataset, key = sample.dataset, sample.expectations
        person = self._person(sample.patient)
        for keyword, value in WRITTEN.items():
            setattr(dataset, keyword, value)
        for keyword, value in person.items():
            setattr(dataset, keyword, value)
            key.append(Expectation(Action.TEXT_REMOVED, (keyword,), value))
        key.append(Expectation(Action.PATIENT_ID_CONSISTENT, ("PatientID",), person["PatientID"]))
        for place in IDENTIFIERS:
            path = _path(place)
            word = f"{self._word()}^{self._word()}" if dictionary_VR(str(path[-1])) == "PN" else self._word()
            _put(dataset, path, word)
            key.append(Expectation(Action.TEXT_REMOVED, path, word))
        for keyword, (kept, pattern) in MIXED.items():
            word = self._word()
            setattr(dataset, keyword, pattern.format(kept=kept, word=word))
            key.append(Expectation(Action.TEXT_REMOVED, (keyword,), word))
            key.append(Expectation(Action.TEXT_RETAINED, (keyword,), kept))
        self._inject_private(sample)
        self._inject_around(sample)
        for place, uid in uids.items():
            path = _path(place)
            _put(dataset, path, uid)
            key.extend(
                Expectation(action, path, uid) for action in (Action.UID_CHANGED, Action.UID_CONSISTENT)
            )
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for action in (Action.UID_CHANGED, Action.UID_CONSISTENT):
            key.append(Expectation(action, META_INSTANCE, uids["SOPInstanceUID"]))
        for place, days in DATES.items():
            path = _path(place)
            date = f"{day + datetime.timedelta(days):%Y%m%d}"
            _put(dataset, path, date + ("101112" if place.endswith("DateTime") else ""))
            key.append(Expectation(Action.DATE_SHIFTED, path, date))
        key.extend(self._to_retain(dataset))

    def _inject_private(self, sample: Sample) -> None:
        dataset = sample.dataset
        block = dataset.private_block(0x0033, PRIVATE_CREATOR, create=True)
        for offset, vr in ((0x10, "LO"), (0x11, "PN"), (0x12, "UN")):
            word = self._word()
            block.add_new(offset, vr, word.encode() if vr == "UN" else word)
            sample.expectations.append(
                Expectation(Action.TEXT_REMOVED, ((0x0033, PRIVATE_CREATOR, offset),), word)
            )
        item, word = Dataset(), self._word()
        item.PatientID = word
        block.add_new(0x13, "SQ", Items([item]))
        path: Path = ((0x0033, PRIVATE_CREATOR, 0x13), 0, "PatientID")
        sample.expectations.append(Expectation(Action.TEXT_REMOVED, path, word))
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "800")
        sample.expectations.append(Expectation(Action.TEXT_RETAINED, SAFE_PRIVATE, "800"))

    def _inject_around(self, sample: Sample) -> None:
        """Into the file, around the dataset."""
        word, title = self._word(), self._word().upper()
        sample.dataset.preamble = word.encode().ljust(128, b"\0")
        sample.dataset.file_meta.SourceApplicationEntityTitle = title
        sample.expectations.append(Expectation(Action.TEXT_REMOVED, PREAMBLE, word))
        sample.expectations.append(Expectation(Action.TEXT_REMOVED, META_TITLE, title))

    @staticmethod
    def _to_retain(dataset: FileDataset) -> Iterator[Expectation]:
        for keyword in RETAINED:
            if dataset.get(keyword) not in (None, ""):
                yield Expectation(Action.TEXT_RETAINED, (keyword,), as_text(dataset[keyword].value))
        for keyword in PRESENT:
            if keyword in dataset:
                yield Expectation(Action.TAG_RETAINED, (keyword,))
        for place in VALUED:
            path = _path(place)
            if str(path[0]) in dataset:
                yield Expectation(Action.TEXT_NOT_NULL, path)
        yield Expectation(Action.PIXELS_RETAINED, ("PixelData",))

    def _burn(self, dataset: FileDataset) -> npt.NDArray[np.bool_]:
        values = dataset.pixel_array.copy()
        letters = np.zeros(values.shape, np.uint8)
        origin = (4, values.shape[0] // 8)
        cv2.putText(letters, "QUIXOTE HOLLOW", origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        # As bright as bone, whatever the unit, so that the letters stand out on what is beneath.
        values[letters > 0] = values.max()
        dataset.PixelData = values.tobytes()
        return letters > 0

    def _person(self, patient: int) -> dict[str, str]:
        if patient not in self._people:
            born = datetime.date(1931, 1, 1) + datetime.timedelta(self._random.randrange(20000))
            self._people[patient] = {
                "PatientName": f"{self._word()}^{self._word()}",
                "PatientID": self._word().upper(),
                "IssuerOfPatientID": self._word(),
                "PatientBirthDate": f"{born:%Y%m%d}",
            }
        return self._people[patient]

    def _word(self) -> str:
        """Ten letters that no language has, by chance nowhere else."""
        pairs = (self._random.choice("bdfgkmnprtvz") + self._random.choice("aeiou") for _ in range(5))
        return "".join(pairs).capitalize()

    def _uid(self) -> str:
        return UID_ROOT + str(self._random.randrange(10**17, 10**18))


def as_text(value: Any) -> str:
    """A value as its text, several joined as they are written."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value)
    return "\\".join(str(one) for one in value)


def _path(place: str) -> Path:
    return tuple(int(part) if part.isdigit() else part for part in place.split("/"))


def _put(dataset: Dataset, path: Path, value: str) -> None:
    """Set a value, making the sequences on the way to it; one item each."""
    for keyword in path[:-1:2]:
        if not dataset.get(str(keyword)):
            setattr(dataset, str(keyword), Items([Dataset()]))
        dataset = dataset[str(keyword)].value[0]
    keyword = str(path[-1])
    setattr(dataset, keyword, value.upper() if dictionary_VR(keyword) in ("CS", "AE") else value)
