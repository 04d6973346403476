"""The trachea and the main bronchi, so far as they lie apart from the lungs on a slice.

In: the air inside the body, on the coarse grid. Out: the part of it that is airway.

The trachea is looked for from the head down, as a small dark region near the middle of the body that goes on from
slice to slice; what it overlaps on the next slice down is followed as long as it stays small.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gateway.contourer.engine.grid import IN_PLANE, CoarseGrid, Mask, grown, label_sizes

__all__ = ["airway"]

_TRACHEA_CM2: Final = (0.5, 6.0)
_LEAST_CM2: Final = 0.1
_BRONCHUS_CM2: Final = 7.0
"""Beyond this the airway has met the lung."""
_DARK_HU: Final = -930
"""The darkest fifth of an airway is at most this; lung is hardly ever."""
_ASIDE_MM: Final = 40.0
"""The trachea lies at most so far beside the midline."""
_SHORTEST_MM: Final = 12.0


def airway(air: Mask, midline: NDArray[np.float64] | None, grid: CoarseGrid) -> Mask:
    """Find the airway and its wall.

    Parameters
    ----------
    air : (slices, coarse rows, coarse columns) array of bool
        What is less dense than tissue, inside the body.
    midline : (slices,) array of float, or None
        The coarse column of the body's midline, where it is known.

    Returns
    -------
    (slices, coarse rows, coarse columns) array of bool
        The airway, grown by a pixel so that its wall parts it from the lung.
    """
    labels, count = ndimage.label(air, IN_PLANE)
    area_cm2 = label_sizes(labels, count) * grid.pixel_cm2
    places = [(slice(0),) * 3, *ndimage.find_objects(labels)]
    follow = np.zeros(count + 1, bool)
    for number in np.flatnonzero((area_cm2 >= _LEAST_CM2) & (area_cm2 <= _BRONCHUS_CM2)):
        values = grid.voxels[places[number]][labels[places[number]] == number]
        follow[number] = float(np.percentile(values, 20)) <= _DARK_HU
    found = np.zeros(count + 1, bool)
    for number in np.flatnonzero(follow & (area_cm2 >= _TRACHEA_CM2[0]) & (area_cm2 <= _TRACHEA_CM2[1]))[
        ::-1
    ]:
        top, columns = int(places[number][0].start), places[number][2]
        middle = (columns.start + columns.stop - 1) / 2
        aside_mm = 0.0 if midline is None else abs(middle - midline[top]) * grid.pitch_mm[1]
        if found[number] or aside_mm > _ASIDE_MM:
            continue
        path, bottom = _downwards(int(number), top, labels, follow)
        if (top - bottom) * grid.slice_mm >= _SHORTEST_MM:
            found[path] = True
    return grown(found[labels], 1)


def _downwards(
    start: int, top: int, labels: NDArray[np.int32], follow: NDArray[np.bool_]
) -> tuple[list[int], int]:
    """Follow a region to the slices below.

    Returns
    -------
    path : list of int
        The labels on the way.
    bottom : int
        The last slice.
    """
    path, current, bottom = [start], [start], top
    while bottom > 0:
        below = np.unique(labels[bottom - 1][np.isin(labels[bottom], current)])
        current = [int(number) for number in below if number and follow[number]]
        if not current:
            break
        path += current
        bottom -= 1
    return path, bottom
