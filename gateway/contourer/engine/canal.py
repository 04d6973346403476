"""The spinal canal: the hole that the vertebrae have in common.

In: a volume and its bones. Out: a mask on its voxels, or nothing where no canal is seen.

On each slice the holes that bone almost closes are looked at; those of a canal's size and density, with a vertebra in
front, are chained from slice to slice. Along the chain the canal is taken from the pixels, and between the slices
where its wall is open (discs, foramina) its shape is blended from those above and below.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gateway.contourer.engine.grid import IN_PLANE, CoarseGrid, Mask, grown, label_sizes, shrunk
from gateway.contourer.engine.volume import Volume

__all__ = ["spinal_canal"]

_FORAMEN_MM: Final = 4.0
"""Openings in the canal's wall up to twice this are closed when holes are looked for."""
_AREA_CM2: Final = (0.5, 8.0)
_CONTENT_HU: Final = (-40, 100)
"""Cord, fluid, roots and fat, on the mean."""
_ROUNDNESS: Final = 0.45
"""Of the box around a hole, at least so much is the hole."""
_VERTEBRA_SHARE: Final = 0.45
"""Of the field in front of a hole, at least so much is bone: a vertebra, not the wall of a shaft."""
_DRIFT_MM: Final = (4.0, 0.7)
"""From slice to slice the canal moves at most by the first, and the second for each mm between them."""
_LONGEST_GAP_MM: Final = 30.0
_FEWEST_SLICES: Final = 3
_ONE_DISC_MM: Final = 10.0
_WINDOW_MM: Final = 26.0
_SEALS_MM: Final = (2.5, 4.0, 6.0)
"""Openings in the wall up to twice this are closed, the least that does it."""
_RECESS_MM: Final = 3.5
_SLIVER_MM: Final = 2.0
_BLEND_MM: Final = 3.0


class _Hole(NamedTuple):
    slice_index: int
    row_mm: float
    column_mm: float
    quality: float


def spinal_canal(volume: Volume, bone: Mask, grid: CoarseGrid) -> Mask | None:
    """Find the canal.

    Returns
    -------
    (slices, rows, columns) array of bool, or None
    """
    chain = _longest_chain(_holes(grid.shrunk_mask(bone, 0.3), grid), volume)
    if len(chain) < _FEWEST_SLICES:
        return None
    seen = [hole.slice_index for hole in chain]
    heights = volume.first_voxel_mm[:, 2]
    # A disc may be the last thing that the series shows of the spine.
    first = 0 if heights[seen[0]] - heights[0] <= _ONE_DISC_MM else seen[0]
    last = len(heights) - 1 if heights[-1] - heights[seen[-1]] <= _ONE_DISC_MM else seen[-1]
    indices = np.arange(first, last + 1)
    centres = np.stack(
        [
            np.interp(indices, seen, [hole.row_mm / volume.row_mm for hole in chain]),
            np.interp(indices, seen, [hole.column_mm / volume.column_mm for hole in chain]),
        ],
        axis=1,
    )
    return _drawn(volume, bone, indices, centres)


def _holes(bone: Mask, grid: CoarseGrid) -> list[_Hole]:
    """Find on each slice what could be a canal."""
    reach = grid.pixels(_FORAMEN_MM)
    closed = shrunk(grown(bone, reach), reach) | bone
    labels, count = ndimage.label(~closed, IN_PLANE)
    if not count:
        return []
    numbers = np.arange(count + 1)
    pixel_cm2 = grid.pixel_cm2
    area_cm2 = label_sizes(labels, count) * pixel_cm2
    sized = (area_cm2 >= _AREA_CM2[0]) & (area_cm2 <= _AREA_CM2[1])
    mean = np.bincount(labels.ravel(), grid.voxels.ravel(), count + 1) / np.maximum(area_cm2 / pixel_cm2, 1)
    likely = numbers[sized & (mean > _CONTENT_HU[0]) & (mean < _CONTENT_HU[1])]
    places = ndimage.find_objects(labels)
    found = []
    for number in likely:
        slices, rows, columns = places[number - 1]
        index = int(slices.start)
        box_cm2 = (rows.stop - rows.start) * (columns.stop - columns.start) * pixel_cm2
        touches_edge = rows.start == 0 or columns.start == 0 or rows.stop == bone.shape[1]
        if touches_edge or columns.stop == bone.shape[2] or area_cm2[number] < _ROUNDNESS * box_cm2:
            continue
        in_front = _share_in_front(bone[index], rows, columns, grid)
        if in_front < _VERTEBRA_SHARE:
            continue
        row, column = ndimage.center_of_mass(labels[index, rows, columns] == number)
        found.append(
            _Hole(
                index,
                # The centre of a coarse pixel is not at a multiple of the fine ones.
                ((rows.start + row + 0.5) * grid.factor - 0.5) * grid.pitch_mm[0] / grid.factor,
                ((columns.start + column + 0.5) * grid.factor - 0.5) * grid.pitch_mm[1] / grid.factor,
                0.5 + in_front / 2,
            )
        )
    return found


def _share_in_front(bone: Mask, rows: slice, columns: slice, grid: CoarseGrid) -> float:
    """Tell how much of the field of a vertebral body in front of a hole is bone."""
    middle = (columns.start + columns.stop) // 2
    aside, depth = grid.pixels(9), grid.pixels(22)
    field = bone[max(0, rows.start - depth) : rows.start, max(0, middle - aside) : middle + aside + 1]
    return float(field.mean()) if field.size else 0.0


def _longest_chain(holes: list[_Hole], volume: Volume) -> list[_Hole]:
    """Chain holes from slice to slice, as many and as good as there are."""
    heights = volume.first_voxel_mm[:, 2]
    best: list[float] = []
    before: list[int] = []
    for number, hole in enumerate(holes):
        value, link = hole.quality, -1
        for earlier in range(number - 1, -1, -1):
            other = holes[earlier]
            gap = float(heights[hole.slice_index] - heights[other.slice_index])
            if gap > max(_LONGEST_GAP_MM, volume.slice_mm * 1.5):
                break
            moved = np.hypot(hole.row_mm - other.row_mm, hole.column_mm - other.column_mm)
            if other.slice_index == hole.slice_index or moved > _DRIFT_MM[0] + _DRIFT_MM[1] * gap:
                continue
            reached = best[earlier] + hole.quality - 0.02 * float(moved)
            if reached > value:
                value, link = reached, earlier
        best.append(value)
        before.append(link)
    chain: list[_Hole] = []
    at = int(np.argmax(best)) if best else -1
    while at >= 0:
        chain.append(holes[at])
        at = before[at]
    return chain[::-1]


def _drawn(volume: Volume, bone: Mask, indices: NDArray[np.int64], centres: NDArray[np.float64]) -> Mask:
    """Take the canal from the pixels around its centres, blended from slice to slice."""
    half = (round(_WINDOW_MM / volume.row_mm), round(_WINDOW_MM / volume.column_mm))
    corners = np.rint(centres).astype(int) - half
    size = (2 * half[0] + 1, 2 * half[1] + 1)
    distances = np.full((len(indices), *size), np.nan, np.float32)
    for number, (index, corner) in enumerate(zip(indices, corners, strict=True)):
        wall = _cut(bone[index], corner, size)
        found = _canal_of(wall, volume)
        if found is not None:
            inside = ndimage.distance_transform_edt(found, (volume.row_mm, volume.column_mm))
            outside = ndimage.distance_transform_edt(~found, (volume.row_mm, volume.column_mm))
            distances[number] = outside - inside
    blended = _blended(distances, volume.slice_mm)
    canal = np.zeros(volume.voxels.shape, bool)
    for number, (index, corner) in enumerate(zip(indices, corners, strict=True)):
        drawn = (blended[number] < 0) & ~_cut(bone[index], corner, size)
        whole = _region_in_the_middle(_opened(drawn, _SLIVER_MM, (volume.row_mm, volume.column_mm)), volume)
        if whole is not None:
            _paste(canal[index], corner, whole)
    return canal


def _canal_of(wall: Mask, volume: Volume) -> Mask | None:
    """Find the hole around the middle of a window of one slice; none where its wall is open."""
    spacing = (volume.row_mm, volume.column_mm)
    for seal_mm in _SEALS_MM:
        closed = ~_opened(~wall, seal_mm, spacing)
        found = _region_in_the_middle(~(closed | wall), volume)
        if found is not None:
            # What is narrower than the canal leads into a foramen.
            return _region_in_the_middle(_opened(found, _RECESS_MM, spacing), volume)
    return None


def _opened(mask: Mask, radius_mm: float, spacing: tuple[float, float]) -> Mask:
    """Leave what a disc of this radius reaches without leaving the mask; beyond the window lies more of it."""
    margin = int(np.ceil(2 * radius_mm / min(spacing)))
    padded = np.pad(mask, margin, mode="edge")
    core = ndimage.distance_transform_edt(padded, spacing) > radius_mm
    opened = ndimage.distance_transform_edt(~core, spacing) <= radius_mm
    return np.asarray(opened[margin:-margin, margin:-margin] & mask)


def _region_in_the_middle(mask: Mask, volume: Volume) -> Mask | None:
    labels, count = ndimage.label(mask)
    area_cm2 = label_sizes(labels, count) * volume.row_mm * volume.column_mm / 100
    area_cm2[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    row, column = labels.shape[0] // 2, labels.shape[1] // 2
    aside = (max(1, round(3 / volume.row_mm)), max(1, round(3 / volume.column_mm)))
    middle = labels[row - aside[0] : row + aside[0] + 1, column - aside[1] : column + aside[1] + 1]
    area_cm2[np.setdiff1d(np.arange(count + 1), middle)] = 0
    number = int(np.argmax(area_cm2))
    if not _AREA_CM2[0] <= area_cm2[number] <= _AREA_CM2[1]:
        return None
    return np.asarray(ndimage.binary_fill_holes(labels == number))


def _blended(distances: NDArray[np.float32], slice_mm: float) -> NDArray[np.float32]:
    """Fill the slices without a shape from their neighbours and smooth along the canal.

    Parameters
    ----------
    distances : (slices, rows, columns) array
        Distance to the canal's wall in mm, negative inside; not a number where the slice has no shape.
    """
    known = np.flatnonzero(~np.isnan(distances[:, 0, 0]))
    if not len(known):
        return np.full_like(distances, np.inf)
    above = np.searchsorted(known, np.arange(len(distances))).clip(max=len(known) - 1)
    below = (above - 1).clip(min=0)
    span = np.maximum(known[above] - known[below], 1)
    share = ((np.arange(len(distances)) - known[below]) / span).clip(0, 1)[:, np.newaxis, np.newaxis]
    filled = distances[known[below]] * (1 - share) + distances[known[above]] * share
    return np.asarray(
        ndimage.gaussian_filter1d(filled, _BLEND_MM / slice_mm, axis=0, mode="nearest"), np.float32
    )


def _cut(mask: Mask, corner: NDArray[np.int64], size: tuple[int, int]) -> Mask:
    """Cut a window out of a slice; what lies beyond the image is empty."""
    window = np.zeros(size, bool)
    _overlap(window, corner, mask.shape)[...] = _overlap(mask, -corner, size)
    return window


def _paste(mask: Mask, corner: NDArray[np.int64], window: Mask) -> None:
    """Lay a window over a slice."""
    _overlap(mask, -corner, window.shape)[...] |= _overlap(window, corner, mask.shape)


def _overlap(array: Mask, corner: NDArray[np.int64], other: tuple[int, ...]) -> Mask:
    """Show the part of an array that overlaps another, which begins at `-corner` in it."""
    first = np.maximum(-corner, 0)
    last = np.minimum(np.array(array.shape), np.array(other) - corner)
    return array[first[0] : last[0], first[1] : last[1]]
