"""What a randomised run counts: with controls, because a judge that sees nothing makes every run good."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from tests import made
from tests.chaos.judge import Account, account, arrived, flaws
from tests.chaos.plan import Plan
from tests.chaos.senders import Sent
from tests.chaos.studies import Study

ONE, OTHER = (Study.drawn(7, number, random.Random(number)) for number in (1, 2))
CODES = {1: "P-ONE", 2: "P-OTHER"}


def structure_set(study: Study, body: Study | None = None, uid: str = "2.25.1") -> Dataset:
    """A structure set as the gateway restores it, in short."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, uid
    for keyword, value in study.identity.items():
        setattr(dataset, keyword, value)
    left, top, right, bottom = (body or study).box_mm
    images = []
    for sop_instance_uid in study.sop_instance_uids:
        image = Dataset()
        image.ReferencedSOPInstanceUID = sop_instance_uid
        images.append(image)
    series, frame, contour, roi = Dataset(), Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = study.series_uid, images
    frame.FrameOfReferenceUID = study.frame_of_reference_uid
    contour.ContourData = [left, top, 0, right, top, 0, right, bottom, 0, left, bottom, 0]
    roi.ContourSequence = [contour]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.RTReferencedSeriesSequence = [series]
    dataset.ROIContourSequence = [roi]
    return dataset


def delivered(folder: Path, *sets: Dataset, at: float = 200.0) -> Path:
    folder.mkdir(exist_ok=True)
    for one in sets:
        path = folder / f"{len(list(folder.iterdir()))}"
        path.write_bytes(made.part10(one))
        os.utime(path, (at, at))
    return folder


def sent(study: Study, *, ended: float = 100.0, is_taken: bool = True) -> Sent:
    return Sent(study, "storescu", [(ended - 1, ended, is_taken)])


def passage(study: Study, state: str, code: str = "") -> dict[str, Any]:
    return {"pseudonym": CODES[study.number], "state": state, "reason": {"code": code} if code else None}


def judged(folder: Path, *who: Sent, shown: tuple[dict[str, Any], ...] = ()) -> Account:
    return account(who, arrived(folder), shown, CODES)


def test_two_studies_at_the_tps_are_good(tmp_path: Path) -> None:
    folder = delivered(tmp_path / "tps", structure_set(ONE), structure_set(OTHER, uid="2.25.2"))
    told = judged(folder, sent(ONE), sent(OTHER))
    assert told.is_good
    assert told.delivered == 2


def test_a_structure_set_of_the_patient_has_no_flaw() -> None:
    assert flaws(structure_set(ONE), ONE) == []


def _renamed() -> Dataset:
    dataset = structure_set(ONE)
    dataset.PatientName = OTHER.identity["PatientName"]
    return dataset


def _referring() -> Dataset:
    dataset = structure_set(ONE)
    image = dataset.RTReferencedSeriesSequence[0].ContourImageSequence[0]
    image.ReferencedSOPInstanceUID = OTHER.sop_instance_uids[0]
    return dataset


def _short() -> Dataset:
    dataset = structure_set(ONE)
    del dataset.RTReferencedSeriesSequence[0].ContourImageSequence[0]
    return dataset


@pytest.mark.parametrize(
    "spoiled", [_renamed(), _referring(), _short(), structure_set(ONE, body=OTHER), structure_set(OTHER)]
)
def test_control_what_is_not_the_patients_is_found(tmp_path: Path, spoiled: Dataset) -> None:
    assert flaws(spoiled, ONE)
    if spoiled.StudyInstanceUID == ONE.uid:
        told = judged(delivered(tmp_path / "tps", spoiled), sent(ONE))
        assert told.wrong
        assert not told.is_good


def test_control_a_study_that_is_nowhere_is_lost(tmp_path: Path) -> None:
    told = judged(delivered(tmp_path / "tps"), sent(ONE), shown=(passage(ONE, "cancelled"),))
    assert (told.lost, told.is_good) == ([1], False)


def test_a_study_that_is_held_is_not_lost(tmp_path: Path) -> None:
    told = judged(delivered(tmp_path / "tps"), sent(ONE), shown=(passage(ONE, "held", "SEND_AGAIN"),))
    assert told.is_good
    assert told.held == {"SEND_AGAIN": 1}


@pytest.mark.parametrize(
    ("is_taken", "shown"), [(True, (passage(ONE, "contouring"),)), (False, ())], ids=["stuck", "refused"]
)
def test_control_a_study_without_an_end_is_not_good(
    tmp_path: Path, is_taken: bool, shown: tuple[dict[str, Any], ...]
) -> None:
    told = judged(delivered(tmp_path / "tps"), sent(ONE, is_taken=is_taken), shown=shown)
    assert not told.is_good
    assert told.lost == []


@pytest.mark.parametrize(("ended", "is_good"), [(100.0, False), (300.0, True)])
def test_control_two_structure_sets_of_one_sending_are_found(
    tmp_path: Path, ended: float, is_good: bool
) -> None:
    folder = delivered(tmp_path / "tps", structure_set(ONE), structure_set(ONE, uid="2.25.2"))
    told = judged(folder, sent(ONE, ended=ended))
    assert told.is_good is is_good
    assert (told.duplicated, told.contoured_again) == (([], [1]) if is_good else ([1], []))


def test_the_same_object_stored_twice_is_no_second_structure_set(tmp_path: Path) -> None:
    told = judged(delivered(tmp_path / "tps", structure_set(ONE), structure_set(ONE)), sent(ONE))
    assert told.is_good
    assert told.stored_twice == 1


def test_a_seed_draws_one_plan_and_another_seed_another() -> None:
    assert str(Plan.drawn(3, 1)) == str(Plan.drawn(3, 1)) != str(Plan.drawn(4, 1))


def test_no_two_bodies_of_a_run_lie_at_the_same_place_for_long() -> None:
    boxes = [sending.study.box_mm for sending in Plan.drawn(1, 10).sendings]
    same = sum(np.allclose(one, other, atol=2.5) for one, other in itertools.pairwise(boxes))
    assert same < len(boxes) / 20
