"""Decimal strings: the fast conversion says what `float` says, or refuses."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dicom.decimals import decimals

plain = st.from_regex(r"-?[0-9]{1,8}(\.[0-9]{0,14})?", fullmatch=True)
odd = st.from_regex(r"[+-]?([0-9]{1,9}(\.[0-9]{0,13})?|\.[0-9]{1,14})([eE][+-]?[0-9]{1,2})?", fullmatch=True)
space = st.sampled_from(["", " "])
spaced = st.tuples(space, odd, space).map("".join)
written = (plain | spaced).filter(lambda text: len(text) <= 16)


@given(st.lists(written, min_size=1, max_size=40))
@example(
    ["-0.5", "3", "99999999.9999999", ".5", "-.5", "5.", "123456789", "1e3", "0", "-0", "-12.345678901234"]
)
def test_every_decimal_string_becomes_the_number_that_float_makes_of_it(texts):
    numbers = decimals("\\".join(texts).encode())
    assert numbers == pytest.approx([float(text) for text in texts], rel=1e-15, abs=0)


@given(st.binary(min_size=1, max_size=60))
def test_bytes_are_either_refused_or_understood_as_float_understands_them(octets):
    try:
        numbers = decimals(octets)
    except ValueError:
        return
    expected = [float(text) for text in octets.split(b"\\")]
    assert numbers == pytest.approx(expected, rel=1e-15, abs=0)
    assert all(map(math.isfinite, expected))


@pytest.mark.parametrize(
    "text",
    [b"\\1", b"1\\", b"1\\\\2", b"1.2.3", b"--1", b"1-", b"1 2", b"nan", b"inf", b"1e999", b"0x10", b"1_0", b".",
     b"-", b" ", b"12345678901234567", b"1\x00", "\u0661".encode(), b"1:2", b"/", b"1.5/", b":", b"1.123456789:"],
)  # fmt: skip
def test_what_is_no_decimal_string_is_refused(text):
    with pytest.raises(ValueError, match="decimal string"):
        decimals(text)


def test_no_value_is_no_number():
    assert len(decimals(b"")) == 0


def test_a_long_list_is_converted_in_order():
    expected = np.round(np.linspace(-250, 250, 30_001), 3)
    text = b"\\".join(b"%.3f" % number for number in expected)
    assert decimals(text) == pytest.approx(expected, rel=1e-15)


def test_a_refusal_does_not_show_the_value():
    with pytest.raises(ValueError, match="decimal") as refusal:
        decimals(b"1\\CANARY")
    assert "CANARY" not in str(refusal.value)
