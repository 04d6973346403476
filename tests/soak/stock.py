"""Slices to send: made once for each matrix and transfer syntax, given out under each shipment's own UIDs."""

from __future__ import annotations

import functools
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from tests import made
from tests.soak.plan import Shipment

FRAMES = 4
"""Different pictures of each matrix."""


def write(shipment: Shipment, folder: Path) -> list[Path]:
    """Write a shipment's slices as DICOM files, in order."""
    folder.mkdir(parents=True)
    paths = []
    for index in range(shipment.slices):
        dataset = slice_of(shipment, index)
        path = folder / f"{index:04}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def slice_of(shipment: Shipment, index: int) -> Dataset:
    """One slice; a head of its own over a picture of the stock."""
    dataset = made.image(index, side=2, modality=shipment.modality)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = shipment.study_uid, shipment.series_uid
    dataset.FrameOfReferenceUID, dataset.SOPInstanceUID = shipment.frame_uid, shipment.instance_uid(index)
    dataset.PatientID = shipment.patient_id
    dataset.Rows = dataset.Columns = shipment.side
    dataset.ImagePositionPatient = [str(-shipment.side / 2), str(-shipment.side / 2), str(3 * index)]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = shipment.syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    coded = _coded(shipment.side, index % FRAMES, shipment.syntax)
    if shipment.syntax.is_encapsulated:
        dataset.add_new(0x7FE00010, "OB", coded)
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.add_new(0x7FE00010, "OW", coded)
    return dataset


def picture(side: int, number: int) -> np.ndarray:
    """A disc of water in air with a little noise, Hounsfield units."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    inside = (rows / 0.30) ** 2 + (columns / (0.34 + 0.02 * number)) ** 2 < side**2
    noise = np.random.default_rng([side, number]).integers(-12, 12, (side, side))
    return (np.where(inside, 20, -1000) + noise).astype("<i2")


@functools.cache
def _coded(side: int, number: int, syntax: uid.UID) -> bytes:
    values = picture(side, number)
    words = values.view("<u2")
    if syntax == uid.ExplicitVRBigEndian:
        return values.byteswap().tobytes()
    if syntax == uid.RLELossless:
        return _by_pydicom(values, syntax)
    coders = {
        uid.JPEGLSLossless: lambda: imagecodecs.jpegls_encode(words),
        uid.JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(
            words, level=0, reversible=True, codecformat="j2k"
        ),
        uid.JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(words, bitspersample=16),
    }
    if syntax in coders:
        return encapsulate([bytes(coders[syntax]())])
    return values.tobytes()


def _by_pydicom(values: np.ndarray, syntax: uid.UID) -> bytes:
    dataset = made.image(side=values.shape[0])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset["PixelData"].value = values.tobytes()
    dataset.compress(syntax, generate_instance_uid=False)
    coded: bytes = dataset.PixelData
    return coded
