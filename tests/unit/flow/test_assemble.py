"""Instances become series whatever their order, and no patient is mixed with another."""

import hashlib

import pytest

from gateway.errors import IntakeError
from gateway.flow.assemble import Assembler
from gateway.flow.deidentify import stored_values
from gateway.flow.rules import SeriesFacts
from gateway.flow.series import Series, Slice
from gateway.passage import WAY, State
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, keyed_digest, scope_of
from tests import made

FACTS = SeriesFacts("PACS", "CONTOURGATE", "CT", "", "")


@pytest.fixture
def assembler() -> Assembler:
    key = ClinicKey(bytes(range(32)))
    return Assembler(
        lambda instance: Pseudonyms(key, scope_of(instance, "study")),
        lambda instance: hashlib.sha256(stored_values(instance)).digest(),
        lambda uid: keyed_digest(key, "series", uid.encode()),
        max_slices=100,
    )


def take(assembler: Assembler, instance: made.Instance, association: int = 1) -> tuple[Series, Slice | None]:
    series = assembler.find(instance) or assembler.open(instance, FACTS)
    return series, assembler.add(series, instance, association, len(instance.data))


def test_one_series_over_several_associations_is_one_passage(assembler: Assembler) -> None:
    taken = [take(assembler, made.instance(i), association=i) for i in (3, 1, 2, 0)]
    assert len({id(series) for series, _ in taken}) == 1
    assert len(list(assembler)) == 1
    assert taken[0][0].passage.received == 4


def test_two_series_of_a_study_are_two_passages_under_one_pseudonym(assembler: Assembler) -> None:
    first, second = take(assembler, made.instance(series=1))[0], take(assembler, made.instance(series=2))[0]
    assert first is not second
    assert first.passage.pseudonym == second.passage.pseudonym


@pytest.mark.parametrize("implicit", [False, True])
def test_an_exact_resend_changes_nothing_whatever_its_encoding(assembler: Assembler, implicit: bool) -> None:
    series, first = take(assembler, made.instance())
    assert first is not None
    assert take(assembler, made.instance(implicit=implicit))[1] is None
    assert series.passage.received == 1
    assert series.conflict is None


def test_other_pixels_under_the_same_uid_are_refused_and_hold_the_series(assembler: Assembler) -> None:
    series, first = take(assembler, made.instance())
    with pytest.raises(IntakeError) as refused:
        take(assembler, made.instance(seed=9))
    assert refused.value.code == "INSTANCE_CONFLICT"
    assert series.conflict is not None
    assert list(series.slices.values()) == [first]


@pytest.mark.parametrize("series", [1, 2])
def test_two_patients_in_one_study_hold_both(assembler: Assembler, series: int) -> None:
    first, _ = take(assembler, made.instance())
    second, slice_ = take(assembler, made.instance(1, series=series, patient="INVENTED-2"))
    assert slice_ is not None
    assert first is not second
    assert [s.conflict.code for s in (first, second) if s.conflict] == ["IDENTITY_CONFLICT"] * 2


def test_two_patients_in_two_studies_hold_nothing(assembler: Assembler) -> None:
    first, _ = take(assembler, made.instance())
    second, _ = take(assembler, made.instance(study=2, patient="INVENTED-2"))
    assert first.conflict is second.conflict is None
    assert first.passage.pseudonym != second.passage.pseudonym


def test_more_slices_after_the_series_was_whole_go_to_a_successor_with_all(assembler: Assembler) -> None:
    series, _ = take(assembler, made.instance())
    series.passage.model = "made"
    series.passage.move(State.COMPLETE)
    assert series.is_taken_for_whole
    heir = assembler.succeed(series)
    assert heir.passage.model == "made"
    assembler.add(heir, made.instance(1), 2, 1000)
    assert series.is_superseded
    assert (len(series.slices), len(heir.slices)) == (0, 2)
    assert assembler.find(made.instance()) is heir
    assert heir.passage.id != series.passage.id


def test_a_late_part_of_a_delivered_series_is_recognised(assembler: Assembler) -> None:
    series, _ = take(assembler, made.instance(0))
    take(assembler, made.instance(1))
    for state in WAY[1:]:
        series.passage.move(state)
    assembler.forget(series)
    late, _ = take(assembler, made.instance(2))
    assert late is not series
    assert assembler.is_remainder(late)
    take(assembler, made.instance(3))
    assert not assembler.is_remainder(late)


def test_a_vanished_association_leaves_its_series_cut_off(assembler: Assembler) -> None:
    series, _ = take(assembler, made.instance(), association=5)
    assembler.association_ended(5, released=False)
    assert series.is_cut_off
    take(assembler, made.instance(1), association=6)
    assembler.association_ended(6, released=True)
    assert not series.is_cut_off
    assert not series.associations


def test_a_series_takes_no_more_than_its_limit(assembler: Assembler) -> None:
    for i in range(100):
        take(assembler, made.instance(i))
    with pytest.raises(IntakeError) as refused:
        take(assembler, made.instance(100))
    assert refused.value.dimse_status == 0xA700


def test_a_series_is_carried_by_an_open_association_until_that_brings_another(assembler: Assembler) -> None:
    series, _ = take(assembler, made.instance(series=1))
    assert assembler.is_carried(series)
    other, _ = take(assembler, made.instance(series=2))
    assert (assembler.is_carried(series), assembler.is_carried(other)) == (False, True)
    assembler.association_ended(1, released=True)
    assert not assembler.is_carried(other)


def test_a_lost_association_cuts_off_what_it_brought_last(assembler: Assembler) -> None:
    series, _ = take(assembler, made.instance(0))
    assembler.association_ended(1, released=False)
    assert series.is_cut_off


def test_a_lost_association_does_not_cut_off_what_another_brought_again(assembler: Assembler) -> None:
    series, _ = take(assembler, made.instance(0), association=1)
    take(assembler, made.instance(0), association=2)
    take(assembler, made.instance(1), association=2)
    assembler.association_ended(2, released=True)
    assembler.association_ended(1, released=False)
    assert not series.is_cut_off
