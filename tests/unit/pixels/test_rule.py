"""What a recogniser makes of anatomy is not text; what people burn in is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pixels.rule import BEYOND_DOUBT, LIKE_STROKES, SURE, letters_of_text


@pytest.mark.parametrize(
    ("reading", "score"),
    [
        ("INVENTED PERSON", 0.99),
        ("Invented^Person", 0.8),
        ("01.02.1933", 0.97),
        ("ID 4711", 0.76),
        ("4711", 0.9),
        ("M 042Y", 0.95),
        ("42", 0.99),
        ("Ångström", 0.9),
        ("王小明", 0.9),
        ("Иванова", 0.9),
    ],
)
def test_names_dates_and_numbers_are_text(reading: str, score: float) -> None:
    assert letters_of_text(reading, score) == sum(sign.isalnum() for sign in reading)


@pytest.mark.parametrize(
    ("reading", "score"),
    [
        ("C", 0.96),  # the edge of a body in a minimum projection
        ("8", 0.66),  # a head in its rest
        ("O", 1.0),
        ("SA", 0.62),  # a wrist
        ("R", 1.0),  # a side marker: identifies nobody
        ("111", 0.9),  # ribs
        ("lIl|", 0.95),
        ("0oO", 0.9),
        ("EXAMPLE", 0.3),
        ("---...", 0.99),
        ("", 0.0),
    ],
)
def test_what_anatomy_reads_as_is_no_text(reading: str, score: float) -> None:
    assert letters_of_text(reading, score) == 0


@given(st.text(), st.floats(0, 1))
def test_no_text_counts_that_the_recogniser_is_not_sure_of(reading: str, score: float) -> None:
    if letters_of_text(reading, score):
        assert score >= SURE
        assert score >= BEYOND_DOUBT or sum(sign.isalnum() for sign in reading) > 2


@given(st.text(alphabet=sorted(LIKE_STROKES)), st.floats(0, 1))
def test_lines_and_rings_alone_are_no_text(reading: str, score: float) -> None:
    assert letters_of_text(reading, score) == 0
