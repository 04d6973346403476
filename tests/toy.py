"""A toy passage: images with an identity, their pseudonyms, and the structure set that a contourer sends back.

Made with pydicom, so that nothing here shares code with what is tested.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage

from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.flow.inspect import Expectation, ExpectedSlice
from gateway.vault.identity import Identity

STUDY, SERIES, FRAME = "1.2.840.99.1.1", "1.2.840.99.1.2", "1.2.840.99.1.3"
ORIGIN = (-100.0, -120.0)
SPACING = (2.0, 1.5)
GAP = 3.0
ROWS, COLUMNS = 64, 80


def pseudonym(uid: str) -> str:
    return f"2.25.{int.from_bytes(hashlib.sha256(uid.encode()).digest()[:16]) | 1 << 127}"


def encoded(dataset: Dataset, *, implicit: bool = False) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, True
    write_dataset(stream, dataset)
    return stream.getvalue()


def part10(dataset: Dataset, *, implicit: bool = False) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def image(index: int = 0, **changes: object) -> Dataset:
    """A CT slice of the toy study."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"1.2.840.99.1.4.{index + 1}"
    dataset.StudyDate, dataset.StudyTime = "20240229", "070809"
    dataset.AccessionNumber = "ACC-7"
    dataset.Modality = "CT"
    dataset.ReferringPhysicianName = "Weiß^Jürgen"
    dataset.StudyDescription = "Thorax für Planung"
    dataset.PatientName = "Müller^Zoë"
    dataset.PatientID = "4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19501231", "F"
    dataset.PatientAge, dataset.OtherPatientIDs = "073Y", "A1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.StudyID = "S1"
    dataset.ImagePositionPatient = [*ORIGIN, GAP * index]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.FrameOfReferenceUID = FRAME
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = ROWS, COLUMNS, list(SPACING)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.add_new(0x7FE00010, "OW", bytes(2 * dataset.Rows * dataset.Columns))
    return dataset


def instance(dataset: Dataset, *, implicit: bool = False) -> Instance:
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return parse_instance(encoded(dataset, implicit=implicit), str(syntax), limits=WalkLimits())


def circle(
    index: int, *, radius: float = 20.0, points: int = 24, x: float = -40.0, y: float = -60.0
) -> list[float]:
    """Coordinates of a contour on a slice, mm."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    ring = np.stack(
        [x + radius * np.cos(angle), y + radius * np.sin(angle), np.full(points, GAP * index)], axis=1
    )
    return [round(float(number), 2) for number in ring.ravel()]


@dataclass
class Toy:
    """A passage of `slices` images."""

    slices: int = 8
    images: list[Dataset] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.images = self.images or [image(index) for index in range(self.slices)]
        self.slices = len(self.images)

    @property
    def identity(self) -> Identity:
        return self.identity_in(implicit=False)

    def identity_in(self, *, implicit: bool) -> Identity:
        return Identity.of(instance(self.images[0], implicit=implicit))

    @property
    def originals(self) -> dict[str, str]:
        first = self.images[0]
        uids = [first.StudyInstanceUID, first.SeriesInstanceUID, first.FrameOfReferenceUID]
        uids += [one.SOPInstanceUID for one in self.images]
        return {pseudonym(uid): str(uid) for uid in uids}

    @property
    def expectation(self) -> Expectation:
        first = self.images[0]
        return Expectation(
            study_instance_uid=pseudonym(first.StudyInstanceUID),
            series_instance_uid=pseudonym(first.SeriesInstanceUID),
            frame_of_reference_uid=pseudonym(first.FrameOfReferenceUID),
            slices={
                pseudonym(one.SOPInstanceUID): ExpectedSlice(
                    one.SOPClassUID,
                    tuple(one.ImagePositionPatient),
                    tuple(one.ImageOrientationPatient),
                    tuple(one.PixelSpacing),
                    one.Rows,
                    one.Columns,
                )
                for one in self.images
            },
            patient_id="P-TESTCODE",
        )

    def structure_set(
        self, rois: Sequence[str] = ("Liver", "Kidney_L"), contours: Iterable[Sequence[float]] | None = None
    ) -> Dataset:
        """What an honest contourer returns; every ROI has the same contours, by default one on each slice."""
        first, expected = self.images[0], self.expectation
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, "1.2.826.0.1.3680043.8.498.11"
        dataset.Modality, dataset.Manufacturer = "RTSTRUCT", "Toy"
        dataset.PatientName, dataset.PatientID = "P-TESTCODE", "P-TESTCODE"
        dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "toy"
        dataset.StudyInstanceUID = expected.study_instance_uid
        dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.12"
        dataset.StructureSetLabel = "TOY"
        dataset.StructureSetDate, dataset.StructureSetTime = "20000101", "000000"
        dataset.ApprovalStatus = "APPROVED"
        images = Items([_reference(one) for one in self.images])
        series = Dataset()
        series.SeriesInstanceUID, series.ContourImageSequence = expected.series_instance_uid, images
        study = Dataset()
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = expected.study_instance_uid
        study.RTReferencedSeriesSequence = Items([series])
        frame = Dataset()
        frame.FrameOfReferenceUID = expected.frame_of_reference_uid
        frame.RTReferencedStudySequence = Items([study])
        dataset.ReferencedFrameOfReferenceSequence = Items([frame])
        drawn = [circle(index) for index in range(self.slices)] if contours is None else list(contours)
        dataset.StructureSetROISequence, dataset.ROIContourSequence = Items(), Items()
        dataset.RTROIObservationsSequence = Items()
        for number, name in enumerate(rois, 1):
            dataset.StructureSetROISequence.append(_roi(number, name, expected.frame_of_reference_uid))
            dataset.ROIContourSequence.append(
                _roi_contour(number, drawn, self.images, float(first.ImagePositionPatient[2]))
            )
            dataset.RTROIObservationsSequence.append(_observation(number))
        return dataset


def _reference(one: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = one.SOPClassUID
    reference.ReferencedSOPInstanceUID = pseudonym(one.SOPInstanceUID)
    return reference


def _roi(number: int, name: str, frame_of_reference_uid: str) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "AUTOMATIC"
    roi.ReferencedFrameOfReferenceUID = frame_of_reference_uid
    return roi


def _roi_contour(number: int, drawn: list[Sequence[float]], images: list[Dataset], first_z: float) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor, item.ReferencedROINumber, item.ContourSequence = (
        [255, 10 * number, 0],
        number,
        Items(),
    )
    for coordinates in drawn:
        contour = Dataset()
        contour.ContourImageSequence = Items([_reference(images[round((coordinates[2] - first_z) / GAP)])])
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints, contour.ContourData = len(coordinates) // 3, list(coordinates)
        item.ContourSequence.append(contour)
    return item


def _observation(number: int) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", ""
    return observation
