"""Projections are what numpy says of the whole stack, whatever the order and the type."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gateway.pixels.projections import KEPT, Projections

TYPES = ("<i2", "<u2", "|u1", "|i1")


@given(
    st.sampled_from(TYPES).flatmap(
        lambda kind: npst.arrays(np.dtype(kind), st.tuples(st.integers(1, KEPT), st.just(5), st.just(4)))
    )
)
@settings(max_examples=50)
def test_they_agree_with_the_whole_stack(stack: np.ndarray) -> None:
    projections = Projections(stack[0])
    for values in stack[1:]:
        projections.add(values)
    assert np.array_equal(projections.minimum, stack.min(axis=0))
    assert np.array_equal(projections.maximum, stack.max(axis=0))
    assert np.allclose(projections.mean(), stack.mean(axis=0), rtol=1e-5)
    assert np.allclose(projections.median(), np.median(stack, axis=0))


@pytest.mark.parametrize("count", [1, 15, 16, 31, 100, 517])
def test_the_median_is_of_slices_spread_over_the_whole_series(count: int) -> None:
    stack = np.arange(count, dtype="<i2")[:, None, None] * np.ones((1, 2, 3), "<i2")
    projections = Projections(stack[0])
    for values in stack[1:]:
        projections.add(values)
    assert projections.median()[0, 0] == pytest.approx((count - 1) / 2, abs=count / 8 + 0.5)


def test_later_changes_of_a_slice_do_not_reach_them() -> None:
    values = np.zeros((2, 2), "<i2")
    projections = Projections(values)
    values += 9
    assert projections.maximum.max() == 0
    assert projections.median().max() == 0


@pytest.mark.parametrize("other", [np.zeros((3, 2), "<i2"), np.zeros((2, 2), "<u2")])
def test_another_matrix_or_type_is_refused(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="matrices"):
        Projections(np.zeros((2, 2), "<i2")).add(other)


def test_thousands_of_white_slices_do_not_overflow() -> None:
    white = np.full((1, 1), 65535, "<u2")
    projections = Projections(white)
    for _ in range(4999):
        projections.add(white)
    assert projections.mean()[0, 0] == pytest.approx(65535, rel=1e-4)
