"""The engine's structure sets as programs see them that we did not write."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gateway.contourer.engine.contours import outlines
from gateway.contourer.engine.engine import Contoured, contour
from gateway.contourer.engine.roi import Roi
from gateway.contourer.engine.segmentation import segment
from gateway.contourer.engine.slices import read_slice
from gateway.contourer.engine.structure_set import encode
from gateway.contourer.engine.volume import Volume, assemble
from gateway.demo.phantom import Phantom, phantom_series
from gateway.errors import ContourerRefused

ACCEPTED_DICE = 0.97


def part10(image: pydicom.Dataset) -> bytes:
    target = io.BytesIO()
    pydicom.dcmwrite(target, image, enforce_file_format=True)
    return target.getvalue()


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    made = Phantom(slices=40, slice_distance_mm=7.5, matrix=256, pixel_spacing_mm=1.953125)
    return [part10(image) for image in phantom_series(made, patient_position="FFS")]


@pytest.fixture(scope="module")
def contoured(images: list[bytes]) -> Contoured:
    return contour(images)


def errors_of(structure_set: bytes, folder: Path) -> list[str]:
    """What dciodvfy finds wrong."""
    path = folder / "structure_set.dcm"
    path.write_bytes(structure_set)
    told = subprocess.run(
        ["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace"
    )
    assert "RTStructureSet" in told.stderr + told.stdout
    return [line for line in (told.stderr + told.stdout).splitlines() if line.startswith("Error")]


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_a_structure_set(contoured, tmp_path):
    assert errors_of(contoured.structure_set, tmp_path) == []


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_the_error_in_a_broken_one(contoured, tmp_path):
    broken = pydicom.dcmread(io.BytesIO(contoured.structure_set))
    del broken.StructureSetLabel
    target = io.BytesIO()
    broken.save_as(target)
    assert errors_of(target.getvalue(), tmp_path) != []


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_the_phantoms_images(images, tmp_path):
    path = tmp_path / "image.dcm"
    path.write_bytes(images[20])
    told = subprocess.run(
        ["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace"
    )
    assert [line for line in told.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.peer("dcmdump")
def test_dcmtk_reads_every_contour(contoured, tmp_path):
    path = tmp_path / "structure_set.dcm"
    path.write_bytes(contoured.structure_set)
    told = subprocess.run(
        ["dcmdump", "+P", "3006,0050", str(path)], capture_output=True, text=True, check=True
    )
    read = pydicom.dcmread(io.BytesIO(contoured.structure_set))
    assert told.stdout.count("ContourData") == sum(
        len(roi.ContourSequence) for roi in read.ROIContourSequence
    )
    assert "error" not in told.stderr.lower()


def painted(folder: Path, name: str) -> np.ndarray:
    """Read a mask that plastimatch wrote: (slices, rows, columns), growing to the head, back and left."""
    content = (folder / f"{name}.mha").read_bytes()
    header, _, voxels = content.partition(b"ElementDataFile = LOCAL\n")
    fields = dict(line.split(" = ", 1) for line in header.decode("ascii").splitlines())
    assert fields["TransformMatrix"] == "1 0 0 0 1 0 0 0 1"
    columns, rows, slices = map(int, fields["DimSize"].split())
    return np.frombuffer(voxels, np.uint8).reshape(slices, rows, columns) > 0


def painted_by_plastimatch(volume: Volume, images: list[bytes], rois: list[Roi], folder: Path) -> Path:
    (folder / "images").mkdir()
    for number, image in enumerate(images):
        (folder / "images" / f"{number}.dcm").write_bytes(image)
    (folder / "structure_set.dcm").write_bytes(encode(volume, rois))
    command = ["plastimatch", "convert", "--input", "structure_set.dcm", "--referenced-ct", "images"]
    command += ["--output-prefix", "masks", "--prefix-format", "mha"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
    return folder / "masks"


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.peer("plastimatch")
def test_plastimatch_paints_the_masks_that_were_outlined(tmp_path):
    made = Phantom(slices=12, slice_distance_mm=20)
    images = [part10(image) for image in phantom_series(made)]
    volume = assemble([read_slice(image) for image in images])
    masks = dict(segment(volume))
    assert len(masks) == 5
    rois = [Roi(structure, outlines(mask, volume)) for structure, mask in masks.items()]
    folder = painted_by_plastimatch(volume, images, rois, tmp_path)
    for structure, mask in masks.items():
        assert dice(painted(folder, structure.name), mask) > ACCEPTED_DICE, structure.name


@pytest.mark.peer("plastimatch")
def test_plastimatch_shows_it_when_left_and_right_are_exchanged(tmp_path):
    made = Phantom(slices=6, slice_distance_mm=30, matrix=128, pixel_spacing_mm=3.90625)
    images = [part10(image) for image in phantom_series(made)]
    volume = assemble([read_slice(image) for image in images])
    masks = {structure: mask for structure, mask in segment(volume) if structure.name.startswith("Lung")}
    rois = [Roi(structure, outlines(mask[:, :, ::-1], volume)) for structure, mask in masks.items()]
    folder = painted_by_plastimatch(volume, images, rois, tmp_path)
    for structure, mask in masks.items():
        assert dice(painted(folder, structure.name), mask) < 0.5


@pytest.mark.parametrize("case", ["ibsi_pat_1", "ibsi_pat_2"])
@pytest.mark.peer("dciodvfy")
def test_a_real_cropped_chest_has_a_right_lung_inside_its_external(data, case, tmp_path):
    files = sorted((data / "samples" / "rt_pairs" / case).glob("DCM_IMG_*.dcm"))
    contoured = contour([file.read_bytes() for file in files])
    assert contoured.roi_names == ("External", "Lung_R", "Bones", "SpinalCanal")
    assert errors_of(contoured.structure_set, tmp_path) == []


@pytest.mark.peer("dciodvfy")
def test_a_real_coronal_mr_has_its_external(data, tmp_path):
    contoured = contour(
        [file.read_bytes() for file in (data / "samples" / "mr" / "dcm4che_MR16").glob("*.dcm")]
    )
    assert contoured.roi_names == ("External",)
    assert errors_of(contoured.structure_set, tmp_path) == []


def test_a_real_ct_with_a_tilted_gantry_is_refused(data):
    with pytest.raises(ContourerRefused) as refused:
        contour([file.read_bytes() for file in (data / "samples" / "ct" / "ge_private").glob("*.dcm")])
    assert refused.value.code == "ORIENTATION_UNSUITABLE"
