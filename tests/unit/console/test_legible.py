"""Names and colours from a contourer."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.console.legible import ROI_NAME_LIMIT, legible_colour, legible_name


@given(st.text(max_size=200))
def test_no_shown_name_acts_on_the_text_around_it(name: str) -> None:
    shown = legible_name(name)
    assert 0 < len(shown) <= ROI_NAME_LIMIT
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_an_override_is_what_the_check_of_names_would_find() -> None:
    """The control of the test above."""
    assert unicodedata.category("\N{RIGHT-TO-LEFT OVERRIDE}") == "Cf"
    assert legible_name("a\N{RIGHT-TO-LEFT OVERRIDE}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("name", ["Heart", "Plexus brachialis li.", "Œsophage", "心臓", "قلب"])
def test_an_ordinary_name_is_shown_as_it_is(name: str) -> None:
    assert legible_name(name) == name


@given(st.tuples(*[st.integers(-10, 300)] * 3))
def test_every_colour_can_be_told_from_black(colour: tuple[int, int, int]) -> None:
    shown = legible_colour(colour)
    channels = [int(shown[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert (luminance + 0.05) / 0.05 > 4.5


def test_a_bright_colour_is_kept() -> None:
    assert legible_colour((255, 225, 80)) == "#ffe150"
