"""A passage goes only where its table lets it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PassageUnfit
from gateway.passage import ENDS, TRANSITIONS, WAY, Passage, State

REASON = PassageUnfit("SLICE_MISSING", position_mm=1.0)


def at(state: State) -> Passage:
    passage = Passage(source="PACS", called="CONTOURGATE", modality="CT")
    for step in WAY[1 : WAY.index(state) + 1]:
        passage.move(step)
    return passage


def test_the_way_leads_from_receiving_to_delivered() -> None:
    passage = at(State.DELIVERED)
    assert [step.state for step in passage.history] == list(WAY)
    assert passage.has_ended


def test_every_state_is_in_the_table_and_only_ends_lead_nowhere() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, after in TRANSITIONS.items() if not after} == set(ENDS)


@pytest.mark.parametrize(("here", "there"), [*itertools.product(WAY[:-1], WAY)])
def test_no_step_of_the_way_is_skipped_or_taken_back(here: State, there: State) -> None:
    passage = at(here)
    if WAY.index(there) == WAY.index(here) + 1:
        passage.move(there)
    else:
        with pytest.raises(ValueError, match="does not go"):
            passage.move(there)


@given(st.sampled_from(WAY[:-1]), st.sampled_from(WAY))
def test_a_held_passage_returns_only_to_where_it_came_from(here: State, there: State) -> None:
    passage = at(here)
    passage.move(State.HELD, error=REASON)
    assert passage.held_from is here
    if there is here:
        passage.move(there)
        assert passage.error is None
    else:
        with pytest.raises(ValueError, match="does not go"):
            passage.move(there)


def test_holding_needs_a_reason_and_going_on_takes_none() -> None:
    with pytest.raises(ValueError, match="needs"):
        at(State.COMPLETE).move(State.HELD)
    with pytest.raises(ValueError, match="takes no"):
        at(State.COMPLETE).move(State.CHECKED, error=REASON)


def test_ids_are_random_and_say_nothing() -> None:
    assert at(State.RECEIVING).id != at(State.RECEIVING).id
    assert len(at(State.RECEIVING).id) == 32
