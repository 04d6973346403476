"""A structure set as the flow knows it: what is expected, and what was found sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.flow.board import Outline
from gateway.flow.outlines import Drawing

__all__ = ["Contour", "Expectation", "ExpectedSlice", "InspectedStructureSet", "Roi"]


@dataclass(frozen=True, slots=True)
class ExpectedSlice:
    """One slice of the passage, as it left."""

    sop_class_uid: str
    position: tuple[float, float, float]
    """ImagePositionPatient, mm."""
    orientation: tuple[float, float, float, float, float, float]
    """ImageOrientationPatient: the direction of a row, then of a column."""
    spacing: tuple[float, float]
    """PixelSpacing: between rows, between columns, mm."""
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What the result of one passage must refer to; all pseudonymous."""

    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    slices: Mapping[str, ExpectedSlice]
    """SOP instance UID to geometry, in order along the patient's axis."""
    patient_id: str = ""
    """Where given, the PatientID that the result must bear, if it bears one."""


class Contour(NamedTuple):
    """One closed planar contour."""

    slice_index: int
    """Which of `Expectation.slices` it lies on."""
    points: int
    data: memoryview
    """The value of ContourData as encoded, with its padding."""


@dataclass(frozen=True, slots=True, eq=False)
class Roi:
    """One region of interest."""

    number: int
    name: str
    """As the contourer wrote it: not yet fit for a TPS."""
    colour: tuple[int, int, int] | None
    interpreted_type: str
    """RTROIInterpretedType where it is a term of the standard, otherwise empty."""
    contours: Sequence[Contour]


@dataclass(frozen=True, slots=True, eq=False)
class InspectedStructureSet:
    """A structure set that belongs to its passage and holds contours only."""

    expectation: Expectation
    rois: Sequence[Roi]
    drawing: Drawing
    """The contours in pixels, for the console; holds no part of the encoded stream."""

    def outlines(self, sop_instance_uid: str) -> tuple[Outline, ...]:
        """What lies on one slice, by its pseudonymous UID; nothing for an unknown one."""
        for index, uid in enumerate(self.expectation.slices):
            if uid == sop_instance_uid:
                return self.drawing.outlines(index)
        return ()

    @property
    def contour_count(self) -> int:
        """Contours of all ROIs."""
        return sum(len(roi.contours) for roi in self.rois)

    @property
    def point_count(self) -> int:
        """Points of all contours."""
        return sum(contour.points for roi in self.rois for contour in roi.contours)
