"""The judge: which lines of the answer key the output of one tool meets, and which identifiers are still in it."""

from __future__ import annotations

import datetime
import io
import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from tests.bench.score_key import Action, Expectation, Path, Sample, as_text
from tests.bench.score_places import MIXED
from tests.deid.canary import Canary

__all__ = ["IDENTIFYING", "Verdict", "judged"]

IDENTIFYING = (Action.TEXT_REMOVED, Action.DATE_SHIFTED, Action.UID_CHANGED)
"""The places of these actions hold something that must not be found anywhere in the output."""
MOST_LETTERS_LEFT = 0.1
"""A text is hidden if at most this share of its letters' pixels is as it was."""


@dataclass(slots=True)
class Verdict:
    """How one tool did."""

    met: Counter[Action] = field(default_factory=Counter)
    asked: Counter[Action] = field(default_factory=Counter)
    failures: list[tuple[int, Expectation]] = field(default_factory=list)
    """With the number of the sample."""
    leaks: list[tuple[int, Expectation]] = field(default_factory=list)
    places: int = 0
    without_output: int = 0


def judged(samples: Sequence[Sample], outputs: Sequence[bytes | None]) -> Verdict:
    """Compare the outputs of one tool with the answer key.

    Parameters
    ----------
    samples : sequence of Sample
    outputs : sequence of bytes or None
        A Part 10 file for each sample; None where the tool let nothing out.
    """
    datasets = [None if output is None else _read(output) for output in outputs]
    context = _Context(samples, datasets)
    verdict = Verdict(without_output=sum(output is None for output in outputs))
    for number, sample in enumerate(samples):
        searched = _searched(sample, outputs[number], datasets[number])
        for expectation in sample.expectations:
            action = expectation.action
            is_left = action in IDENTIFYING and bool(Canary(expectation.text).found_in(searched))
            verdict.places += action in IDENTIFYING
            if is_left:
                verdict.leaks.append((number, expectation))
            is_met = not is_left if action is Action.TEXT_REMOVED else context.meets(number, expectation)
            verdict.asked[action] += 1
            verdict.met[action] += is_met
            if not is_met:
                verdict.failures.append((number, expectation))
    return verdict


class _Context:
    """What can only be said about all outputs together: which replacement stands for which original."""

    def __init__(self, samples: Sequence[Sample], datasets: Sequence[FileDataset | None]) -> None:
        self._samples = samples
        self._datasets = datasets
        uids: dict[Hashable, Counter[str]] = defaultdict(Counter)
        patients: dict[Hashable, Counter[str]] = defaultdict(Counter)
        shifts: dict[int, Counter[int]] = defaultdict(Counter)
        for number, sample in enumerate(samples):
            for one in sample.expectations:
                text = self._text(number, one.path)
                if not text:
                    continue
                if one.action is Action.UID_CONSISTENT:
                    uids[one.text][text] += 1
                elif one.action is Action.PATIENT_ID_CONSISTENT:
                    patients[one.text][text] += 1
                elif one.action is Action.DATE_SHIFTED and (days := _shift(one.text, text)) is not None:
                    shifts[sample.patient][days] += 1
        self._uids, self._patients = _stand_ins(uids), _stand_ins(patients)
        self._shifts = {
            patient: days for patient, counts in shifts.items() if (days := _usual(counts)) is not None
        }

    def meets(self, number: int, one: Expectation) -> bool:
        """Whether the output of a sample meets one expectation other than that a text is removed."""
        text = self._text(number, one.path)
        match one.action:
            case Action.PIXELS_HIDDEN | Action.PIXELS_RETAINED:
                return self._pixels(number, one.action)
            case Action.TAG_RETAINED:
                return text is not None
            case Action.TEXT_NOT_NULL:
                return bool(text)
            case Action.TEXT_RETAINED:
                if one.path[0] in MIXED:
                    return one.text in (text or "")
                return text is not None and _numbers(one.text) == _numbers(text)
            case Action.DATE_SHIFTED:
                days = _shift(one.text, text or "")
                usual = self._shifts.get(self._samples[number].patient)
                return bool(days) and days is not None and usual is not None and abs(days - usual) <= 1
            case Action.UID_CHANGED:
                return bool(text) and text != one.text and UID(text or "").is_valid
            case Action.UID_CONSISTENT:
                return bool(text) and text == self._uids.get(one.text)
            case _:
                return bool(text) and text == self._patients.get(one.text)

    def _text(self, number: int, path: Path) -> str | None:
        """The text at a place of an output; None where it has no such place."""
        dataset = self._datasets[number]
        element = None if dataset is None or path == ("PixelData",) else _element(dataset, path)
        if element is None:
            return None
        return "" if element.value is None else as_text(element.value).strip("\0 ")

    def _pixels(self, number: int, action: Action) -> bool:
        dataset, sample = self._datasets[number], self._samples[number]
        if dataset is None or not dataset.get("PixelData"):
            return action is Action.PIXELS_HIDDEN
        try:
            before, after = sample.dataset.pixel_array, dataset.pixel_array
        except (AttributeError, ValueError):
            return False  # there are pixels, and no attributes to read them by
        if action is Action.PIXELS_RETAINED:
            return np.array_equal(before, after)
        letters = sample.letters
        assert letters is not None
        return before.shape == after.shape and float((before == after)[letters].mean()) <= MOST_LETTERS_LEFT


def _usual(shifts: Counter[int]) -> int | None:
    """By how many days most dates of a patient were shifted, give or take one.

    Who shifts by hours crosses midnight with one time and not with another.
    """
    days = shifts.most_common(1)[0][0]
    near = sum(count for shift, count in shifts.items() if abs(shift - days) <= 1)
    return days if near > shifts.total() / 2 else None


def _stand_ins(seen: dict[Hashable, Counter[str]]) -> dict[Hashable, str]:
    """What mostly stands for each original, unless it stands for another one as well."""
    most = {original: counts.most_common(1)[0][0] for original, counts in seen.items()}
    times = Counter(most.values())
    return {original: text for original, text in most.items() if times[text] == 1}


def _element(dataset: Dataset, path: Path) -> DataElement | None:
    items: Sequence[Dataset] = ()
    for step in path[:-1]:
        if step == "file_meta":
            dataset = dataset.file_meta
            continue
        if isinstance(step, int):
            if step >= len(items):
                return None
            dataset = items[step]
            continue
        found = _one(dataset, step)
        if found is None or found.VR != "SQ":
            return None
        items = found.value
    last = path[-1]
    assert not isinstance(last, int)
    return _one(dataset, last)


def _one(dataset: Dataset, step: str | tuple[int, str, int]) -> DataElement | None:
    if isinstance(step, str):
        return dataset[step] if step in dataset else None  # noqa: SIM401  `get` gives values for keywords
    group, creator, offset = step
    try:
        return dataset.private_block(group, creator)[offset]
    except KeyError:
        return None


def _searched(sample: Sample, output: bytes | None, dataset: FileDataset | None) -> bytes:
    """The output without its pixels: they hold no identifier but a burned-in text, which is looked for there."""
    if output is None or dataset is None:
        return b""
    pixels = dataset.get("PixelData") or b""
    return output.replace(pixels, b"", 1) if len(pixels) > 100 else output


def _shift(original: str, text: str) -> int | None:
    try:
        moved = datetime.datetime.strptime(text[:8], "%Y%m%d").date()
    except ValueError:
        return None
    return (moved - datetime.datetime.strptime(original, "%Y%m%d").date()).days


def _numbers(text: str) -> list[float] | str:
    """As numbers where it is numbers: `1.0` and `1.000` say the same."""
    try:
        return [float(part) for part in text.split("\\")]
    except ValueError:
        return text


def _read(output: bytes) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(output), force=True)
