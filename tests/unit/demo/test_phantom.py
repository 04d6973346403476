from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from gateway.demo.anatomy import Phantom
from gateway.demo.phantom import phantom_series

SMALL = Phantom(slices=8, slice_distance_mm=20, matrix=64, pixel_spacing_mm=8)


def test_the_same_phantom_is_made_twice_alike():
    first, second = phantom_series(SMALL), phantom_series(SMALL)
    assert first == second


def test_another_patient_id_makes_another_study():
    first, second = phantom_series(SMALL)[0], phantom_series(SMALL, patient_id="DEMO-0002")[0]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
        assert first[keyword].value != second[keyword].value


def test_slices_share_what_a_series_shares_and_differ_in_the_rest():
    series = phantom_series(SMALL)
    assert len({image.SeriesInstanceUID for image in series}) == 1
    assert len({image.SOPInstanceUID for image in series}) == 8
    assert [image.InstanceNumber for image in series] == list(range(1, 9))
    heights = [float(image.ImagePositionPatient[2]) for image in series]
    assert np.allclose(np.diff(heights), 20)


def test_the_name_is_written_in_two_character_sets_and_reads_back():
    target = io.BytesIO()
    pydicom.dcmwrite(target, phantom_series(SMALL)[0], enforce_file_format=True)
    assert b"\x1b$B" in target.getvalue()  # JIS X 0208
    name = pydicom.dcmread(io.BytesIO(target.getvalue())).PatientName
    assert str(name.alphabetic) == "INVENTED^PHANTOM"
    assert str(name.ideographic) == "架空^模型"


def test_pixels_are_the_hounsfield_units_of_the_anatomy():
    image = phantom_series(
        Phantom(slices=9, slice_distance_mm=20, matrix=64, pixel_spacing_mm=8, noise_hu=0)
    )[4]
    hounsfield = np.frombuffer(image.PixelData, "<u2").reshape(64, 64) + float(image.RescaleIntercept)
    assert hounsfield[0, 0] == -1000
    assert (hounsfield == -840).any()
    assert hounsfield.max() == 720


def test_a_prone_patient_lies_in_a_turned_matrix():
    supine, prone = phantom_series(SMALL)[0], phantom_series(SMALL, patient_position="HFP")[0]
    turned = np.frombuffer(prone.PixelData, "<u2").reshape(64, 64)[::-1, ::-1]
    assert (turned == np.frombuffer(supine.PixelData, "<u2").reshape(64, 64)).all()
    assert list(prone.ImageOrientationPatient) == [-1, 0, 0, 0, -1, 0]


@pytest.mark.parametrize(
    "wrong", [{"slices": 0}, {"matrix": 8}, {"slice_distance_mm": 0}, {"pixel_spacing_mm": -1}]
)
def test_a_phantom_of_no_size_cannot_be_made(wrong):
    with pytest.raises(ValueError, match="above zero"):
        Phantom(**wrong)
