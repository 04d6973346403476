from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contourer.engine.keyhole import Ring
from gateway.contourer.engine.simplify import simplified


def ring(points, anchored=()):
    marks = np.zeros(len(points), bool)
    marks[list(anchored)] = True
    return Ring(np.array(points, float), marks)


def distance_to(points, outline):
    """How far points lie from a closed outline at most."""
    begins, ends = outline, np.roll(outline, -1, axis=0)
    along = ends - begins
    away = points[:, np.newaxis] - begins
    share = np.clip((away * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12), 0, 1)
    return np.hypot(*np.moveaxis(away - share[..., np.newaxis] * along, -1, 0)).min(axis=1).max()


SQUARE = (
    [(x, 0) for x in range(10)]
    + [(10, y) for y in range(10)]
    + [(x, 10) for x in range(10, 0, -1)]
    + [(0, y) for y in range(10, 0, -1)]
)


def test_points_on_straight_edges_are_left_out():
    (points,) = simplified([ring(SQUARE)], 0.01, 1000)
    assert sorted(map(tuple, points.tolist())) == [(0, 0), (0, 10), (10, 0), (10, 10)]


def test_anchored_points_stay():
    (points,) = simplified([ring(SQUARE, anchored=[4, 17])], 0.01, 1000)
    kept = set(map(tuple, points.tolist()))
    assert {SQUARE[4], SQUARE[17]} <= kept


def test_outlines_are_simplified_together_as_each_alone():
    random = np.random.default_rng(4)
    many = [ring(random.random((n, 2)) * 10) for n in (3, 50, 4, 200)]
    together = simplified(many, 0.3, 1000)
    alone = [simplified([one], 0.3, 1000)[0] for one in many]
    assert all((a == b).all() for a, b in zip(together, alone, strict=True))


def test_an_outline_of_too_many_points_gets_a_wider_tolerance():
    turn = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    radius = 50 + np.random.default_rng(4).random(5000)
    noisy = np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])
    (points,) = simplified([ring(noisy)], 1e-3, 300)
    assert 20 <= len(points) <= 300
    assert distance_to(noisy, points) < 2


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=60, unique=True),
    st.floats(0.01, 5),
)
def test_no_point_moves_farther_than_the_tolerance(points, tolerance):
    (kept,) = simplified([ring(points)], tolerance, 1000)
    assert distance_to(np.array(points, float), kept) <= tolerance + 1e-6


def test_nothing_comes_of_nothing():
    assert simplified([], 1, 10) == []
