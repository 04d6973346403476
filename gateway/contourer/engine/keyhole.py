"""A region with holes as one ring: each hole is joined to the outside by a channel without width.

A closed planar contour cannot say that another one is a hole; the keyhole technique can (PS3.3 C.8.8.6.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Ring", "keyholed"]

Points = NDArray[np.float64]


class Ring(NamedTuple):
    """An outline; the last point is joined to the first."""

    points: Points
    """(n, 2)"""
    anchored: NDArray[np.bool_]
    """(n,): the ends of a channel, which must stay when the ring is simplified."""


class _Channel(NamedTuple):
    length: float
    at_ring: int
    at_hole: int


def keyholed(outer: Points, holes: Sequence[Points]) -> Ring:
    """Join the holes of a region to its outline.

    The nearest hole is joined first, by the shortest channel to what is joined already, so that no channel crosses
    another outline.

    Parameters
    ----------
    outer : (n, 2) array
        The outline of the region, without its first point repeated.
    holes : sequence of (m, 2) arrays
        The outlines of the holes, turning the other way.

    Returns
    -------
    Ring
        One outline whose signed area is the region's.
    """
    ring = Ring(outer, np.zeros(len(outer), bool))
    if not holes:
        return ring
    known = cKDTree(outer)
    channels = {number: _shortest_channel(known, hole) for number, hole in enumerate(holes)}
    lows, highs = (
        np.array([hole.min(axis=0) for hole in holes]),
        np.array([hole.max(axis=0) for hole in holes]),
    )
    while channels:
        nearest = min(channels, key=lambda number: channels[number].length)
        hole, channel = holes[nearest], channels.pop(nearest)
        ring, moved = _joined(ring, hole, channel)
        joined = cKDTree(hole)
        apart = np.hypot(*np.maximum(0, np.maximum(lows - highs[nearest], lows[nearest] - highs)).T)
        for number, before in channels.items():
            if apart[number] < before.length:
                new = _shortest_channel(joined, holes[number])
                if new.length < before.length:
                    # The hole's points now stand in the ring from `at_ring + 1`, rolled to begin at the channel.
                    place = channel.at_ring + 1 + (new.at_ring - channel.at_hole) % len(hole)
                    channels[number] = _Channel(new.length, place, new.at_hole)
                    continue
            if before.at_ring > channel.at_ring:
                channels[number] = before._replace(at_ring=before.at_ring + moved)
    return ring


def _shortest_channel(ring: cKDTree, hole: Points) -> _Channel:
    lengths, at_ring = ring.query(hole)
    at_hole = int(np.argmin(lengths))
    return _Channel(float(lengths[at_hole]), int(at_ring[at_hole]), at_hole)


def _joined(ring: Ring, hole: Points, channel: _Channel) -> tuple[Ring, int]:
    """Walk the ring to the channel, round the hole, back through the channel, and on.

    Returns
    -------
    ring : Ring
        The ring with the hole.
    moved : int
        How far the points after the channel moved in it.
    """
    cut, start = channel.at_ring + 1, channel.at_hole
    detour = np.concatenate([hole[start:], hole[: start + 1], ring.points[channel.at_ring : cut]])
    marks = np.zeros(len(detour), bool)
    marks[[0, -2, -1]] = True
    anchored = ring.anchored.copy()
    anchored[channel.at_ring] = True
    return Ring(
        np.concatenate([ring.points[:cut], detour, ring.points[cut:]]),
        np.concatenate([anchored[:cut], marks, anchored[cut:]]),
    ), len(detour)
