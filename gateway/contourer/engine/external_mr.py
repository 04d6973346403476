"""The outline of the body on MR, which has no unit and no couch.

In: a volume of MR, cut in any direction. Out: a mask on its voxels. Refuses a volume without signal.

The air around the body is the darkest there is, reaches the edge of the image and is thick; bone, tendons and gas are
as dark, but lie inside or are thin. So the air is sought, and the rest is body.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gateway.contourer.engine.grid import (
    IN_PLANE,
    CoarseGrid,
    Mask,
    grown,
    in_plane_border,
    label_sizes,
    shrunk,
)
from gateway.contourer.engine.volume import Volume
from gateway.errors import ContourerRefused

__all__ = ["external_mr"]

_MATRIX: Final = 200
"""About so many coarse pixels across: MR shows a wrist as well as a trunk."""
_DARKEST_PERCENT: Final = 2.0
_AIR_TO_DARKEST: Final = 2.5
"""Noise of a magnitude image hardly exceeds its mean by more (Rayleigh's distribution), once smoothed."""
_AIR_TO_BRIGHT: Final = 0.06
_CONTRAST: Final = 2.0
"""Without parts this much brighter than the darkest there is no body in the air."""
_THIN_SHARE: Final = 0.03
"""Of the matrix: a dark gap at the edge of the image narrower than this is no air."""
_SECOND_PART: Final = 0.03


def external_mr(volume: Volume) -> Mask:
    """Find the body.

    Returns
    -------
    (slices, rows, columns) array of bool

    Raises
    ------
    ContourerRefused
        NOTHING_TO_CONTOUR.
    """
    grid = CoarseGrid.of(volume, max(1, round(min(volume.voxels.shape[1:]) / _MATRIX)))
    calm = ndimage.uniform_filter(grid.voxels.astype(np.float32), (1, 5, 5), mode="nearest")
    threshold = _air_threshold(calm)
    air = _air(calm < threshold)
    labels, count = ndimage.label(~air)
    sizes = label_sizes(labels, count)
    if not count:
        raise ContourerRefused("NOTHING_TO_CONTOUR")
    return _refined(
        _filled(np.asarray((sizes >= _SECOND_PART * sizes.max())[labels])), volume, grid, threshold
    )


def _air_threshold(calm: NDArray[np.float32]) -> float:
    darkest, bright = (float(value) for value in np.percentile(calm, [_DARKEST_PERCENT, 95]))
    if bright <= max(_CONTRAST * darkest, 1.0):
        raise ContourerRefused("NOTHING_TO_CONTOUR")
    return max(_AIR_TO_DARKEST * darkest, _AIR_TO_BRIGHT * bright)


def _air(dark: Mask) -> Mask:
    """Leave of the dark what is thick and reaches the edge of the image."""
    reach = max(1, round(_THIN_SHARE * min(dark.shape[1:]) / 2))
    thick = grown(shrunk(dark, reach), reach) & dark
    labels, count = ndimage.label(thick, IN_PLANE)
    outside = np.zeros(count + 1, bool)
    outside[np.unique(labels[in_plane_border(dark.shape)])] = True
    outside[0] = False
    return np.asarray(outside[labels])


def _filled(body: Mask) -> Mask:
    labels, count = ndimage.label(~body, IN_PLANE)
    enclosed = np.ones(count + 1, bool)
    enclosed[np.unique(labels[in_plane_border(body.shape)])] = False
    return np.asarray(body | enclosed[labels])


def _refined(body: Mask, volume: Volume, grid: CoarseGrid, threshold: float) -> Mask:
    """Decide the coarse mask's edge by the pixels themselves, smoothed against the noise."""
    inner, outer = shrunk(body, 1), grown(body, 1)
    fine = np.empty(volume.voxels.shape, bool)
    for index, plane in enumerate(volume.voxels):
        calm = ndimage.uniform_filter(plane, 3, mode="nearest")
        fine[index] = grid.enlarged(inner[index]) | (grid.enlarged(outer[index]) & (calm > threshold))
        fine[index] = ndimage.binary_fill_holes(fine[index])
    return fine
