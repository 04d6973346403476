"""Outlines become an RT Structure Set (PS3.3 A.19.3), explicit VR little endian, DICOM Part 10.

In: the volume that was contoured, and its ROIs. Out: the encoded object, for the pseudonymous patient of the images.
It claims nothing but what the images say and what was drawn: unapproved, automatic, no operator.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Sequence
from typing import Final

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RTStructureSetStorage

import gateway
from gateway.contourer.engine.contour_sequence import encode_roi_contours
from gateway.contourer.engine.roi import Code, Roi
from gateway.contourer.engine.volume import ImageReference, Volume

__all__ = ["encode"]

STRUCTURE_SET_LABEL: Final = "Contourgate auto"
_STUDY_CLASS: Final = UID("1.2.840.10008.3.1.2.3.1")
"""Detached Study Management, retired, and still what RTReferencedStudySequence names (PS3.3 C.8.8.5.4)."""
_IMPLEMENTATION: Final = UID("2.25.294318460317823471043361246527320194211")


def encode(volume: Volume, rois: Sequence[Roi]) -> bytes:
    """Write the structure set.

    Parameters
    ----------
    volume : Volume
        The images: whom and what the structure set refers to.
    rois : sequence of Roi
        In the order of their ROI numbers, from 1.

    Returns
    -------
    bytes
        DICOM Part 10.
    """
    now = datetime.datetime.now(datetime.UTC)
    dataset = Dataset()
    for element in volume.header:
        if element.keyword != "SeriesInstanceUID":
            dataset.add(element)
    for keyword in _EMPTY_ALLOWED:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = pydicom.uid.generate_uid(prefix=None)
    dataset.SeriesInstanceUID = pydicom.uid.generate_uid(prefix=None)
    dataset.SeriesNumber = 1
    dataset.Modality = "RTSTRUCT"
    dataset.OperatorsName = None
    dataset.Manufacturer = "Contourgate"
    dataset.ManufacturerModelName = "Contourgate engine"
    dataset.SoftwareVersions = gateway.__version__
    dataset.StructureSetLabel = STRUCTURE_SET_LABEL
    dataset.StructureSetDate = f"{now:%Y%m%d}"
    dataset.StructureSetTime = f"{now:%H%M%S}"
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(volume)]
    dataset.StructureSetROISequence = [_roi(number, roi, volume) for number, roi in enumerate(rois, 1)]

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = _IMPLEMENTATION
    dataset.file_meta.ImplementationVersionName = "CONTOURGATE"
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    # What follows has higher tags than anything above (PS3.5 7.1: elements are in the order of their tags).
    target.write(encode_roi_contours(rois, volume.images))
    observations = Dataset()
    observations.RTROIObservationsSequence = [_observation(number, roi) for number, roi in enumerate(rois, 1)]
    observations.ApprovalStatus = "UNAPPROVED"
    pydicom.dcmwrite(target, observations, implicit_vr=False, little_endian=True)
    return target.getvalue()


_EMPTY_ALLOWED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "PositionReferenceIndicator",
)
"""Type 2: present, empty where the images do not say."""


def _reference(image: ImageReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.sop_class_uid
    item.ReferencedSOPInstanceUID = image.sop_instance_uid
    return item


def _frame_of_reference(volume: Volume) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = volume.header.SeriesInstanceUID
    series.ContourImageSequence = [_reference(image) for image in volume.images]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = volume.header.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = volume.header.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(number: int, roi: Roi, volume: Volume) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = volume.header.FrameOfReferenceUID
    item.ROIName = roi.structure.name
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _observation(number: int, roi: Roi) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    if roi.structure.code is not None:
        item.RTROIIdentificationCodeSequence = list(_codes([roi.structure.code]))
    item.RTROIInterpretedType = roi.structure.interpreted_type
    item.ROIInterpreter = None
    return item


def _codes(codes: Iterable[Code]) -> Iterable[Dataset]:
    for code in codes:
        item = Dataset()
        item.CodeValue = code.value
        item.CodingSchemeDesignator = "SCT"
        item.CodeMeaning = code.meaning
        yield item
