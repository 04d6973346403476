"""The soak's account can tell a loss, and its plan and readings are what they say."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from gateway.vault.keys import ClinicKey
from tests import toy
from tests.soak import stock, watch
from tests.soak.balance import Balance, pseudonym_of
from tests.soak.plan import SENDERS, SYNTAXES, Shipment, shipments
from tests.soak.senders import Answers

KEY = ClinicKey(bytes(32))


def shipment() -> Shipment:
    return next(shipments(1, 0))


def opened(accepted: int) -> Balance:
    """A balance with one shipment of which so many instances were accepted."""
    balance, sent = Balance(), shipment()
    balance.open(sent, pseudonym_of(sent, KEY))
    answers = Answers()
    for index in range(accepted):
        answers.take(index, 0)
    answers.take(accepted, 0xA700)
    balance.answered(sent, "storescu", answers, broke_off=False)
    return balance


def structure_set(folder: Path, sent: Shipment, instances: int) -> Path:
    """As the TPS gets it."""
    dataset = toy.Toy(instances).structure_set()
    dataset.PatientID = sent.patient_id
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    series.SeriesInstanceUID = sent.series_uid
    for index, image in enumerate(series.ContourImageSequence):
        image.ReferencedSOPInstanceUID = sent.instance_uid(index)
    path = folder / "rs.dcm"
    path.write_bytes(toy.part10(dataset))
    return path


def test_what_is_delivered_is_not_lost(tmp_path: Path) -> None:
    balance = opened(accepted=3)
    balance.delivered(structure_set(tmp_path, shipment(), 3))
    assert (balance.lost, balance.delivered_instances, balance.refused) == (0, 3, {"status A700": 1})
    assert not balance.failures


def test_what_is_held_is_not_lost() -> None:
    balance = opened(accepted=3)
    balance.was_held(pseudonym_of(shipment(), KEY), "INCOMPLETE", 3)
    assert balance.lost == 0


def test_control_a_slice_that_is_missing_is_lost(tmp_path: Path) -> None:
    balance = opened(accepted=3)
    assert balance.lost == 3
    balance.delivered(structure_set(tmp_path, shipment(), 2))
    assert (balance.lost, balance.lost_shipments()) == (1, [shipment()])


def test_control_a_passage_that_was_held_with_less_does_not_hide_a_loss() -> None:
    balance = opened(accepted=3)
    balance.was_held(pseudonym_of(shipment(), KEY), "INCOMPLETE", 2)
    assert balance.lost == 1


def test_control_another_patients_structure_set_is_a_failure(tmp_path: Path) -> None:
    balance = opened(accepted=3)
    other = next(itertools.islice(shipments(1, 0), 1, None))
    path = structure_set(tmp_path, other, 3)
    balance.delivered(path)
    assert balance.failures["a structure set is another patient's"] == 1


def test_a_plan_depends_on_its_seed_alone_and_has_everything() -> None:
    plan = list(itertools.islice(shipments(7, 2), 300))
    assert plan == list(itertools.islice(shipments(7, 2), 300))
    assert plan != list(itertools.islice(shipments(8, 2), 300))
    assert {one.sender for one in plan} == set(SENDERS)
    assert {one.syntax for one in plan} == set(SYNTAXES)
    assert {one.side for one in plan} == {64, 128, 256, 512}
    assert len({one.series_uid for one in plan}) == 300


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_slices_are_written_in_every_syntax(tmp_path: Path, syntax: str) -> None:
    sent = next(one for one in shipments(1, 0) if one.syntax == syntax)
    small = Shipment(0, 0, "storescu", 2, 64, sent.syntax, "CT", None, False, 0)
    paths = stock.write(small, tmp_path / "out")
    assert len(paths) == 2
    assert all(path.stat().st_size > 500 for path in paths)


def test_a_quantile_is_read_from_what_came_between_two_readings() -> None:
    before = {0.01: 50.0, 0.02: 50.0, float("inf"): 50.0}
    after = {0.01: 140.0, 0.02: 150.0, float("inf"): 150.0}
    assert watch.quantile(before, after, 0.95) == pytest.approx(0.015)
    assert watch.quantile(before, after, 0.45) == pytest.approx(0.005)
