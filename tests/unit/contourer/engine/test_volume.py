from __future__ import annotations

import random

import numpy as np
import pytest
from pydicom.uid import generate_uid

from gateway.contourer.engine.slices import read_slice
from gateway.contourer.engine.volume import assemble
from gateway.demo.phantom import Phantom, phantom_series
from gateway.errors import ContourerRefused

SMALL = Phantom(slices=5, slice_distance_mm=20, matrix=64, pixel_spacing_mm=8.0, noise_hu=0)


def assembled(images, part10):
    return assemble([read_slice(part10(image)) for image in images])


def refusal(images, part10):
    with pytest.raises(ContourerRefused) as refused:
        assembled(images, part10)
    return refused.value.code


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
def test_every_patient_position_gives_the_same_volume(part10, position):
    supine = assembled(phantom_series(SMALL), part10)
    turned = assembled(phantom_series(SMALL, patient_position=position), part10)
    assert (turned.voxels == supine.voxels).all()
    assert np.allclose(turned.first_voxel_mm, supine.first_voxel_mm)
    assert np.allclose(turned.row_step_mm, [0, 8, 0])
    assert np.allclose(turned.column_step_mm, [8, 0, 0])


def test_a_matrix_lying_on_its_side_gives_the_same_volume(part10):
    upright = assembled(phantom_series(SMALL), part10)
    images = phantom_series(SMALL)
    for image in images:
        pixels = np.frombuffer(image.PixelData, "<u2").reshape(64, 64)
        image.PixelData = np.ascontiguousarray(pixels.T[:, ::-1]).tobytes()
        # Columns now run from the front to the back, rows from the patient's left to the right.
        image.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
        x, y, z = image.ImagePositionPatient
        image.ImageOrientationPatient = [0, -1, 0, 1, 0, 0]
        image.ImagePositionPatient = [x, float(y) + 63 * 8, z]
    lying = assembled(images, part10)
    assert (lying.voxels == upright.voxels).all()
    assert np.allclose(lying.first_voxel_mm, upright.first_voxel_mm)


def test_slices_may_come_in_any_order(part10):
    images = phantom_series(SMALL)
    ordered = assembled(images, part10)
    random.Random(3).shuffle(images)
    shuffled = assembled(images, part10)
    assert (shuffled.voxels == ordered.voxels).all()
    assert shuffled.images == ordered.images
    assert (np.diff(shuffled.first_voxel_mm[:, 2]) > 0).all()


def test_rows_and_columns_may_differ_in_spacing(part10):
    images = phantom_series(SMALL)
    for image in images:
        image.PixelSpacing = [4, 8]
    volume = assembled(images, part10)
    assert (volume.row_mm, volume.column_mm) == (4, 8)
    corner = volume.plane_to_mm(2, np.array([[63 * 8.0, 63 * 4.0]]))
    assert np.allclose(corner, [[252, 0, 0]])


def test_a_single_slice_is_refused(part10):
    assert refusal(phantom_series(SMALL)[:1], part10) == "TOO_FEW_SLICES"


@pytest.mark.parametrize(
    "orientation",
    [
        [1, 0, 0, 0, 0, -1],  # coronal
        [0, 1, 0, 0, 0, -1],  # sagittal
        [1, 0, 0, 0, 0.9483237, -0.3173047],  # gantry tilted by 18.5 degrees
        [1, 0, 0, 1, 0, 0],  # not a plane
        [2, 0, 0, 0, 2, 0],  # not cosines
    ],
)
def test_slices_that_are_not_axial_are_refused(part10, orientation):
    images = phantom_series(SMALL)
    for image in images:
        image.ImageOrientationPatient = orientation
    assert refusal(images, part10) == "ORIENTATION_UNSUITABLE"


def test_a_tilt_that_only_the_positions_show_is_refused(part10):
    images = phantom_series(SMALL)
    for number, image in enumerate(images):
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, float(y) + 4 * number, z]
    assert refusal(images, part10) == "ORIENTATION_UNSUITABLE"


def test_a_tilt_that_only_the_header_tells_is_refused(part10):
    images = phantom_series(SMALL)
    for image in images:
        image.GantryDetectorTilt = -12
    assert refusal(images, part10) == "ORIENTATION_UNSUITABLE"


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("PixelSpacing", [8, 8.1], "GEOMETRY_MIXED"),
        ("ImageOrientationPatient", [-1, 0, 0, 0, -1, 0], "ORIENTATION_MIXED"),
        ("FrameOfReferenceUID", generate_uid(), "FRAME_OF_REFERENCE_MIXED"),
        ("SeriesInstanceUID", generate_uid(), "SERIES_MIXED"),
        ("StudyInstanceUID", generate_uid(), "SERIES_MIXED"),
        ("ImagePositionPatient", [-252, -252, 40], "SLICE_TWICE"),
        ("Modality", "MR", "GEOMETRY_MIXED"),
    ],
)
def test_slices_that_do_not_belong_together_are_refused(part10, keyword, value, code):
    images = phantom_series(SMALL)
    setattr(images[3], keyword, value)
    assert refusal(images, part10) == code


def test_an_instance_twice_is_refused(part10):
    images = phantom_series(SMALL)
    images[1].SOPInstanceUID = images[1].file_meta.MediaStorageSOPInstanceUID = images[0].SOPInstanceUID
    assert refusal(images, part10) == "INSTANCE_CONFLICT"
