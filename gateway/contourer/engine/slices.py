"""One image, decoded: comes in as DICOM Part 10 with native pixels, goes out as Hounsfield units with its geometry.

Refuses what cannot be read, another modality than CT and MR, compressed pixels, and pixels that do not fit the header.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gateway.errors import ContourerRefused

__all__ = ["CARRIED_OVER", "LOWEST_HU", "Slice", "read_slice"]

LOWEST_HU: Final = -1024
"""What padding outside the scan field becomes."""
_HIGHEST_HU: Final = 3071

CARRIED_OVER: Final = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "StudyDescription",
    "FrameOfReferenceUID",
    "SeriesInstanceUID",
)
"""What the structure set repeats of its images (Patient and General Study modules, PS3.3 C.7.1.1, C.7.2.1)."""

_REQUIRED_UIDS: Final = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")

_BROKEN: Final = (
    InvalidDicomError,
    BytesLengthException,
    AttributeError,
    EOFError,
    KeyError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises where the bytes are not what they claim."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One image of a series."""

    modality: str
    header: Dataset
    """The attributes of `CARRIED_OVER` that the image has."""
    sop_class_uid: str
    sop_instance_uid: str
    position_mm: NDArray[np.float64]
    """Centre of the first pixel (PS3.3 C.7.6.2)."""
    row_cosines: NDArray[np.float64]
    """Direction in which the column index grows."""
    column_cosines: NDArray[np.float64]
    """Direction in which the row index grows."""
    spacing_mm: tuple[float, float]
    """Distance between rows, distance between columns (PS3.3 10.7.1.3)."""
    gantry_tilt_degrees: float
    pixels: NDArray[np.int16]
    """(rows, columns): HU of a CT, intensity of an MR."""


def read_slice(part10: bytes | bytearray) -> Slice:
    """Decode one image.

    Parameters
    ----------
    part10 : bytes
        A DICOM Part 10 stream.

    Raises
    ------
    ContourerRefused
        DATASET_UNPARSABLE, TRANSFER_SYNTAX_NOT_SUPPORTED, MODALITY_UNSUITABLE, ATTRIBUTE_MISSING or PIXELS_UNFIT.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(part10))
        return _decoded(dataset)
    except _BROKEN:
        # The cause's message may quote a value.
        raise ContourerRefused("DATASET_UNPARSABLE") from None


def _decoded(dataset: Dataset) -> Slice:
    if dataset.file_meta.TransferSyntaxUID not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        raise ContourerRefused("TRANSFER_SYNTAX_NOT_SUPPORTED")
    modality = str(dataset.get("Modality", ""))
    if modality not in ("CT", "MR"):
        raise ContourerRefused("MODALITY_UNSUITABLE")
    for keyword in (*_REQUIRED_UIDS, "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if not dataset.get(keyword):
            raise ContourerRefused("ATTRIBUTE_MISSING")
    position = _numbers(dataset, "ImagePositionPatient", 3)
    orientation = _numbers(dataset, "ImageOrientationPatient", 6)
    spacing = _numbers(dataset, "PixelSpacing", 2)
    if not (spacing > 0).all():
        raise ContourerRefused("DATASET_UNPARSABLE")
    stored = _stored_values(dataset)
    header = Dataset()
    for keyword in CARRIED_OVER:
        if keyword in dataset:
            header[keyword] = dataset[keyword]
    return Slice(
        modality=modality,
        header=header,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        position_mm=position,
        row_cosines=orientation[:3],
        column_cosines=orientation[3:],
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        gantry_tilt_degrees=float(dataset.get("GantryDetectorTilt") or 0),
        pixels=_hounsfield(dataset, stored) if modality == "CT" else _intensities(dataset, stored),
    )


def _numbers(dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64]:
    numbers = np.array([float(value) for value in dataset[keyword].value], np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ContourerRefused("DATASET_UNPARSABLE")
    return numbers


def _stored_values(dataset: Dataset) -> NDArray[np.signedinteger | np.unsignedinteger]:
    """Read the pixel cells, without what lies above BitsStored (PS3.5 8.1.1)."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated, used = int(dataset.BitsAllocated), int(dataset.BitsStored)
    signed = int(dataset.PixelRepresentation) == 1
    fits = (
        int(dataset.get("SamplesPerPixel", 1)) == 1
        and int(dataset.get("NumberOfFrames", 1) or 1) == 1
        and allocated in (8, 16)
        and 0 < used <= allocated
        and int(dataset.HighBit) == used - 1
        and 0 < rows <= 4096
        and 0 < columns <= 4096
        and "PixelData" in dataset
        and 0 <= len(dataset.PixelData) - rows * columns * allocated // 8 <= 1
    )
    if not fits:
        raise ContourerRefused("PIXELS_UNFIT")
    cell = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    stored = np.frombuffer(dataset.PixelData, cell, rows * columns).reshape(rows, columns)
    spare = allocated - used
    return (stored << spare) >> spare if spare else stored


def _hounsfield(
    dataset: Dataset, stored: NDArray[np.signedinteger | np.unsignedinteger]
) -> NDArray[np.int16]:
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    hounsfield = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    padding = dataset.get("PixelPaddingValue")
    if padding is not None:
        hounsfield[stored == int(padding)] = LOWEST_HU
    if not np.isfinite(hounsfield).all():
        raise ContourerRefused("PIXELS_UNFIT")
    return np.asarray(np.clip(np.rint(hounsfield), LOWEST_HU, _HIGHEST_HU), np.int16)


def _intensities(
    dataset: Dataset, stored: NDArray[np.signedinteger | np.unsignedinteger]
) -> NDArray[np.int16]:
    """MR has no unit: only where 16 unsigned bits would not fit are the values halved, alike in every slice."""
    if int(dataset.BitsStored) == 16 and int(dataset.PixelRepresentation) == 0:
        stored = stored >> 1
    return np.asarray(stored, np.int16)
