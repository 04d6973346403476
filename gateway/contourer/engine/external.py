"""The outline of the body on CT, without the couch, with everything inside: lungs, airways, bowel gas.

In: a volume of CT. Out: a mask on its voxels. Refuses a volume without a body.

The body is what lies above a threshold between air and fat, rid of what is too thin to be a body (couch shells, sheets,
wires) unless it is a small part that hangs on the body (an ear, a nose, a finger). What it encloses on a slice belongs
to it, and so does a lung that the edge of a cropped image cuts open.
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

__all__ = ["SKIN_HU", "external"]

SKIN_HU: Final = -300
_THIN_MM: Final = 6.0
"""A part of the body can hold a square of this side; a couch's shell cannot."""
_APPENDAGE_CM3: Final = 60.0
_APPENDAGE_MM: Final = 90.0
"""What is thin and hangs on the body is an ear or a nose up to this volume and length, beyond it a couch or holder."""
_SECOND_PART: Final = 0.03
"""An arm beside the trunk counts as body from this share of the trunk's volume."""
_LEAST_CM3: Final = 1.0
_OUTSIDE_AIR_HU: Final = -960
_OPEN_SHARE: Final = 0.35
"""A lung that the edge of the image cuts shows less than this share of its outline there."""


def external(volume: Volume, grid: CoarseGrid) -> Mask:
    """Find the body.

    Returns
    -------
    (slices, rows, columns) array of bool

    Raises
    ------
    ContourerRefused
        NOTHING_TO_CONTOUR.
    """
    body = _filled(_without_thin(grid.voxels > SKIN_HU, grid), grid)
    return _refined(body, volume, grid)


def _without_thin(tissue: Mask, grid: CoarseGrid) -> Mask:
    """Leave the body's parts, and what is small and hangs on them."""
    reach = max(1, round(_THIN_MM / max(grid.pitch_mm) / 2))
    thick = grown(shrunk(tissue, reach), reach) & tissue
    labels, count = ndimage.label(thick)
    sizes = label_sizes(labels, count)
    if not count or sizes.max() * grid.voxel_cm3 < _LEAST_CM3:
        raise ContourerRefused("NOTHING_TO_CONTOUR")
    body = np.asarray((sizes >= sizes.max() * _SECOND_PART)[labels])
    body |= _appendages(tissue & ~body, body, grid)
    for _ in range(reach):  # the rim that squaring took off, but not what lies beyond a gap
        body |= grown(body, 1) & tissue
    return body


def _appendages(rest: Mask, body: Mask, grid: CoarseGrid) -> Mask:
    """Find what is thin, small and touches the body; a couch is thin, but not small."""
    labels, count = ndimage.label(rest)
    sizes = label_sizes(labels, count)
    touches = np.zeros(count + 1, bool)
    touches[np.unique(labels[grown(body, 1)])] = True
    longest = np.array([0.0] + [_longest_mm(place, grid) for place in ndimage.find_objects(labels)])
    small = (sizes * grid.voxel_cm3 < _APPENDAGE_CM3) & (longest < _APPENDAGE_MM) & (sizes > 0)
    return np.asarray((small & touches)[labels])


def _longest_mm(place: tuple[slice, ...], grid: CoarseGrid) -> float:
    steps_mm = (grid.slice_mm, *grid.pitch_mm)
    return float(max((extent.stop - extent.start) * mm for extent, mm in zip(place, steps_mm, strict=True)))


def _filled(body: Mask, grid: CoarseGrid) -> Mask:
    """Fill what the body encloses on a slice, and the lungs that the edge of a cropped image cuts open."""
    empty = ~body
    labels, count = ndimage.label(empty, IN_PLANE)
    border = in_plane_border(body.shape)
    open_regions = np.zeros(count + 1, bool)
    open_regions[np.unique(labels[border & empty])] = True
    open_regions[0] = False
    outside = open_regions[labels]
    del labels
    outside &= ~_cut_lungs(outside, border, grid.voxels)
    return np.asarray(~outside)


def _cut_lungs(outside: Mask, border: Mask, hounsfield: NDArray[np.int16]) -> Mask:
    """Find which of the regions that reach the edge of the image are lung: denser than air, and mostly walled in."""
    labels, count = ndimage.label(outside)
    edge = outside & ~shrunk(outside, 1)
    walls = np.bincount(labels[edge], minlength=count + 1)
    cut = np.bincount(labels[outside & border], minlength=count + 1)
    lung = np.zeros(count + 1, bool)
    for number in range(1, count + 1):
        if cut[number] < _OPEN_SHARE * (cut[number] + walls[number]):
            lung[number] = float(np.median(hounsfield[labels == number])) > _OUTSIDE_AIR_HU
    return np.asarray(lung[labels])


def _refined(body: Mask, volume: Volume, grid: CoarseGrid) -> Mask:
    """Decide the coarse mask's edge by the pixels themselves."""
    inner, outer = shrunk(body, 1), grown(body, 1)
    fine = np.empty(volume.voxels.shape, bool)
    for index, plane in enumerate(volume.voxels):
        inside = grid.enlarged(inner[index])
        labels, count = ndimage.label(inside | (grid.enlarged(outer[index]) & (plane > SKIN_HU)))
        belongs = np.zeros(count + 1, bool)
        belongs[np.unique(labels[inside])] = True  # a couch one pixel away does not
        belongs[0] = False
        fine[index] = belongs[labels]
    return fine
