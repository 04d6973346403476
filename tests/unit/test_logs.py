"""What a log may tell."""

import io
import json
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PeerError, Word
from gateway.logs import FIELDS, WITHHELD, Admission, is_event


class Colour(StrEnum):
    RED = "red"


class Shade(Enum):
    DARK = (1, 2)


def _told(**fields: Any) -> dict[str, Any]:
    event = {"event": "something happened", "time": "", **fields}
    told = Admission({"CTSIM"})(structlog.PrintLogger(io.StringIO()), "info", event)
    return json.loads(json.dumps(dict(told)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, 3),
        (0.5, 0.5),
        (True, True),
        (None, None),
        ("", ""),
        (Word("a word"), "a word"),
        (Colour.RED, "red"),
        (Shade.DARK, "DARK"),
        ("CONFIG_INVALID", "CONFIG_INVALID"),
        ("CTSIM", "CTSIM"),
        ("0123456789abcdef", "0123456789abcdef"),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00+00:00"),
        ([1, "MUSTERMANN"], [1, WITHHELD]),
        ("MUSTERMANN", WITHHELD),
        ("GATE\nWAY", WITHHELD),
        (b"MUSTERMANN", WITHHELD),
        ({"name": "MUSTERMANN"}, WITHHELD),
        (ValueError("MUSTERMANN"), WITHHELD),
        (PeerError("PEER_STATUS", status=0xA700), {"code": "PEER_STATUS", "status": 0xA700}),
    ],
)
def test_a_value_is_shown_only_where_it_cannot_be_a_patients(value: object, shown: object) -> None:
    assert _told(reason=value)["reason"] == shown


def test_a_field_that_is_not_listed_is_dropped() -> None:
    assert "patient" not in FIELDS
    assert set(_told(patient=1, count=2)) == {"time", "level", "event", "count"}


@given(st.text())
def test_an_event_is_words_of_the_program_or_withheld(text: str) -> None:
    told = Admission(())(structlog.PrintLogger(io.StringIO()), "info", {"event": text})
    assert told["event"] == (text if is_event(text) else WITHHELD)
    assert "\n" not in told["event"]


def test_an_exception_is_told_by_kind_code_and_place_of_itself_and_its_causes() -> None:
    try:
        try:
            raise ValueError("MUSTERMANN")
        except ValueError as cause:
            raise PeerError("PEER_ABORTED") from cause
    except PeerError as error:
        told = _told(exc_info=error)["error"]
    assert [each["kind"] for each in told] == ["gateway.errors.PeerError", "builtins.ValueError"]
    assert told[0]["code"] == "PEER_ABORTED"
    assert all("tests/unit/test_logs.py:" in place for each in told for place in each["places"])
    assert "MUSTERMANN" not in json.dumps(told)


def test_a_hidden_cause_stays_hidden() -> None:
    def fail() -> None:
        try:
            raise ValueError
        except ValueError:
            raise PeerError("PEER_ABORTED") from None

    with pytest.raises(PeerError) as caught:
        fail()
    assert len(_told(exc_info=caught.value)["error"]) == 1
