"""The lungs, each for itself, without the trachea and the main bronchi.

In: a volume, its body, and the spinal canal where there is one. Out: a mask for the left and for the right lung, or
nothing where a lung is not seen or its side cannot be told.

Lung is air-filled tissue inside the body: denser than bowel gas, large, and on one side of the midline. Vessels inside
it belong to it; a consolidated part or a tumour at its wall does not show as air and is left out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gateway.contourer.engine.airway import airway
from gateway.contourer.engine.grid import (
    IN_PLANE,
    SQUARE,
    CoarseGrid,
    Mask,
    grown,
    label_sizes,
    shrunk,
    window_of,
)
from gateway.contourer.engine.volume import Volume

__all__ = ["Lungs", "lungs"]

_LUNG_HU: Final = -400
"""Half-way between lung and soft tissue."""
_GAS_HU: Final = -955
"""Bowel gas and what is left of the airway are less dense, on the middle."""
_LEAST_CM3: Final = 60.0
_SECOND_LUNG: Final = 0.08
"""A second lung has at least this share of the first one's volume."""
_VESSEL_MM: Final = 6.0
"""Gaps between vessels at the hilum up to twice this are closed."""
_ENCLOSED_CM2: Final = 5.0
"""What lung encloses on a slice up to this is a vessel or a nodule; beyond, the dome of the diaphragm."""
_PINHOLE_CM2: Final = 0.3
_SPANNING: Final = 0.15
"""A region of a slice belongs to both lungs where at least this share lies on each side of the midline."""
_STRAY: Final = 0.02
_THICKEST_SEAM_MM: Final = 16.0
"""Where the lungs touch in front of the heart, the seam between them is at most so wide."""


class Lungs(NamedTuple):
    """Masks on the voxels of the volume: (slices, rows, columns) arrays of bool."""

    left: Mask | None
    right: Mask | None


def lungs(volume: Volume, body: Mask, canal: Mask | None, grid: CoarseGrid) -> Lungs:
    """Find the lungs."""
    inside = grid.shrunk_mask(body)
    air = (grid.voxels < _LUNG_HU) & inside
    midline = _midline(inside, canal, grid)
    passages = airway(air, midline, grid)
    candidates = _large(air & ~passages, grid)
    if not candidates.any():
        return Lungs(None, None)
    sides = _sides(candidates, midline, grid)
    found = [
        None if side is None else _refined(_with_vessels(side, grid) & inside & ~passages, volume, body, grid)
        for side in sides
    ]
    if found[0] is not None and found[1] is not None:
        found[0] &= ~found[1]
    return Lungs(*found)


def _large(air: Mask, grid: CoarseGrid) -> Mask:
    """Leave what is large enough for a lung and denser than gas."""
    labels, count = ndimage.label(air)
    sizes = label_sizes(labels, count)
    lung = np.zeros(count + 1, bool)
    for number in np.flatnonzero(sizes * grid.voxel_cm3 >= _LEAST_CM3):
        lung[number] = sizes[number] >= _SECOND_LUNG * sizes.max() and (
            float(np.median(grid.voxels[labels == number])) > _GAS_HU
        )
    return np.asarray(lung[labels])


def _midline(inside: Mask, canal: Mask | None, grid: CoarseGrid) -> NDArray[np.float64] | None:
    """Tell the coarse column of the body's midline on each slice: the canal's, else the middle of a body seen whole."""
    if canal is not None:
        seen = np.flatnonzero(canal.any(axis=(1, 2)))
        columns = [float(np.flatnonzero(canal[index].any(axis=0)).mean()) / grid.factor for index in seen]
        return np.interp(np.arange(len(canal)), seen, columns)
    across = np.asarray(inside.any(axis=(0, 1)))
    if across[0] or across[-1]:
        return None
    return np.full(len(inside), float(np.flatnonzero(across)[[0, -1]].mean()))


def _sides(air: Mask, midline: NDArray[np.float64] | None, grid: CoarseGrid) -> list[Mask | None]:
    """Tell left from right. Columns grow to the patient's left."""
    if midline is not None:
        left = _left_of(air, midline, grid)
        right = air & ~left
        stray_left, stray_right = _strays(left, right), _strays(right, left)
        left, right = left ^ stray_left | stray_right, right ^ stray_right | stray_left
        return [side if side.sum() * grid.voxel_cm3 >= _LEAST_CM3 else None for side in (left, right)]
    # Two lungs lie left and right of each other; of a single one in a cropped image nothing tells the side.
    labels, count = ndimage.label(air)
    if count < 2:
        return [None, None]
    two = np.argsort(label_sizes(labels, count))[::-1][:2]
    centres = [centre[2] for centre in ndimage.center_of_mass(air, labels, two)]
    return [labels == two[int(np.argmax(centres))], labels == two[int(np.argmin(centres))]]


def _left_of(air: Mask, midline: NDArray[np.float64], grid: CoarseGrid) -> Mask:
    """Give each region of each slice to the side where most of it lies, and part those that span both."""
    left = np.zeros(air.shape, bool)
    labels, _ = ndimage.label(air, IN_PLANE)
    columns = np.arange(air.shape[2])
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        index = int(place[0].start)
        region = labels[index] == number
        beyond = columns > midline[index]
        share = float(region[:, beyond].sum() / region.sum())
        if _SPANNING <= share <= 1 - _SPANNING and region.sum() * grid.pixel_cm2 > _ENCLOSED_CM2:
            left[index] |= _left_part(region, beyond, grid)
        elif share > 0.5:
            left[index] |= region
    return left


def _left_part(region: Mask, beyond: NDArray[np.bool_], grid: CoarseGrid) -> Mask:
    """Part a region that both lungs make up: shrink it until it falls apart, then give pixels to the nearer part."""
    for step in range(1, grid.pixels(_THICKEST_SEAM_MM / 2) + 1):
        pieces, count = ndimage.label(shrunk(region[np.newaxis], step)[0])
        sizes = label_sizes(pieces, count)
        two = np.argsort(sizes)[::-1][:2]
        if count < 2 or sizes[two[1]] < _SPANNING * sizes.sum():
            continue
        shares = [float((pieces == number)[:, beyond].sum() / sizes[number]) for number in two]
        if min(shares) > 0.5 or max(shares) < 0.5:
            continue
        nearest = ndimage.distance_transform_edt(
            ~np.isin(pieces, two), return_distances=False, return_indices=True
        )
        return np.asarray(region & (pieces[tuple(nearest)] == two[int(np.argmax(shares))]))
    return region & beyond


def _strays(side: Mask, other: Mask) -> Mask:
    """Find the small parts of one side that hang on the other: lung that crosses the midline."""
    labels, count = ndimage.label(side)
    sizes = label_sizes(labels, count)
    touching = np.zeros(count + 1, bool)
    touching[np.unique(labels[ndimage.binary_dilation(other) & side])] = True
    return np.asarray((touching & (sizes < _STRAY * sizes.max()) & (sizes > 0))[labels])


def _with_vessels(lung: Mask, grid: CoarseGrid) -> Mask:
    closed = _closed(lung, grid.pixels(_VESSEL_MM))
    labels, count = ndimage.label(~closed, IN_PLANE)
    small = label_sizes(labels, count) * grid.pixel_cm2 < _ENCLOSED_CM2
    small[0] = False
    return np.asarray(closed | small[labels])


def _closed(lung: Mask, reach: int) -> Mask:
    """Close gaps by an octagon, which leaves no corners; what lies beyond the edge of the image is no lung."""
    slices, rows, columns = ndimage.find_objects(lung.view(np.uint8))[0]
    window = np.pad(lung[slices, rows, columns], ((0, 0), (reach, reach), (reach, reach)))
    steps = [IN_PLANE if step % 2 == 0 else SQUARE for step in range(reach)]
    for step in steps:
        window = ndimage.binary_dilation(window, step)
    for step in steps:
        window = ndimage.binary_erosion(window, step)
    closed = lung.copy()
    closed[slices, rows, columns] |= window[:, reach:-reach, reach:-reach]
    return closed


def _refined(lung: Mask, volume: Volume, body: Mask, grid: CoarseGrid) -> Mask:
    """Decide the coarse mask's edge by the pixels themselves."""
    inner, outer = shrunk(lung, 1), grown(lung, 1)
    fine = np.zeros(volume.voxels.shape, bool)
    for index in np.flatnonzero(outer.any(axis=(1, 2))):
        edge = grid.enlarged(outer[index]) & (volume.voxels[index] < _LUNG_HU) & body[index]
        drawn = grid.enlarged(inner[index]) | edge
        if drawn.any():
            window = window_of(drawn, margin=2)
            fine[index][window] = _whole(drawn[window], volume)
    return fine


def _whole(drawn: Mask, volume: Volume) -> Mask:
    """Fill the pinholes of one slice's lung and drop its specks."""
    pixel_cm2 = volume.row_mm * volume.column_mm / 100
    labels, count = ndimage.label(~drawn)
    filled = drawn | (label_sizes(labels, count) * pixel_cm2 < _PINHOLE_CM2)[labels]
    labels, count = ndimage.label(filled)
    return np.asarray((label_sizes(labels, count) * pixel_cm2 >= _PINHOLE_CM2)[labels])
