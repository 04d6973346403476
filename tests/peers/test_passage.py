"""A series goes all the way: from a sender that we did not write to a TPS that we did not write, on real images."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage

from tests.running import Gateway, Storescp, running, until

pytestmark = pytest.mark.peer("storescu", "storescp", "dciodvfy", "plastimatch")

RESTORED = [
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
    "StudyDescription",
    "FrameOfReferenceUID",
]
OWN_UIDS = {"SOPInstanceUID", "SeriesInstanceUID", "SOPClassUID", "ReferencedSOPClassUID"}
MARKS = ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Storescp]]:
    with running(tmp_path_factory.mktemp("passage")) as (gateway, tps):
        assert tps is not None
        yield gateway, tps


def images(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and pydicom.dcmread(path, stop_before_pixels=True).get("Modality") in ("CT", "MR")
    ]


def uids(dataset: Dataset) -> set[tuple[str, str]]:
    return {
        (element.keyword, str(value))
        for element in dataset.iterall()
        if element.VR == "UI" and element.value
        for value in ([element.value] if isinstance(element.value, str) else element.value)
    }


def raw(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword)
    value = b"" if element is None else element.value
    return (value or b"") if isinstance(value, bytes) else str(value).encode()


def through(whole: tuple[Gateway, Storescp], files: list[Path]) -> tuple[Dataset, Path]:
    gateway, tps = whole
    before = set(tps.received())
    sent = gateway.send(*files)
    assert sent.returncode == 0, sent.stderr[-500:]
    study = pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID

    def arrived() -> Path | None:
        for path in set(tps.received()) - before:
            if path.stat().st_size and pydicom.dcmread(path).StudyInstanceUID == study:
                return path
        return None

    path = until(arrived, 120, "the structure set at the TPS")
    # storescp writes in place: only what is delivered is whole.
    until(
        lambda: all(passage["state"] == "delivered" for passage in gateway.passages()) or None,
        60,
        "the delivery",
    )
    return pydicom.dcmread(path), path


@pytest.mark.parametrize("series", ["rt_pairs/ibsi_pat_1", "rt_pairs/ibsi_pat_2", "mr/dcm4che_MR16"])
def test_a_real_series_comes_back_as_the_patients_structure_set(
    whole: tuple[Gateway, Storescp], data: Path, series: str
) -> None:
    files = images(data / "samples" / series)
    structure_set, path = through(whole, files)
    source = [pydicom.dcmread(file) for file in files]
    for keyword in RESTORED:
        if keyword != "FrameOfReferenceUID":
            assert raw(structure_set, keyword) == raw(source[0], keyword), keyword
    known = {uid for dataset in source for _, uid in uids(dataset)}
    # Detached Study Management is a class that the standard wants named, not somebody's UID.
    foreign = {k for k, uid in uids(structure_set) if k not in OWN_UIDS and uid not in known}
    assert not foreign
    assert not [mark for mark in MARKS if mark in structure_set]
    assert structure_set.ApprovalStatus == "UNAPPROVED"
    assert all(len(roi.ROIName) <= 16 for roi in structure_set.StructureSetROISequence)
    validated = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert not re.findall(r"^Error.*", validated.stdout + validated.stderr, re.M)


@pytest.mark.parametrize("series", ["rt_pairs/ibsi_pat_1", "rt_pairs/ibsi_pat_2"])
def test_the_external_agrees_with_a_threshold_of_the_ct(
    whole: tuple[Gateway, Storescp], data: Path, tmp_path: Path, series: str
) -> None:
    files = images(data / "samples" / series)
    _, path = through(whole, files)
    source = sorted((pydicom.dcmread(file) for file in files), key=lambda d: float(d.ImagePositionPatient[2]))
    (tmp_path / "ct").mkdir()
    for i, file in enumerate(files):
        (tmp_path / "ct" / f"{i}.dcm").symlink_to(file)
    subprocess.run(
        ["plastimatch", "convert", "--input", str(path), "--referenced-ct", str(tmp_path / "ct"),
         "--output-prefix", str(tmp_path / "masks"), "--prefix-format", "nrrd"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    mask = nrrd(tmp_path / "masks" / "External.nrrd")
    volume = np.stack([d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in source])
    assert mask.shape == volume.shape
    # In these cropped images lung lies open to the edge, so the threshold is between air around the patient and lung.
    body = volume > -900
    labelled, _ = ndimage.label(body)
    body = labelled == np.bincount(labelled.ravel())[1:].argmax() + 1
    body = np.stack([ndimage.binary_fill_holes(plane) for plane in body])
    assert abs(mask.sum() / body.sum() - 1) < 0.05


def nrrd(path: Path) -> np.ndarray:
    """A mask that plastimatch wrote, (slices, rows, columns)."""
    import gzip

    head, body = path.read_bytes().split(b"\n\n", 1)
    sizes = [int(n) for n in re.search(rb"sizes: ([0-9 ]+)", head)[1].split()]  # type: ignore[index]
    content = gzip.decompress(body) if b"encoding: gz" in head else body
    return np.frombuffer(content, np.uint8).reshape(sizes[::-1])


def test_an_unknown_sender_and_a_foreign_class_are_told_so(
    whole: tuple[Gateway, Storescp], data: Path
) -> None:
    gateway, _ = whole
    images_ = images(data / "samples" / "rt_pairs" / "ibsi_pat_2")
    assert gateway.send(images_[0], calling="STRANGER").returncode != 0
    report = gateway.send(data / "samples" / "odd" / "pydicom" / "reportsi.dcm", options=["-v"])
    assert "SOPClassNotSupported" in report.stdout + report.stderr  # 0x0122
