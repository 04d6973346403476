"""Fewer points for the same outline: what lies within a tolerance of the line between its neighbours is left out.

Douglas and Peucker's method, but all segments of all outlines are split level by level in one go: a structure of some
hundred slices takes a fraction of a second instead of many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.contourer.engine.keyhole import Points, Ring

__all__ = ["simplified"]


def simplified(rings: Sequence[Ring], tolerance: float, most_points: int) -> list[Points]:
    """Simplify closed outlines.

    Parameters
    ----------
    rings : sequence of Ring
        Their anchored points stay.
    tolerance : float
        How far an outline may move at most, in the points' unit.
    most_points : int
        For an outline that keeps more, the tolerance is doubled until it does not.

    Returns
    -------
    list of (n, 2) arrays
    """
    if not rings:
        return []
    closed = [np.concatenate([ring.points, ring.points[:1]]) for ring in rings]
    ends = np.cumsum([len(points) for points in closed])
    starts = ends - [len(points) for points in closed]
    fixed = np.zeros(ends[-1], bool)
    for ring, start, end in zip(rings, starts, ends, strict=True):
        fixed[start : end - 1] = ring.anchored
        fixed[[start, end - 1]] = True
        # A closed line needs a point on its far side to be a line at all.
        fixed[start + int(np.argmax(((ring.points - ring.points[0]) ** 2).sum(axis=1)))] = True
    kept = _kept(np.concatenate(closed), fixed, tolerance)
    made = []
    for ring, start, end in zip(rings, starts, ends, strict=True):
        points = ring.points[kept[start : end - 1]]
        if len(points) > most_points:
            (points,) = simplified([ring], tolerance * 2, most_points)
        made.append(points)
    return made


def _kept(points: Points, fixed: NDArray[np.bool_], tolerance: float) -> NDArray[np.bool_]:
    """Tell which points of a line stay, given some that do."""
    kept = fixed.copy()
    stops = np.flatnonzero(fixed)
    begins, ends = stops[:-1], stops[1:]
    while True:
        between = ends - begins - 1
        begins, ends, between = begins[between > 0], ends[between > 0], between[between > 0]
        if not len(begins):
            return kept
        first = np.cumsum(between) - between
        owner = np.repeat(np.arange(len(begins)), between)
        index = np.arange(len(owner)) - first[owner] + begins[owner] + 1
        distance = _distances(points[index], points[begins][owner], points[ends][owner])
        farthest = np.maximum.reduceat(distance, first)
        candidates = np.flatnonzero((distance == farthest[owner]) & (distance > tolerance))
        split, at = np.unique(owner[candidates], return_index=True)
        if not len(split):
            return kept
        middle = index[candidates[at]]
        kept[middle] = True
        begins, ends = np.concatenate([begins[split], middle]), np.concatenate([middle, ends[split]])


def _distances(points: Points, begins: Points, ends: Points) -> NDArray[np.float64]:
    """Tell how far each point lies from its own segment."""
    along, away = ends - begins, points - begins
    length2 = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip((along * away).sum(axis=1) / length2, 0, 1)
    return np.asarray(np.hypot(*(away - share[:, np.newaxis] * along).T))
