"""Inspection: a structure set that came back is this passage's and holds contours only, or it is refused.

In: the DICOM Part 10 stream that the contourer returned, still pseudonymous, and what it must refer to.
Out: its ROIs and contours, and their outlines in pixels.
Refused, with `StructureSetUnsound`: what is no RT Structure Set; any attribute that its IOD does not have; any UID that
does not resolve to this passage; contours that are not closed and planar, not on the slice that they name, outside the
images, or of another number of points than they say; ROIs that do not match across the three sequences (R10, R32).
Text is read but not trusted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.tag import BaseTag

from gateway.dicom.decimals import decimals
from gateway.errors import Fact, StructureSetUnsound
from gateway.flow import roi_names
from gateway.flow.items import Item, read_items
from gateway.flow.outlines import Drawing, Ring
from gateway.flow.planes import Planes
from gateway.flow.references import References
from gateway.flow.structure_set import Contour, Expectation, ExpectedSlice, InspectedStructureSet, Roi
from gateway.flow.structure_set_iod import tag

__all__ = ["MOST_ROIS", "OFF_PLANE_MM", "Expectation", "ExpectedSlice", "InspectedStructureSet", "inspect"]

MOST_ROIS: Final = 999
OFF_PLANE_MM: Final = 0.1
"""How far from its slice's plane, and beyond the outer edge of the pixels, a point may lie: what rounding leaves."""

_BATCH_BYTES: Final = 300_000
"""Coordinates converted at once: so much stays in the processor's cache."""

_ROI_NUMBER, _ROI_NAME, _ROI_COLOUR = tag("ROINumber"), tag("ROIName"), tag("ROIDisplayColor")
_REFERENCED_ROI, _OBSERVATION_NUMBER = tag("ReferencedROINumber"), tag("ObservationNumber")
_ROIS, _ROI_CONTOURS = tag("StructureSetROISequence"), tag("ROIContourSequence")
_OBSERVATIONS, _CONTOURS = tag("RTROIObservationsSequence"), tag("ContourSequence")
_CONTOUR_IMAGES, _REFERENCED_INSTANCE = tag("ContourImageSequence"), tag("ReferencedSOPInstanceUID")
_TYPE, _COUNT, _DATA = tag("ContourGeometricType"), tag("NumberOfContourPoints"), tag("ContourData")
_INTERPRETED_TYPE, _MODALITY, _PATIENT_ID = tag("RTROIInterpretedType"), tag("Modality"), tag("PatientID")
_CHARACTER_SET, _FRAME_OF_REFERENCE = tag("SpecificCharacterSet"), tag("ReferencedFrameOfReferenceUID")
_REQUIRED = tuple(map(tag, ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")))

_INTEGER = re.compile(rb" *[+-]?[0-9]{1,9} *")
_INTERPRETED_TYPES: Final = frozenset(
    b"EXTERNAL PTV CTV GTV TREATED_VOLUME IRRAD_VOLUME OAR BOLUS AVOIDANCE ORGAN MARKER REGISTRATION ISOCENTER "
    b"CONTRAST_AGENT CAVITY SUPPORT FIXATION DOSE_REGION CONTROL".split()
)
"""PS3.3 C.8.8.8.1, without what belongs to brachytherapy and dosimetry."""

_UNREFERENCED = -1


def inspect(part10: bytes, expectation: Expectation) -> InspectedStructureSet:
    """Take a returned structure set apart and check everything that can be checked.

    Parameters
    ----------
    part10 : bytes
    expectation : Expectation
        What it must refer to; with at least one slice.

    Returns
    -------
    InspectedStructureSet
        Its contours are views of `part10`.

    Raises
    ------
    StructureSetUnsound
        RESULT_UNPARSABLE, RESULT_NOT_CONTOURS, RESULT_WRONG_STUDY, RESULT_FOREIGN_UID, RESULT_INCONSISTENT or
        RESULT_OFF_SLICE, with the tag.
    """
    references = References(expectation)
    dataset = read_items(part10, references.resolve, functools.partial(_contour, references=references))
    return _Inspection(dataset, expectation).result()


def _contour(item: Item, *, references: References) -> Contour:
    """What an item of Contour Sequence holds; its coordinates are not yet looked at."""
    if item.value(_TYPE) != b"CLOSED_PLANAR":
        raise _unsound("RESULT_NOT_CONTOURS", _TYPE)
    slice_index = _UNREFERENCED
    images = item.sequences.get(_CONTOUR_IMAGES)
    if images is not None:
        span = images[0].values.get(_REFERENCED_INSTANCE) if len(images) == 1 else None
        if span is None:
            raise _unsound("RESULT_INCONSISTENT", _CONTOUR_IMAGES)
        slice_index = references.slice_index(item.data[span[0] : span[1]])
    points = item.integer(_COUNT)
    span = item.values.get(_DATA)
    if span is None or points < 3 or item.data.count(b"\\", *span) != 3 * points - 1:
        raise _unsound("RESULT_INCONSISTENT", _COUNT)
    return Contour(slice_index, points, memoryview(item.data)[span[0] : span[1]])


class _Inspection:
    """The checks on one structure set that was read."""

    def __init__(self, dataset: Item, expectation: Expectation) -> None:
        self._dataset = dataset
        self._expectation = expectation
        self._planes = Planes(list(expectation.slices.values()))

    def result(self) -> InspectedStructureSet:
        self._check_header()
        names = self._names()
        contours, colours = self._contours(names)
        types = self._interpreted_types(names)
        placed, points, rings = self._place(contours)
        rois = [
            Roi(number, name, colours.get(number), types.get(number, ""), placed[index])
            for index, (number, name) in enumerate(names.items())
        ]
        drawing = Drawing([roi.name for roi in rois], [roi.colour for roi in rois], rings, points)
        return InspectedStructureSet(self._expectation, rois, drawing)

    def _check_header(self) -> None:
        for required in _REQUIRED:
            if required not in self._dataset.values:
                raise _unsound("RESULT_UNPARSABLE", required)
        if self._dataset.value(_MODALITY) != b"RTSTRUCT":
            raise _unsound("RESULT_NOT_CONTOURS", _MODALITY)
        patient_id = self._dataset.value(_PATIENT_ID)
        expected = self._expectation.patient_id.encode()
        if patient_id and expected and patient_id != expected:
            raise _unsound("RESULT_WRONG_STUDY", _PATIENT_ID)

    def _names(self) -> dict[int, str]:
        """ROI number to name, in order."""
        items = self._dataset.sequences.get(_ROIS, [])
        if not 0 < len(items) <= MOST_ROIS:
            raise _unsound("RESULT_INCONSISTENT", _ROIS, rois=len(items))
        character_set = self._dataset.value(_CHARACTER_SET)
        names: dict[int, str] = {}
        for item in items:
            number = item.integer(_ROI_NUMBER)
            if number in names or _FRAME_OF_REFERENCE not in item.values:
                raise _unsound("RESULT_INCONSISTENT", _ROI_NUMBER, roi=number)
            names[number] = roi_names.read(item.value(_ROI_NAME), character_set)
        return names

    def _contours(
        self, names: dict[int, str]
    ) -> tuple[list[list[Contour]], dict[int, tuple[int, int, int] | None]]:
        """The contours of each ROI, in the order of `names`, and the colours."""
        index = {number: position for position, number in enumerate(names)}
        contours: list[list[Contour]] = [[] for _ in names]
        colours: dict[int, tuple[int, int, int] | None] = {}
        for roi_contour in self._dataset.sequences.get(_ROI_CONTOURS, []):
            number = roi_contour.integer(_REFERENCED_ROI)
            if number not in index or number in colours:
                raise _unsound("RESULT_INCONSISTENT", _REFERENCED_ROI, roi=number)
            colours[number] = self._colour(roi_contour)
            contours[index[number]] = roi_contour.contours
        return contours, colours

    def _interpreted_types(self, names: dict[int, str]) -> dict[int, str]:
        types: dict[int, str] = {}
        numbers: set[int] = set()
        for item in self._dataset.sequences.get(_OBSERVATIONS, []):
            number = item.integer(_REFERENCED_ROI)
            observation = item.integer(_OBSERVATION_NUMBER)
            if number not in names or number in types or observation in numbers:
                raise _unsound("RESULT_INCONSISTENT", _OBSERVATION_NUMBER, roi=number)
            numbers.add(observation)
            found = item.value(_INTERPRETED_TYPE)
            types[number] = found.decode("ascii") if found in _INTERPRETED_TYPES else ""
        return types

    def _place(
        self, contours: Sequence[Sequence[Contour]]
    ) -> tuple[list[list[Contour]], npt.NDArray[np.float32], list[Ring]]:
        """Check that every point lies where it must; also the slice of contours that name none."""
        placed: list[list[Contour]] = [[] for _ in contours]
        rings: list[Ring] = []
        pieces: list[npt.NDArray[np.float32]] = [np.empty((0, 2), np.float32)]
        first = 0
        for batch in _batches(contours):
            slices, pixels = self._batch(batch)
            pieces.append(pixels.astype(np.float32))
            for (roi, contour), slice_index in zip(batch, slices.tolist(), strict=True):
                named = contour.slice_index == slice_index
                placed[roi].append(contour if named else contour._replace(slice_index=slice_index))
                rings.append(Ring(roi, slice_index, first, first + contour.points))
                first += contour.points
        return placed, np.concatenate(pieces), rings

    def _batch(
        self, batch: Sequence[tuple[int, Contour]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The slice of each contour, and the columns and rows of all their points."""
        try:
            numbers = decimals(b"\\".join([bytes(contour.data).rstrip(b" ") for _, contour in batch]))
        except ValueError:  # its message tells no value
            raise _unsound("RESULT_UNPARSABLE", _DATA) from None
        projected = self._planes.project(numbers.reshape(-1, 3))
        counts = np.array([contour.points for _, contour in batch])
        slices = np.array([contour.slice_index for _, contour in batch])
        unreferenced = slices == _UNREFERENCED
        if unreferenced.any():
            firsts = np.cumsum(counts) - counts
            slices[unreferenced] = self._planes.nearest(projected[firsts[unreferenced], 2])
        relative = self._planes.relative(projected, np.repeat(slices, counts))
        margin = 0.5 + OFF_PLANE_MM / self._planes.mm
        pixels = relative[:, :2]
        outside = (pixels < -margin) | (pixels > self._planes.shape - 1 + margin)
        if np.abs(relative[:, 2]).max() > OFF_PLANE_MM or outside.any():
            raise _unsound("RESULT_OFF_SLICE", _DATA)
        return slices, pixels

    @staticmethod
    def _colour(item: Item) -> tuple[int, int, int] | None:
        parts = item.value(_ROI_COLOUR).split(b"\\")
        if len(parts) != 3 or not all(map(_INTEGER.fullmatch, parts)):
            return None
        red, green, blue = (min(max(int(part), 0), 255) for part in parts)
        return red, green, blue


def _batches(contours: Sequence[Sequence[Contour]]) -> list[list[tuple[int, Contour]]]:
    """The contours with the index of their ROI, in lists of about `_BATCH_BYTES` of coordinates."""
    batches: list[list[tuple[int, Contour]]] = []
    size = _BATCH_BYTES
    for roi, of_roi in enumerate(contours):
        for contour in of_roi:
            if size >= _BATCH_BYTES:
                batches.append([])
                size = 0
            batches[-1].append((roi, contour))
            size += len(contour.data)
    return batches


def _unsound(code: str, tag: int, **facts: Fact) -> StructureSetUnsound:
    return StructureSetUnsound(code, tag=BaseTag(tag), **facts)
