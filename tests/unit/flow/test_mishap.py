"""A fault of the program is told by its place, never by what it says."""

from __future__ import annotations

import traceback

import pytest

from gateway.flow.check import check_geometry
from gateway.flow.mishap import mishap

CANARY = "Mishap^Canary"


def fault() -> Exception:
    try:
        check_geometry([CANARY, CANARY], "CT")  # type: ignore[list-item]
    except AttributeError as error:
        return error
    raise AssertionError("it did not stumble")


def test_the_place_in_the_program_is_told_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    stumbled = fault()
    assert "str" in "".join(
        traceback.format_exception_only(stumbled)
    )  # control: the exception itself says more
    error = mishap(stumbled, "0" * 32)
    assert error.code == "PROGRAM_FAULT"
    assert error.facts["kind"] == "AttributeError"
    assert str(error.facts["where"]).startswith("gateway.flow.check:")
    said = capsys.readouterr().out + repr(error) + str(error.facts)
    assert CANARY not in said
    assert "str" not in said.replace("structlog", "")


def test_a_fault_without_a_place_is_told_as_well() -> None:
    error = mishap(ValueError(CANARY), "0" * 32)
    assert error.facts == {"kind": "ValueError", "where": "unknown"}
    assert error.__traceback__ is None
    assert error.__cause__ is None
