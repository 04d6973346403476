from __future__ import annotations

import dataclasses
import io

import numpy as np
import pydicom
import pytest

from gateway.contourer.engine.contours import Outline
from gateway.contourer.engine.roi import EXTERNAL, LUNG_L, Roi
from gateway.contourer.engine.slices import read_slice
from gateway.contourer.engine.structure_set import encode
from gateway.contourer.engine.volume import assemble


@pytest.fixture
def written(few, part10):
    volume = assemble([read_slice(part10(image)) for image in few])
    corners = np.array([[-10, -10], [10, -10], [10, 10], [-10, 10]], float)

    def square(index, size):
        return Outline(index, np.column_stack([corners * size, np.full(4, volume.first_voxel_mm[index, 2])]))

    rois = [Roi(EXTERNAL, [square(index, 1) for index in range(4)]), Roi(LUNG_L, [square(2, 1 / 3)])]
    return pydicom.dcmread(io.BytesIO(encode(volume, rois)))


def test_it_is_an_explicit_little_endian_structure_set(written):
    assert written.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert written.SOPClassUID == written.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.481.3"
    assert written.Modality == "RTSTRUCT"


def test_patient_and_study_are_those_of_the_images(written, few):
    for keyword in (
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "AccessionNumber",
        "FrameOfReferenceUID",
    ):
        assert written[keyword].value == few[0][keyword].value, keyword


def test_what_the_images_do_not_say_is_empty_and_not_invented(few, part10):
    for image in few:
        for keyword in ("PatientBirthDate", "PatientName", "ReferringPhysicianName", "StudyID"):
            del image[keyword]
    volume = assemble([read_slice(part10(image)) for image in few])
    written = pydicom.dcmread(io.BytesIO(encode(volume, [Roi(EXTERNAL, [])])))
    for keyword in ("PatientBirthDate", "PatientName", "ReferringPhysicianName", "StudyID", "OperatorsName"):
        assert keyword in written
        assert not written[keyword].value


def test_its_own_uids_are_new_each_time(few, part10):
    volume = assemble([read_slice(part10(image)) for image in few])
    first, second = (pydicom.dcmread(io.BytesIO(encode(volume, [Roi(EXTERNAL, [])]))) for _ in range(2))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        uids = {str(first[keyword].value), str(second[keyword].value), str(few[0][keyword].value)}
        assert len(uids) == 3


def test_every_slice_is_referenced_in_the_frame_of_reference(written, few):
    (frame,) = written.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == few[0].FrameOfReferenceUID
    (study,) = frame.RTReferencedStudySequence
    assert study.ReferencedSOPInstanceUID == few[0].StudyInstanceUID
    (series,) = study.RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == few[0].SeriesInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == [
        i.SOPInstanceUID for i in few
    ]
    assert {item.ReferencedSOPClassUID for item in series.ContourImageSequence} == {few[0].SOPClassUID}


def test_each_contour_refers_to_the_slice_it_lies_on(written, few):
    heights = {str(image.SOPInstanceUID): float(image.ImagePositionPatient[2]) for image in few}
    for roi in written.ROIContourSequence:
        for contour in roi.ContourSequence:
            (image,) = contour.ContourImageSequence
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            assert (abs(points[:, 2] - heights[image.ReferencedSOPInstanceUID]) < 0.001).all()
            assert contour.ContourGeometricType == "CLOSED_PLANAR"


def test_rois_contours_and_observations_belong_together(written):
    numbers = [1, 2]
    assert [roi.ROINumber for roi in written.StructureSetROISequence] == numbers
    assert [roi.ReferencedROINumber for roi in written.ROIContourSequence] == numbers
    assert [roi.ReferencedROINumber for roi in written.RTROIObservationsSequence] == numbers
    assert [roi.ROIName for roi in written.StructureSetROISequence] == ["External", "Lung_L"]
    assert {roi.ROIGenerationAlgorithm for roi in written.StructureSetROISequence} == {"AUTOMATIC"}
    assert [roi.RTROIInterpretedType for roi in written.RTROIObservationsSequence] == ["EXTERNAL", "ORGAN"]


def test_it_is_unapproved_and_its_label_fits(written):
    assert written.ApprovalStatus == "UNAPPROVED"
    assert 0 < len(written.StructureSetLabel) <= 16


def test_numbers_are_decimal_strings_of_at_most_16_bytes(few, part10):
    volume = assemble([read_slice(part10(image)) for image in few])
    volume = dataclasses.replace(volume)
    points = np.array([[-1234.56789, 1e-9, 98765.4321], [0.1 + 0.2, 1 / 3, -0.0], [5, 5, 5]])
    encoded = encode(volume, [Roi(EXTERNAL, [Outline(0, points)])])
    data = pydicom.dcmread(io.BytesIO(encoded)).ROIContourSequence[0].ContourSequence[0]
    raw = data.get_item("ContourData").value
    assert len(raw) % 2 == 0
    assert all(len(number) <= 16 for number in raw.split(b"\\"))
    assert np.allclose(np.array(data.ContourData, float).reshape(-1, 3), points, atol=0.0005)
