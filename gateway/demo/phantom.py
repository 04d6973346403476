"""A made patient: a CT series of a chest that no person ever had.

In: the anatomy and which way the patient lies. Out: CT Image Storage datasets, whose patient is named as what he is.
"""

from __future__ import annotations

import hashlib

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from gateway.demo.anatomy import Phantom

__all__ = ["Phantom", "phantom_series"]


def phantom_series(
    phantom: Phantom | None = None, *, patient_position: str = "HFS", patient_id: str = "DEMO-0001"
) -> list[Dataset]:
    """Make the CT series of a phantom, in the order of InstanceNumber.

    The patient's name is an invented one and says so, in Latin letters, kanji (架空, "fictitious") and hiragana,
    which needs two character sets (PS3.5 6.1.2.5).

    Parameters
    ----------
    phantom : Phantom, optional
        The geometry; 100 slices of 3 mm by default.
    patient_position : str
        HFS, HFP, FFS or FFP (PS3.3 C.7.3.1.1.2): turns the matrix, not the patient's coordinates.
    patient_id : str
        The PatientID.

    Returns
    -------
    list of Dataset
        CT Image Storage with file meta, explicit VR little endian, native pixels.

    Raises
    ------
    KeyError
        If the patient position is another.
    """
    phantom = phantom or Phantom()
    across, down = {"HFS": (1, 1), "HFP": (-1, -1), "FFS": (-1, 1), "FFP": (1, -1)}[patient_position]
    corner = phantom.corner_mm
    made = []
    for number, (height, plane) in enumerate(zip(phantom.heights_mm, phantom.planes(), strict=True), start=1):
        image = _header(phantom, patient_id)
        image.PatientPosition = patient_position
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = _uid(
            phantom, patient_id, f"i{number}"
        )
        image.InstanceNumber = number
        image.ImagePositionPatient = [
            round(across * corner, 6),
            round(down * corner, 6),
            round(float(height), 6),
        ]
        image.ImageOrientationPatient = [across, 0, 0, 0, down, 0]
        image.SliceLocation = round(float(height), 6)
        image.PixelData = np.ascontiguousarray(plane[::down, ::across] + 1024).astype("<u2").tobytes()
        made.append(image)
    return made


def _uid(phantom: Phantom, patient_id: str, part: str) -> UID:
    """The same phantom has the same UIDs each time it is made (PS3.5 B.2: 2.25 and an integer)."""
    name = f"{phantom.seed} {phantom.slices} {phantom.matrix} {phantom.slice_distance_mm} {patient_id} {part}"
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], 'big')}")


def _header(phantom: Phantom, patient_id: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20200229"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "120000"
    image.AccessionNumber = "DEMO-ACC-1"
    image.Modality = "CT"
    image.Manufacturer = "Invented Scanners"
    image.InstitutionName = "Invented Hospital"
    image.ReferringPhysicianName = "INVENTED^REFERRER"
    image.StudyDescription = "Invented chest"
    image.SeriesDescription = "Phantom chest 3.0"
    image.ManufacturerModelName = "Phantom"
    image.PatientName = "INVENTED^PHANTOM=架空^模型=かくう^もけい"
    image.PatientID = patient_id
    image.PatientBirthDate = "19000101"
    image.PatientSex = "O"
    image.BodyPartExamined = "CHEST"
    image.SliceThickness = phantom.slice_distance_mm
    image.KVP = 120
    image.RescaleType = "HU"
    image.ProtocolName = "Invented protocol"
    image.StudyInstanceUID = _uid(phantom, patient_id, "study")
    image.SeriesInstanceUID = _uid(phantom, patient_id, "series")
    image.FrameOfReferenceUID = _uid(phantom, patient_id, "frame of reference")
    image.StudyID = "DEMO"
    image.SeriesNumber = 2
    image.AcquisitionNumber = 1
    image.PositionReferenceIndicator = ""
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = image.Columns = phantom.matrix
    image.PixelSpacing = [phantom.pixel_spacing_mm, phantom.pixel_spacing_mm]
    image.BitsAllocated = 16
    image.BitsStored = 12
    image.HighBit = 11
    image.PixelRepresentation = 0
    image.WindowCenter, image.WindowWidth = 40, 400
    image.RescaleIntercept, image.RescaleSlope = -1024, 1
    return image
