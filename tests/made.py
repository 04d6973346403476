"""Made images: small, valid, with invented identities, as datasets, as bytes and as parsed instances."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits

ROOT = "1.2.826.0.1.3680043.8.498.9"


def image(
    index: int = 0,
    *,
    study: int = 1,
    series: int = 1,
    patient: str = "INVENTED-1",
    modality: str = "CT",
    side: int = 16,
    seed: int = 0,
) -> Dataset:
    """One axial slice of a stack with 3 mm between slices."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    dataset.SOPInstanceUID = f"{ROOT}.{study}.{series}.{index + 1}"
    dataset.StudyDate, dataset.StudyTime = "20200102", "101112"
    dataset.AccessionNumber, dataset.Modality = "INV-ACC-7", modality
    dataset.ReferringPhysicianName = "Invented^Referrer"
    dataset.PatientName, dataset.PatientID = "Invented^Person", patient
    dataset.PatientBirthDate, dataset.PatientSex = "19330405", "O"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.{study}", f"{ROOT}.{study}.{series}"
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "77", "1", str(index + 1)
    dataset.FrameOfReferenceUID = f"{ROOT}.{study}.0"
    dataset.PatientPosition, dataset.SliceThickness, dataset.KVP = "HFS", "3", "120"
    dataset.ImagePositionPatient = ["-8", "-8", str(3 * index)]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.PixelSpacing = ["1", "1"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = side
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    if modality == "CT":
        dataset.RescaleIntercept, dataset.RescaleSlope = "0", "1"
    values = np.random.default_rng([seed, index]).integers(-1000, 1000, (side, side)).astype("<i2")
    dataset.add_new(0x7FE00010, "OW", values.tobytes())
    return dataset


def body(index: int = 0, *, side: int = 64, **details: object) -> Dataset:
    """`image` with something to contour: a disc of water in air."""
    dataset = image(index, side=side, **details)  # type: ignore[arg-type]
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    values = np.where(rows**2 + columns**2 < (side / 3) ** 2, 0, -1000).astype("<i2")
    dataset["PixelData"].value = values.tobytes()
    return dataset


def encoded(dataset: Dataset, *, implicit: bool = False) -> bytes:
    """The dataset without file meta information, little endian."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, implicit
    write_dataset(stream, dataset)
    return stream.getvalue()


def instance(index: int = 0, *, implicit: bool = False, **details: object) -> Instance:
    """`image`, received and parsed."""
    dataset = image(index, **details)  # type: ignore[arg-type]
    return parse_instance(
        encoded(dataset, implicit=implicit),
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian,
        limits=WalkLimits(),
        command_sop_class_uid=dataset.SOPClassUID,
        command_sop_instance_uid=dataset.SOPInstanceUID,
    )


def part10(dataset: Dataset) -> bytes:
    """The dataset as a DICOM file in memory."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
