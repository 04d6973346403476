"""Check: is this series a volume that can be contoured?

In: the geometry of every slice of a series. Out: the order of the slices along the patient and their spacing.
Refuses, with `PassageUnfit`: mixed orientation, matrix, spacing or frame of reference; a missing slice, two at one
place, uneven spacing; tilted or non-axial CT. Pure: no socket, no clock, no configuration but its arguments.

Distances are measured along the slices' common normal (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.errors import PassageUnfit

SAME_DIRECTION = 1e-3
"""How much a direction cosine may differ within a series; scanners write 5 to 7 digits."""
SAME_PLACE_MM = 0.01
"""Two slices nearer than this lie at the same position."""
EVEN_MM = 0.1
"""How much the distance between neighbours may differ from the median, or one twentieth of it if that is more."""
AXIAL_COSINE = 0.9998
"""The least cosine between a CT's normal and the patient's axis: one degree."""
UNIT = 0.01
"""How much direction cosines may miss unit length and right angles; what is written with two digits misses less."""
MIN_SLICES = 2


@dataclass(frozen=True, slots=True)
class SliceGeometry:
    """What one image tells of its place."""

    position: tuple[float, float, float]
    """ImagePositionPatient, mm."""
    orientation: tuple[float, float, float, float, float, float]
    """ImageOrientationPatient."""
    spacing: tuple[float, float]
    """PixelSpacing: between rows, between columns, mm."""
    rows: int
    columns: int
    bits_stored: int
    is_signed: bool
    frame_of_reference_uid: str

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """The unit vector along which slices are stacked, shape (3,)."""
        across, down = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        normal: npt.NDArray[np.float64] = np.cross(across, down)
        length = float(np.linalg.norm(normal))
        return normal / length if length else normal


@dataclass(frozen=True, slots=True)
class Geometry:
    """The order and spacing of a sound series."""

    order: tuple[int, ...]
    """Indices into the given slices, by rising place along the normal."""
    spacing_mm: float
    """Median distance between neighbours."""


def check_geometry(slices: Sequence[SliceGeometry], modality: str) -> Geometry:
    """Check that the slices form one even stack.

    Parameters
    ----------
    slices : sequence of SliceGeometry
        In any order.
    modality : str
        CT must be axial and untilted; MR may be cut in any one direction.

    Raises
    ------
    PassageUnfit
        With the position (mm along the normal) where that says something.
    """
    if len(slices) < MIN_SLICES:
        raise PassageUnfit("TOO_FEW_SLICES", slices=len(slices))
    first = slices[0]
    _check_uniform(slices)
    if not _are_direction_cosines(first.orientation):
        raise PassageUnfit("ORIENTATION_UNSUITABLE")
    normal = first.normal
    if modality == "CT" and (abs(float(normal[2])) < AXIAL_COSINE or _is_sheared(slices, normal)):
        raise PassageUnfit("ORIENTATION_UNSUITABLE")
    places = np.array([slice_.position for slice_ in slices]) @ normal
    order = np.argsort(places, kind="stable")
    sorted_places = places[order]
    gaps = np.diff(sorted_places)
    spacing = float(np.median(gaps))
    tolerance = max(EVEN_MM, spacing / 20)
    if np.any(twice := gaps < SAME_PLACE_MM):  # before the spacing is looked at, which can then be nothing
        raise PassageUnfit("SLICE_TWICE", position_mm=round(float(sorted_places[np.argmax(twice)]), 2))
    for place, gap in zip(sorted_places[:-1], gaps, strict=True):
        where = round(float(place), 2)
        if abs(gap - spacing) > tolerance:
            multiple = round(gap / spacing)
            if multiple >= 2 and abs(gap - multiple * spacing) <= tolerance * multiple:
                raise PassageUnfit(
                    "SLICE_MISSING", position_mm=round(where + spacing, 2), missing=multiple - 1
                )
            raise PassageUnfit("SPACING_UNEVEN", position_mm=where, distance_mm=round(float(gap), 2))
    return Geometry(tuple(int(i) for i in order), spacing)


def _check_uniform(slices: Sequence[SliceGeometry]) -> None:
    first = slices[0]
    if len({slice_.frame_of_reference_uid for slice_ in slices}) > 1:
        raise PassageUnfit("FRAME_OF_REFERENCE_MIXED")
    for slice_ in slices:
        if not np.allclose(slice_.orientation, first.orientation, rtol=0, atol=SAME_DIRECTION):
            raise PassageUnfit("ORIENTATION_MIXED")
        same_matrix = (slice_.rows, slice_.columns) == (first.rows, first.columns)
        same_format = (slice_.bits_stored, slice_.is_signed) == (first.bits_stored, first.is_signed)
        if not (
            same_matrix and same_format and np.allclose(slice_.spacing, first.spacing, rtol=1e-3, atol=0)
        ):
            raise PassageUnfit("GEOMETRY_MIXED")


def _are_direction_cosines(orientation: tuple[float, ...]) -> bool:
    """Whether rows and columns run along unit vectors at right angles (PS3.3 C.7.6.2.1.1)."""
    across, down = orientation[:3], orientation[3:]
    if any(abs(math.hypot(*one) - 1) > UNIT for one in (across, down)):
        return False
    return abs(math.fsum(a * b for a, b in zip(across, down, strict=True))) <= UNIT


def _is_sheared(slices: Sequence[SliceGeometry], normal: npt.NDArray[np.float64]) -> bool:
    """Whether the corners drift sideways from slice to slice, as they do under gantry tilt or a moving table.

    A stack of tilted CT slices written with axial direction cosines shows itself only by this.
    """
    corners = np.array([slice_.position for slice_ in slices])
    inplane = corners - np.outer(corners @ normal, normal)
    drift = np.linalg.norm(inplane - inplane[0], axis=1).max()
    return bool(drift > max(*slices[0].spacing, 1.0))
