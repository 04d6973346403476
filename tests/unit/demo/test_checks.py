"""The demo's checks: each passes on a sound structure set and fails on one that is broken in its way."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from gateway.demo.checks import IDENTITY, RT_STRUCTURE_SET, Check, check_disk, check_structure_set
from gateway.demo.phantom import Phantom, phantom_series

PSEUDONYM = "2.25.123456789"


@pytest.fixture(scope="module")
def series() -> list[Dataset]:
    return phantom_series(Phantom(slices=3, matrix=16))


def stream(dataset: Dataset) -> bytes:
    written = BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True)
    return written.getvalue()


def structure_set(series: list[Dataset]) -> Dataset:
    """Small, and not meant to pass a validator."""
    result = Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID = UID(RT_STRUCTURE_SET)
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID = generate_uid()
    result.SeriesInstanceUID = generate_uid()
    result.Modality = "RTSTRUCT"
    result.ApprovalStatus = "UNAPPROVED"
    result.FrameOfReferenceUID = series[0].FrameOfReferenceUID
    for keyword in IDENTITY:
        setattr(result, keyword, series[0][keyword].value)
    result.StructureSetROISequence = [Dataset()]
    result.StructureSetROISequence[0].ROIName = "Lung_L"
    result.ROIContourSequence = [Dataset()]
    result.ROIContourSequence[0].ContourSequence = [contour(image) for image in series]
    return result


def contour(image: Dataset) -> Dataset:
    made = Dataset()
    made.ContourImageSequence = [Dataset()]
    made.ContourImageSequence[0].ReferencedSOPClassUID = image.SOPClassUID
    made.ContourImageSequence[0].ReferencedSOPInstanceUID = image.SOPInstanceUID
    z = image.ImagePositionPatient[2]
    made.ContourData = [0, 0, z, 1, 0, z, 1, 1, z]
    return made


def looked_at(series: list[Dataset], *results: Dataset) -> dict[str, bool | None]:
    checks = check_structure_set(
        [stream(one) for one in series], [stream(one) for one in results], [PSEUDONYM]
    )
    return {check.name: check.passed for check in checks if "dciodvfy" not in check.name}


def test_a_sound_structure_set_passes_every_check(series: list[Dataset]) -> None:
    checks = looked_at(series, structure_set(series))
    assert len(checks) == 9
    assert all(checks.values()), checks


def rename(result: Dataset) -> None:
    result.PatientName = "INVENTED^PHANTON"


def empty_study_id(result: Dataset) -> None:
    result.StudyID = ""


def refer_elsewhere(result: Dataset) -> None:
    item = result.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    item.ReferencedSOPInstanceUID = generate_uid()


def other_frame_of_reference(result: Dataset) -> None:
    result.FrameOfReferenceUID = generate_uid()


def keep_a_pseudonym(result: Dataset) -> None:
    result.SeriesDescription = f"of {PSEUDONYM}"


def keep_the_mark(result: Dataset) -> None:
    result.PatientIdentityRemoved = "YES"


def long_name(result: Dataset) -> None:
    result.StructureSetROISequence[0].ROIName = "SEVENTEEN_LETTERS"


def same_name_twice(result: Dataset) -> None:
    twin = Dataset()
    twin.ROIName = "LUNG_L"
    result.StructureSetROISequence.append(twin)


def lift_a_point(result: Dataset) -> None:
    contour = result.ROIContourSequence[0].ContourSequence[1]
    contour.ContourData = [*contour.ContourData[:5], contour.ContourData[5] + 0.5, *contour.ContourData[6:]]


def no_contour(result: Dataset) -> None:
    result.ROIContourSequence[0].ContourSequence = []


def approve(result: Dataset) -> None:
    result.ApprovalStatus = "APPROVED"


@pytest.mark.parametrize(
    ("breaking", "expected"),
    [
        (rename, "patient and study are the source's, byte for byte"),
        (empty_study_id, "patient and study are the source's, byte for byte"),
        (refer_elsewhere, "every UID that it refers to is the source's"),
        (other_frame_of_reference, "every UID that it refers to is the source's"),
        (keep_a_pseudonym, "no pseudonym is left in it"),
        (keep_the_mark, "no mark of de-identification is left"),
        (long_name, "ROI names fit a TPS"),
        (same_name_twice, "ROI names fit a TPS"),
        (lift_a_point, "every contour lies on its slice"),
        (no_contour, "every contour lies on its slice"),
        (approve, "it waits for approval"),
    ],
)
def test_a_broken_structure_set_fails_its_check(
    series: list[Dataset], breaking: Callable[[Dataset], None], expected: str
) -> None:
    result = structure_set(series)
    breaking(result)
    assert looked_at(series, result)[expected] is False


def test_an_image_is_no_structure_set(series: list[Dataset]) -> None:
    assert looked_at(series, series[0])["it is an RT Structure Set"] is False


def test_nothing_and_two_objects_are_not_one_object(series: list[Dataset]) -> None:
    assert looked_at(series) == {"one object reached the TPS": False}
    assert (
        looked_at(series, structure_set(series), structure_set(series))["one object reached the TPS"] is False
    )


def test_an_identifier_in_any_file_of_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "journal").write_bytes(b"\x00\x01P-7K3M9QXD")
    clean = check_disk(tmp_path, [b"DEMO-0001"])
    assert clean == Check("no identifier is on the disk", True, "1 files, 1 identifiers")
    (tmp_path / "gateway.log").write_bytes(b"patient DEMO-0001 arrived")
    assert check_disk(tmp_path, [b"DEMO-0001"]).passed is False
