"""What the console shows of a passage."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from pydicom.tag import Tag

from gateway.config import Lockdown, Protection, Waiver
from gateway.console.readiness import Readiness
from gateway.console.views import (
    outline_views,
    passage_view,
    pictures_view,
    readiness_view,
    reason_view,
    roi_key,
    status_view,
)
from gateway.errors import (
    CATALOGUE,
    ContourerUnavailable,
    DeidentificationError,
    GatewayError,
    PassageUnfit,
    PeerError,
    Word,
)
from gateway.flow.board import Outline
from gateway.flow.concerns import Concern
from gateway.flow.queues import Queue
from gateway.passage import WAY, Passage, State
from tests.browser.made_board import HOSTILE_NAMES, made_config, made_passage

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def walked(*steps: tuple[State, float], error: PassageUnfit | None = None) -> Passage:
    """A passage that made these steps, each some seconds after the one before."""
    passage = Passage(source="PACS", called="CONTOURGATE", modality="CT", deliver_to=("TPS", "ARCHIVE"))
    passage.history[0] = type(passage.history[0])(State.RECEIVING, START)
    at = START
    for state, after in steps:
        at += timedelta(seconds=after)
        passage.move(state, at=at, error=error if state in (State.HELD, State.FAILED) else None)
    return passage


UNFIT = PassageUnfit("SLICE_MISSING", position_mm=-213.5)


def test_each_state_has_the_time_spent_in_it() -> None:
    view = passage_view(walked((State.COMPLETE, 12), (State.CHECKED, 0.5)), deadline_s=60)
    assert [stage["seconds"] for stage in view["way"]] == [12, 0.5] + [0] * 8
    assert [stage["entered"] is not None for stage in view["way"]] == [True] * 3 + [False] * 7
    assert [stage["is_current"] for stage in view["way"]] == [False, False, True] + [False] * 7
    assert [stage["state"] for stage in view["way"]] == [state.value for state in WAY]


def test_time_held_is_not_counted_for_the_state_it_was_held_from() -> None:
    passage = walked(
        (State.COMPLETE, 10), (State.HELD, 2), (State.COMPLETE, 500), (State.CHECKED, 3), error=UNFIT
    )
    view = passage_view(passage, deadline_s=60)
    assert view["way"][1]["seconds"] == 5
    assert view["group"] == "active"


def test_a_held_passage_says_why_what_to_do_and_what_a_person_may_do() -> None:
    view = passage_view(walked((State.COMPLETE, 10), (State.HELD, 2), error=UNFIT), deadline_s=60)
    assert view["group"] == "held"
    assert view["held_from"] == "complete"
    assert view["may"] == ["release", "cancel"]
    assert view["reason"] == {
        "code": "SLICE_MISSING",
        "meaning": CATALOGUE["SLICE_MISSING"].meaning,
        "hint": CATALOGUE["SLICE_MISSING"].hint,
        "facts": [{"name": "position mm", "value": "-213.5"}],
    }
    assert [stage["state"] for stage in view["way"] if stage["is_current"]] == ["complete"]


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED, State.DELIVERED])
def test_nothing_can_be_done_about_what_has_ended(end: State) -> None:
    view = passage_view(made_passage(end, held_from=State.CHECKED), deadline_s=0.001)
    assert view["group"] == "done"
    assert view["may"] == []
    assert not view["is_late"]
    assert not any(stage["is_current"] for stage in view["way"])


def test_a_passage_is_late_when_its_conductor_says_so_whatever_the_clock_says() -> None:
    passage = walked((State.COMPLETE, 1))  # years ago, or years ahead
    assert not passage_view(passage, deadline_s=60)["is_late"]
    passage.is_late = True
    assert passage_view(passage, deadline_s=60)["is_late"]


def test_what_a_passage_waits_for_is_told_until_it_moves() -> None:
    passage = walked((State.COMPLETE, 1))
    assert passage_view(passage, deadline_s=60)["waiting"] is None
    passage.waiting = ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("timeout"))
    waiting = passage_view(passage, deadline_s=60)["waiting"]
    assert waiting is not None
    assert (waiting["code"], waiting["facts"]) == (
        "CONTOURER_UNREACHABLE",
        [{"name": "reason", "value": "timeout"}],
    )
    passage.move(State.CHECKED)
    assert passage_view(passage, deadline_s=60)["waiting"] is None


def test_alarms_and_queues_are_part_of_the_status() -> None:
    concern = Concern(GatewayError("RECEIPT_MISSING"), "ab" * 16, START)
    queue = Queue("TPS", 3, True, PeerError("PEER_UNREACHABLE"))
    status = status_view(made_config(1), [], Readiness(), [concern], [queue])
    (alarm,), (shown,) = status["alarms"], status["queues"]
    assert (alarm["code"], alarm["about"]) == ("RECEIPT_MISSING", "ab" * 16)
    assert alarm["since"] == "2026-03-01T08:00:00.000Z"
    assert (shown["name"], shown["waiting"], shown["is_paused"]) == ("TPS", 3, True)
    assert shown["reason"] is not None
    assert shown["reason"]["code"] == "PEER_UNREACHABLE"
    assert status["is_ready"]
    json.dumps(status)


def test_destinations_say_which_has_it() -> None:
    passage = made_passage(State.RESTORED)
    passage.delivered_to = ("ARCHIVE",)
    view = passage_view(passage, deadline_s=60)
    assert view["destinations"] == [{"name": "TPS", "has_it": False}, {"name": "ARCHIVE", "has_it": True}]


def test_tags_numbers_and_words_are_told_as_they_are_written_elsewhere() -> None:
    error = DeidentificationError(
        "DEID_IDENTIFIER_FOUND", tag=Tag(0x0008103E), slices=3, at_mm=0.1 + 0.2, name=Word("series")
    )
    assert [fact["value"] for fact in reason_view(error)["facts"]] == ["(0008,103E)", "3", "0.3", "series"]


def test_the_status_counts_what_is_held_on_the_way_done_and_late() -> None:
    passages = [
        made_passage(State.HELD, held_from=State.SEALED),
        made_passage(State.CONTOURING),
        made_passage(State.RECEIVING),
        made_passage(State.DELIVERED),
    ]
    passages[1].is_late = True
    waiver = Waiver(protection=Protection.MLOCK, until=date(2027, 1, 31), reason="container")
    config = made_config(1, lockdown=Lockdown(waivers=(waiver,)))
    status = status_view(config, passages, Readiness(("DRAINING",)))
    assert (status["held"], status["active"], status["done"], status["late"]) == (1, 2, 1, 1)
    assert status["is_draining"]
    assert not status["is_ready"]
    assert status["waivers"] == [{"protection": "mlock", "until": "2027-01-31", "reason": "container"}]
    json.dumps(status)


def test_readiness_gives_each_reason_with_its_hint() -> None:
    assert readiness_view(Readiness()) == []
    (reason,) = readiness_view(Readiness(("INTAKE_PAUSED",)))
    assert reason["hint"] == CATALOGUE["INTAKE_PAUSED"].hint


def outline(roi: str, *, colour: tuple[int, int, int] = (255, 0, 0)) -> Outline:
    return Outline(roi, colour, (np.array([[0.123456, 1], [2, 1], [2, 3]], np.float32),))


def test_rois_are_gathered_over_the_slices() -> None:
    pictures = pictures_view([[outline("A")], [], [outline("A"), outline("B"), outline("A")]])
    assert pictures["slices"] == 3
    assert [(roi["name"], roi["slices"]) for roi in pictures["rois"]] == [("A", [0, 2]), ("B", [2])]


def test_outlines_refer_to_the_rois_that_are_listed() -> None:
    names = [*HOSTILE_NAMES, "Heart", "heart", "\ud800"]
    pictures = pictures_view([[outline(name) for name in names]])
    keys = [view["roi"] for view in outline_views([outline(name) for name in names])]
    assert keys == [roi["key"] for roi in pictures["rois"]]
    assert len(set(keys)) == len(names)


def test_rings_are_flat_and_keep_a_hundredth_of_a_pixel() -> None:
    (view,) = outline_views([outline("A")])
    assert view["rings"] == [[12, 100, 200, 100, 200, 300]]


def test_a_key_says_nothing_of_the_name() -> None:
    assert all(roi_key(name).isalnum() for name in HOSTILE_NAMES)
