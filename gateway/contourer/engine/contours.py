"""Masks become outlines: closed, planar, in mm, finer than the pixels and with few points.

The mask is smoothed a little and cut at one half, which puts the outline between the pixels where the edge lies;
points that say nothing within the tolerance are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple, cast

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray
from scipy import ndimage

from gateway.contourer.engine.grid import window_of
from gateway.contourer.engine.keyhole import Points, Ring, keyholed
from gateway.contourer.engine.simplify import simplified
from gateway.contourer.engine.volume import Volume

__all__ = ["Outline", "outlines", "rings"]

SMOOTHING_PIXELS: Final = 0.7
"""Enough to take the stairs off an edge; a bone one pixel wide survives."""
TOLERANCE_MM: Final = 0.15
MOST_POINTS: Final = 2000
"""Keeps ContourData below the 65,534 bytes of an explicit VR with a short length (PS3.5 7.1.2)."""
_LEAST_PIXELS: Final = 1.0
"""Smaller outlines are noise."""
_MOST_HOLES: Final = 250
"""More holes in one region are noise; the smallest are left out."""


class Outline(NamedTuple):
    """A closed planar contour."""

    slice_index: int
    points_mm: NDArray[np.float64]
    """(n, 3), in the patient coordinate system; the last is joined to the first."""


def outlines(mask: NDArray[np.bool_], volume: Volume) -> list[Outline]:
    """Outline a structure on each slice that it is on.

    Parameters
    ----------
    mask : (slices, rows, columns) array of bool
        The structure, on the voxels of `volume`.
    """
    spacing = (volume.row_mm, volume.column_mm)
    on, traced = [], []
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        for ring in _traced(mask[index], spacing):
            on.append(int(index))
            traced.append(ring)
    return [
        Outline(index, volume.plane_to_mm(index, points))
        for index, points in zip(on, simplified(traced, TOLERANCE_MM, MOST_POINTS), strict=True)
        if len(points) >= 3
    ]


def rings(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> list[Points]:
    """Outline the regions of one slice, each with its holes keyholed.

    Parameters
    ----------
    mask : (rows, columns) array of bool
        The regions.
    spacing_mm : (float, float)
        Distance between rows, distance between columns.

    Returns
    -------
    list of (n, 2) arrays
        Distances from the first pixel's centre in mm, along the columns' axis and along the rows'.
    """
    found = simplified(list(_traced(mask, spacing_mm)), TOLERANCE_MM, MOST_POINTS)
    return [points for points in found if len(points) >= 3]


def signed_area(ring: Points) -> float:
    """Tell the area that a ring encloses; negative where it turns clockwise."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _traced(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Iterator[Ring]:
    """Follow the edges of one slice's regions, with all the points that the pixels give."""
    if not mask.any():
        return
    window = window_of(mask, margin=0)
    margin = 3
    cut = np.pad(mask[window], margin).astype(np.float32)
    smooth = ndimage.gaussian_filter(cut, SMOOTHING_PIXELS, mode="constant", truncate=3.0)
    corner = np.array([window[1].start - margin, window[0].start - margin], np.float64)
    generator = contour_generator(z=smooth, fill_type=FillType.OuterOffset)
    parts, offsets = cast("tuple[list[Points], list[NDArray[np.uint32]]]", generator.filled(0.5, 2.0))
    scale = np.array([spacing_mm[1], spacing_mm[0]])
    least = _LEAST_PIXELS * spacing_mm[0] * spacing_mm[1]
    for points, starts in zip(parts, offsets, strict=True):
        located = (points + corner) * scale
        outer, *holes = (located[begin : end - 1] for begin, end in pairwise(starts))
        if abs(signed_area(outer)) < least:
            continue
        sizes = [abs(signed_area(hole)) for hole in holes]
        largest = sorted(
            (number for number, size in enumerate(sizes) if size >= least), key=lambda n: -sizes[n]
        )
        yield keyholed(outer, [holes[number] for number in largest[:_MOST_HOLES]])
