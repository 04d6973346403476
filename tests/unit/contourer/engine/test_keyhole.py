from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contourer.engine.contours import signed_area
from gateway.contourer.engine.keyhole import keyholed


def square(x, y, half, clockwise=False):
    corners = np.array(
        [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]], float
    )
    return corners[::-1] if clockwise else corners


def edges_crossed(ring, *, of):
    """Count the edges of `ring` that properly cross an edge of `of`."""
    crossed = 0
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        for c, d in zip(of, np.roll(of, -1, axis=0), strict=True):

            def side(p, q, r):
                return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

            crossed += side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
    return crossed


def test_a_region_without_holes_stays_as_it_is():
    ring = keyholed(square(0, 0, 5), [])
    assert (ring.points == square(0, 0, 5)).all()
    assert not ring.anchored.any()


def test_the_area_of_a_keyholed_ring_is_the_region_without_its_hole():
    ring = keyholed(square(0, 0, 5), [square(1, 1, 2, clockwise=True)])
    assert signed_area(ring.points) == 100 - 16


def test_the_channel_is_walked_both_ways_and_anchored():
    ring = keyholed(square(0, 0, 5), [square(2, 2, 2, clockwise=True)])
    assert ring.anchored.sum() == 4
    ends = ring.points[ring.anchored]
    assert (ends[0] == ends[3]).all()
    assert (ends[1] == ends[2]).all()


def test_channels_do_not_cross_other_holes():
    holes = [square(x, 0, 0.8, clockwise=True) for x in (-6, -3, 0, 3, 6)]
    outer = square(0, 0, 10)
    ring = keyholed(outer, holes)
    assert np.isclose(signed_area(ring.points), 400 - 5 * 1.6**2)
    for hole in holes:
        assert edges_crossed(ring.points, of=hole) == 0


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=30))
def test_any_number_of_holes_is_joined_into_one_ring_of_the_right_area(places):
    holes = [square(2 * x, 2 * y, 0.4, clockwise=True) for x, y in sorted(places)]
    ring = keyholed(square(0, 0, 10), holes)
    assert len(ring.points) == 4 + len(holes) * 6
    assert np.isclose(signed_area(ring.points), 400 - 0.64 * len(holes))
    for hole in holes:
        assert edges_crossed(ring.points, of=hole) == 0
