"""The kinds of values that the configuration has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.config_types import AETitle, File, Name, Network, Pattern, Port, Seconds


def is_taken(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("text", ["A", "CONTOURGATE", "ECLIPSE DB", "a-b_c.d@e", "SIXTEEN_LETTERS_"])
def test_an_ae_title_is_one(text: str) -> None:
    assert is_taken(AETitle, text)


@pytest.mark.parametrize(
    "text", ["", " A", "A ", "A\\B", "SEVENTEEN_LETTERS", "A\nB", "A\rB", "A\x1bB", "A\x00B", "Ä"]
)
def test_what_cannot_stand_in_an_association_is_no_ae_title(text: str) -> None:
    assert not is_taken(AETitle, text)


@given(st.text(max_size=20))
def test_every_ae_title_is_printable_ascii_of_at_most_16(text: str) -> None:
    if is_taken(AETitle, text):
        assert 0 < len(text) <= 16
        assert text.isascii()
        assert text.isprintable()
        assert text == text.strip()


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Network, ["10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "::1", "fd00::/8"], ["10.0.0.300", "host", "", 1]),
        (Pattern, ["(?i)rt plan", ""], ["(", "*", 1]),
        (Port, [1, 104, 65535], [0, 65536, "104", True, 104.0]),
        (Name, ["tps", "TPS-2.b_c", "x" * 32], ["", "-x", "the tps", "x" * 33, "x\n", "é", 1]),
        (Seconds, [0.5, 1, 1e9], [0, -1, float("inf"), float("nan"), "5", True]),
    ],
)
def test_each_kind_takes_what_it_is_for(kind: Any, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not is_taken(kind, value)] == []
    assert [value for value in bad if is_taken(kind, value)] == []


def test_a_relative_path_is_taken_from_the_folder_in_the_context() -> None:
    adapter = TypeAdapter[Path](File)
    assert adapter.validate_python("var/x", context=Path("/etc")) == Path("/etc/var/x")
    assert adapter.validate_python("/var/x", context=Path("/etc")) == Path("/var/x")
    assert adapter.validate_python("var/x") == Path("var/x")


def test_a_broken_pattern_says_why() -> None:
    with pytest.raises(ValidationError, match=re.escape("missing ), unterminated subpattern")):
        TypeAdapter(Pattern).validate_python("(")
