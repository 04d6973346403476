"""A coarser copy of a volume, about 2 mm in the plane: where shapes are found, before their edges are refined.

The slices keep their number; only the matrix shrinks, so a coarse mask can be laid over its slice again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gateway.contourer.engine.volume import Volume

__all__ = [
    "IN_PLANE",
    "SQUARE",
    "CoarseGrid",
    "Mask",
    "grown",
    "in_plane_border",
    "label_sizes",
    "shrunk",
    "window_of",
]

Mask = NDArray[np.bool_]

_PITCH_MM: Final = 2.0

IN_PLANE: Final = np.zeros((3, 3, 3), bool)
"""Neighbours within a slice only, for `scipy.ndimage.label`."""
IN_PLANE[1, 1, :] = IN_PLANE[1, :, 1] = True

SQUARE: Final = np.zeros((3, 3, 3), bool)
"""The same with the diagonal ones."""
SQUARE[1] = True


@dataclass(frozen=True, slots=True)
class CoarseGrid:
    """A volume with its matrix shrunk by a whole factor."""

    factor: int
    voxels: NDArray[np.int16]
    """(slices, coarse rows, coarse columns): the mean of each block."""
    pitch_mm: tuple[float, float]
    """Distance between coarse rows, between coarse columns."""
    slice_mm: float
    fine_shape: tuple[int, int]

    @classmethod
    def of(cls, volume: Volume, factor: int | None = None) -> CoarseGrid:
        """Shrink a volume's matrix; by default so far that it has a pitch of about 2 mm."""
        if factor is None:
            factor = max(1, round(_PITCH_MM / max(volume.row_mm, volume.column_mm)))
        return cls(
            factor,
            _block_mean(volume.voxels, factor),
            (volume.row_mm * factor, volume.column_mm * factor),
            volume.slice_mm,
            (volume.voxels.shape[1], volume.voxels.shape[2]),
        )

    @property
    def voxel_cm3(self) -> float:
        """What one coarse voxel takes."""
        return self.pitch_mm[0] * self.pitch_mm[1] * self.slice_mm / 1000

    @property
    def pixel_cm2(self) -> float:
        """What one coarse pixel takes of its slice."""
        return self.pitch_mm[0] * self.pitch_mm[1] / 100

    def pixels(self, distance_mm: float) -> int:
        """Tell how many coarse pixels a distance in the plane is, at least one."""
        return max(1, round(distance_mm / max(self.pitch_mm)))

    def enlarged(self, plane: Mask) -> Mask:
        """Lay one coarse slice over the matrix that it came from."""
        rows, columns = self.fine_shape
        return plane.repeat(self.factor, axis=0).repeat(self.factor, axis=1)[:rows, :columns]

    def shrunk_mask(self, mask: Mask, share: float = 0.5) -> Mask:
        """Tell of which blocks at least a share is inside a fine mask."""
        if self.factor == 1:
            return mask
        return np.asarray(_block_mean(mask.view(np.int8), self.factor, scale=100) >= 100 * share)


def grown(mask: Mask, pixels: int) -> Mask:
    """Grow a mask within its slices, by a square."""
    size = (1, 2 * pixels + 1, 2 * pixels + 1)
    return np.asarray(ndimage.maximum_filter(mask.view(np.uint8), size, mode="nearest")).view(np.bool_)


def shrunk(mask: Mask, pixels: int) -> Mask:
    """Shrink a mask within its slices, by a square; the edge of the image counts as inside."""
    size = (1, 2 * pixels + 1, 2 * pixels + 1)
    return np.asarray(ndimage.minimum_filter(mask.view(np.uint8), size, mode="nearest")).view(np.bool_)


def in_plane_border(shape: tuple[int, ...]) -> Mask:
    """Mark the first and last rows and columns of each slice."""
    border = np.zeros(shape, bool)
    border[:, [0, -1], :] = True
    border[:, :, [0, -1]] = True
    return border


def label_sizes(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Count the voxels of each label; index 0 is the background and counts as none."""
    return np.bincount(labels[labels > 0], minlength=count + 1)


def window_of(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Cut out of one slice what holds the mask, with a margin where the image has one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _block_mean(voxels: NDArray[np.signedinteger], factor: int, scale: int = 1) -> NDArray[np.int16]:
    if factor == 1:
        return (voxels * scale).astype(np.int16) if scale != 1 else voxels.astype(np.int16, copy=False)
    slices, rows, columns = voxels.shape
    padded = (-rows % factor, -columns % factor)
    made = np.empty((slices, (rows + padded[0]) // factor, (columns + padded[1]) // factor), np.int16)
    for index, plane in enumerate(voxels):
        wide = np.pad(plane, ((0, padded[0]), (0, padded[1])), mode="edge") if any(padded) else plane
        total = np.zeros(made.shape[1:], np.int32)
        for row in range(factor):
            for column in range(factor):
                total += wide[row::factor, column::factor]
        made[index] = total * scale // (factor * factor)
    return made
