"""The slices of a series as one block of voxels along the patient's axes.

In: decoded slices in any order. Out: a `Volume` whose first axis grows to the head, the second to the back, the third
to the patient's left, whichever way the matrix lay, so that left is left in everything that follows. MR that was not
cut axially keeps its own axes: only its outer contour is sought, which has no left.

Refuses a single slice, CT slices that are not axial or were taken with a tilted gantry, and slices that do not belong
together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gateway.contourer.engine.slices import Slice
from gateway.errors import ContourerRefused

__all__ = ["ImageReference", "Volume", "assemble"]

_FEWEST_SLICES: Final = 2
_TILT_DEGREES: Final = 1.0
"""How far the slices may lean before they no longer count as axial."""
_SAME_MM: Final = 0.01


@dataclass(frozen=True, slots=True)
class ImageReference:
    """What a contour says of the image that it lies on."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A series of parallel slices."""

    modality: str
    voxels: NDArray[np.int16]
    """(slices, rows, columns); where axial, growing to the head, the back and the patient's left."""
    first_voxel_mm: NDArray[np.float64]
    """(slices, 3): the centre of voxel (k, 0, 0)."""
    row_step_mm: NDArray[np.float64]
    """(3,): from one row to the next, to the back."""
    column_step_mm: NDArray[np.float64]
    """(3,): from one column to the next, to the left."""
    images: tuple[ImageReference, ...]
    """In the order of the slices."""
    header: Dataset
    """What the structure set repeats (`slices.CARRIED_OVER`), without pixels."""

    @property
    def row_mm(self) -> float:
        """Distance between two rows."""
        return float(np.linalg.norm(self.row_step_mm))

    @property
    def column_mm(self) -> float:
        """Distance between two columns."""
        return float(np.linalg.norm(self.column_step_mm))

    @property
    def slice_mm(self) -> float:
        """The usual distance between two slices."""
        return float(np.median(np.linalg.norm(np.diff(self.first_voxel_mm, axis=0), axis=1)))

    @property
    def voxel_cm3(self) -> float:
        """What one voxel takes."""
        return self.row_mm * self.column_mm * self.slice_mm / 1000

    def plane_to_mm(self, index: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take points of a slice to the patient coordinate system.

        Parameters
        ----------
        index : int
            Which slice.
        points : (n, 2) array
            Distances from the first voxel's centre in mm: along the columns' axis (to the left), then the rows'.

        Returns
        -------
        (n, 3) array
            x, y, z in mm (PS3.3 C.7.6.2.1.1).
        """
        left = self.column_step_mm / self.column_mm
        back = self.row_step_mm / self.row_mm
        return np.asarray(
            self.first_voxel_mm[index] + points[:, :1] * left[np.newaxis] + points[:, 1:] * back[np.newaxis]
        )


def assemble(slices: Sequence[Slice]) -> Volume:
    """Make a volume of slices.

    Raises
    ------
    ContourerRefused
        TOO_FEW_SLICES, GEOMETRY_MIXED, ORIENTATION_MIXED, FRAME_OF_REFERENCE_MIXED, SERIES_MIXED,
        INSTANCE_CONFLICT, SLICE_TWICE or ORIENTATION_UNSUITABLE.
    """
    if len(slices) < _FEWEST_SLICES:
        raise ContourerRefused("TOO_FEW_SLICES", slices=len(slices))
    _check_alike(slices)
    head = slices[0]
    normal, is_axial = _normal(head)
    order = sorted(range(len(slices)), key=lambda i: float(slices[i].position_mm @ normal))
    positions = np.stack([slices[i].position_mm for i in order])
    _check_stack(positions, normal)

    turned, corner, back, left = _along_patient_axes(head) if is_axial else _as_they_lie(head)
    row_mm, column_mm = head.spacing_mm
    shift = corner[0] * column_mm * head.row_cosines + corner[1] * row_mm * head.column_cosines
    first = turned(head.pixels)
    voxels = np.empty((len(slices), *first.shape), np.int16)
    for k, i in enumerate(order):
        voxels[k] = turned(slices[i].pixels)
    return Volume(
        modality=head.modality,
        voxels=voxels,
        first_voxel_mm=positions + shift,
        row_step_mm=back,
        column_step_mm=left,
        images=tuple(ImageReference(slices[i].sop_class_uid, slices[i].sop_instance_uid) for i in order),
        header=slices[order[0]].header,
    )


def _check_alike(slices: Sequence[Slice]) -> None:
    head = slices[0]
    for other in slices[1:]:
        if other.pixels.shape != head.pixels.shape or other.modality != head.modality:
            raise ContourerRefused("GEOMETRY_MIXED")
        if not np.allclose(other.spacing_mm, head.spacing_mm, rtol=1e-4, atol=0):
            raise ContourerRefused("GEOMETRY_MIXED")
        if not np.allclose(other.row_cosines, head.row_cosines, atol=1e-3):
            raise ContourerRefused("ORIENTATION_MIXED")
        if not np.allclose(other.column_cosines, head.column_cosines, atol=1e-3):
            raise ContourerRefused("ORIENTATION_MIXED")
        if other.header.FrameOfReferenceUID != head.header.FrameOfReferenceUID:
            raise ContourerRefused("FRAME_OF_REFERENCE_MIXED")
        for keyword in ("SeriesInstanceUID", "StudyInstanceUID"):
            if other.header[keyword].value != head.header[keyword].value:
                raise ContourerRefused("SERIES_MIXED")
    if len({one.sop_instance_uid for one in slices}) != len(slices):
        raise ContourerRefused("INSTANCE_CONFLICT")


def _normal(head: Slice) -> tuple[NDArray[np.float64], bool]:
    """Tell the slices' normal, turned to the head where it leads there, and whether it is axial.

    Raises
    ------
    ContourerRefused
        ORIENTATION_UNSUITABLE, where a CT leans from the patient's long axis or the axes are not orthonormal.
    """
    row, column = head.row_cosines, head.column_cosines
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column), 1 + abs(row @ column)])
    if not np.allclose(lengths, 1, atol=1e-3):
        raise ContourerRefused("ORIENTATION_UNSUITABLE")
    normal = np.cross(row, column)
    steepest = int(np.abs(normal).argmax())
    normal = normal / np.linalg.norm(normal) * (1 if normal[steepest] > 0 else -1)
    tilt = np.degrees(np.arccos(min(1.0, abs(float(normal[2])))))
    is_axial = bool(tilt <= _TILT_DEGREES and abs(head.gantry_tilt_degrees) <= _TILT_DEGREES)
    if head.modality == "CT" and not is_axial:
        raise ContourerRefused("ORIENTATION_UNSUITABLE")
    return np.asarray(normal), is_axial


def _check_stack(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    if (along < _SAME_MM).any():
        raise ContourerRefused("SLICE_TWICE")
    aside = np.linalg.norm(steps - along[:, np.newaxis] * normal, axis=1)
    # Slices that drift sideways as they go up were taken with a tilted gantry, whatever the header says.
    if (aside > np.tan(np.radians(_TILT_DEGREES)) * along + _SAME_MM).any():
        raise ContourerRefused("ORIENTATION_UNSUITABLE")


Turn = Callable[[NDArray[np.int16]], NDArray[np.int16]]


def _as_they_lie(head: Slice) -> tuple[Turn, tuple[int, int], NDArray[np.float64], NDArray[np.float64]]:
    """Lay the matrices as they are; see `_along_patient_axes`."""
    row_mm, column_mm = head.spacing_mm
    return lambda matrix: matrix, (0, 0), head.column_cosines * row_mm, head.row_cosines * column_mm


def _along_patient_axes(
    head: Slice,
) -> tuple[Turn, tuple[int, int], NDArray[np.float64], NDArray[np.float64]]:
    """Find how to lay a matrix so that rows grow to the back and columns to the left.

    Returns
    -------
    turned : callable
        Lays one matrix.
    corner : (int, int)
        Column and row of the pixel that becomes the first.
    back, left : (3,) arrays
        The steps between rows and between columns after that, in mm.
    """
    rows, columns = head.pixels.shape
    row_mm, column_mm = head.spacing_mm
    across, down = head.row_cosines * column_mm, head.column_cosines * row_mm
    transposed = abs(head.row_cosines[0]) < abs(head.column_cosines[0])
    flip_columns = (across[1] if transposed else across[0]) < 0
    flip_rows = (down[0] if transposed else down[1]) < 0
    corner = (columns - 1 if flip_columns else 0, rows - 1 if flip_rows else 0)

    def turned(matrix: NDArray[np.int16]) -> NDArray[np.int16]:
        matrix = matrix[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        return matrix.T if transposed else matrix

    across, down = across * (-1 if flip_columns else 1), down * (-1 if flip_rows else 1)
    return (turned, corner, across, down) if transposed else (turned, corner, down, across)
