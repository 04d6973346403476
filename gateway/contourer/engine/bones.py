"""The bones, with their marrow, and without the spinal canal or the brain.

In: a volume and its body. Out: a mask on its voxels.

Bone is what lies above a threshold and hangs together with something as dense as cortex; what is smooth within, such
as a contrast-filled vessel or a kidney, does not count. Marrow is what bone encloses or nearly encloses on a slice,
where it is denser than muscle, or where it is fat.
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
    window_of,
)
from gateway.contourer.engine.volume import Volume

__all__ = ["bones"]

_BONE_HU: Final = 180
_CORTEX_HU: Final = 420
_CORTEX_SHARE: Final = 0.04
"""Of a bone's voxels, at least so many are cortex; of an enhanced vessel's hardly one."""
_LEAST_CM3: Final = 0.4
_MOST_OF_BODY: Final = 0.4
"""Even of a head, less is bone."""
_SMOOTH_CM2: Final = 0.3
_SMOOTH_HU: Final = 45
"""A region of one slice this large whose inside varies by less is contrast medium."""
_DENSEST_MEDIUM_HU: Final = 500
_RED_MARROW_HU: Final = 100
"""Spongy bone is denser, muscle and cord are not."""
_ENCLOSED_MARROW_HU: Final = 60
_GAP_MM: Final = 8.0
"""How far from bone spongy bone may lie that the cortex does not quite enclose."""
_BESIDE_MM: Final = 3.0
_VERTEBRA_CM2: Final = 20.0
_YELLOW_MARROW_HU: Final = (-150, -10)
_YELLOW_MARROW_CM2: Final = 8.0
"""The cavity of a shaft holds fat. Cord, brain and muscle are denser; air is less dense."""
_PORE_CM2: Final = 0.9
"""A cavity smaller than any spinal canal belongs to the bone whatever fills it, but air."""


def bones(volume: Volume, body: Mask, grid: CoarseGrid) -> Mask | None:
    """Find the bones.

    Returns
    -------
    (slices, rows, columns) array of bool, or None
        None where nothing is bone, or so much is that it is no patient.
    """
    bone = _hard(volume, body)
    most = _MOST_OF_BODY * int(body.sum())
    if not 0 < bone.sum() <= most:
        return None
    spongy = _spongy_places(grid.shrunk_mask(bone, 0.25), grid)
    for index in np.flatnonzero(bone.any(axis=(1, 2))):
        window = window_of(bone[index], margin=round(_GAP_MM / volume.column_mm) + 1)
        hounsfield = volume.voxels[index][window]
        hard = bone[index][window]
        whole = hard | (grid.enlarged(spongy[index])[window] & (_calm(hounsfield, ~hard) > _RED_MARROW_HU))
        whole |= _cavities(whole, hounsfield, volume)
        bone[index][window] = whole & body[index][window]
    return bone if bone.sum() <= most else None


def _hard(volume: Volume, body: Mask) -> Mask:
    hard = (volume.voxels > _BONE_HU) & body
    for index in np.flatnonzero(hard.any(axis=(1, 2))):
        window = window_of(hard[index], margin=0)
        hard[index][window] &= ~_contrast_medium(hard[index][window], volume.voxels[index][window], volume)
    labels, count = ndimage.label(hard)
    sizes = label_sizes(labels, count)
    cortex = np.bincount(labels[volume.voxels > _CORTEX_HU], minlength=count + 1)
    genuine = (sizes * volume.voxel_cm3 >= _LEAST_CM3) & (cortex >= _CORTEX_SHARE * sizes) & (sizes > 0)
    return np.asarray(genuine[labels])


def _contrast_medium(hard: Mask, hounsfield: NDArray[np.int16], volume: Volume) -> Mask:
    """Find the regions of one slice that are smooth inside their rim."""
    labels, count = ndimage.label(hard)
    area_cm2 = label_sizes(labels, count) * volume.row_mm * volume.column_mm / 100
    inner = ndimage.binary_erosion(hard)
    number, value = labels[inner], hounsfield[inner].astype(np.float64)
    voxels = np.maximum(np.bincount(number, minlength=count + 1), 1)
    mean = np.bincount(number, value, count + 1) / voxels
    spread = np.sqrt(np.maximum(np.bincount(number, value**2, count + 1) / voxels - mean**2, 0))
    rim = hard & ~inner
    rim_voxels = np.maximum(np.bincount(labels[rim], minlength=count + 1), 1)
    rim_mean = np.bincount(labels[rim], hounsfield[rim], count + 1) / rim_voxels
    # A bone's rim is its cortex; a vessel's is half fat.
    smooth = (area_cm2 >= _SMOOTH_CM2) & (spread < _SMOOTH_HU) & (rim_mean < mean + _SMOOTH_HU)
    smooth &= (mean > 0) & (mean < _DENSEST_MEDIUM_HU)
    return np.asarray(smooth[labels])


def _calm(hounsfield: NDArray[np.int16], counted: Mask) -> NDArray[np.float32]:
    """Smooth over what counts alone: noise must not make muscle look like spongy bone, nor the bone beside it."""
    share = ndimage.uniform_filter(counted.astype(np.float32), 5)
    total = ndimage.uniform_filter(np.where(counted, hounsfield, 0).astype(np.float32), 5)
    return np.asarray(total / np.maximum(share, 0.01))


def _spongy_places(hard: Mask, grid: CoarseGrid) -> Mask:
    """Tell where spongy bone may lie: between cortices, or cut off from it by the edge of the image."""
    reach = grid.pixels(_GAP_MM)
    closed = shrunk(grown(hard, reach), reach) | hard
    labels, count = ndimage.label(~closed, IN_PLANE)
    area_cm2 = label_sizes(labels, count) * grid.pixel_cm2
    places = area_cm2 < _VERTEBRA_CM2
    at_edge = np.unique(labels[in_plane_border(hard.shape)])
    places[at_edge] &= area_cm2[at_edge] < _VERTEBRA_CM2 / 2
    places[0] = True
    # Where one slice's cortex lies open, that above or below often closes.
    beside = 2 * max(1, round(_BESIDE_MM / grid.slice_mm)) + 1
    found = ndimage.maximum_filter1d(places[labels].view(np.uint8), beside, axis=0, mode="nearest")
    return np.asarray(found).view(np.bool_)


def _cavities(bone: Mask, hounsfield: NDArray[np.int16], volume: Volume) -> Mask:
    """Find what the bone of one slice encloses and what of it is marrow or a pore."""
    sealed = np.pad(bone, 2)
    sealed = ndimage.binary_closing(sealed, ndimage.generate_binary_structure(2, 1))[2:-2, 2:-2] | bone
    labels, count = ndimage.label(~sealed)
    if not count:
        return np.asarray(sealed)
    area_cm2 = label_sizes(labels, count) * volume.row_mm * volume.column_mm / 100
    middle = np.zeros(count + 1)
    middle[1:] = ndimage.median(hounsfield, labels, np.arange(1, count + 1))
    low, high = _YELLOW_MARROW_HU
    marrow = (middle > _ENCLOSED_MARROW_HU) & (area_cm2 < _VERTEBRA_CM2)
    marrow |= (middle > low) & (middle < high) & (area_cm2 < _YELLOW_MARROW_CM2)
    marrow |= (middle > low) & (area_cm2 < _PORE_CM2)
    marrow[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    marrow[0] = True  # the seal
    return np.asarray(marrow[labels])
