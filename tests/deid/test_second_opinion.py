"""Second opinions: pydicom on what the walker reads and on what leaves, dciodvfy on whether it is an image."""

from __future__ import annotations

import io
import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from gateway.deid.declared import Action
from gateway.deid.dicom_file import parse_file
from gateway.deid.proof import prove
from gateway.dicom.walk import Elements, WalkLimits, walk
from gateway.errors import DeidentificationError, IntakeError
from tests import made
from tests.deid.way_out import EXPLICIT, IMPLICIT, PROFILES, deidentified, received
from tests.raw import element, inserted

LIMITS = WalkLimits()


def sample_files(data: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Every sample with native pixels: its path, transfer syntax and dataset."""
    for path in sorted((data / "samples").rglob("*")):
        if path.is_file():
            try:
                file = parse_file(path.read_bytes())
            except IntakeError:
                continue
            if file.transfer_syntax_uid in (EXPLICIT, IMPLICIT):
                yield path, file.transfer_syntax_uid, bytes(file.dataset)


def read_by_pydicom(data: bytes, *, implicit: bool) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.filereader.read_dataset(io.BytesIO(data), implicit, True)


def nested_values(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Tag and length of each element inside a sequence, in order."""
    for one in dataset:
        if one.VR == "SQ":
            for inside in one.value:
                for tag in sorted(inside.keys()):
                    raw = inside.get_item(tag)
                    if (
                        isinstance(raw, RawDataElement)
                        and inside[tag].VR != "SQ"
                        and raw.length != 0xFFFFFFFF
                    ):
                        yield int(tag), raw.length
                yield from nested_values(inside)


def disagreement(elements: Elements, data: bytes, *, implicit: bool) -> str:
    """What pydicom reads otherwise than the walker; empty where they agree."""
    dataset = read_by_pydicom(data, implicit=implicit)
    if [int(tag) for tag in sorted(dataset.keys())] != list(elements):
        return "tags"
    for tag, (vr, start, stop) in elements.spans.items():
        raw = dataset.get_item(tag)
        if not isinstance(raw, RawDataElement) or vr == b"SQ":
            continue
        if not implicit and raw.VR is not None and raw.VR.encode() != vr:
            return f"VR of {tag:08X}"
        if raw.length != 0xFFFFFFFF and (raw.value or b"") != data[start:stop]:
            return f"value of {tag:08X}"
    return ""


def test_the_walker_and_pydicom_agree_on_every_sample_or_the_walker_refuses(data: Path) -> None:
    agreed = refused = 0
    for path, syntax, dataset in sample_files(data):
        try:
            elements = walk(dataset, implicit=syntax == IMPLICIT, limits=LIMITS)
        except IntakeError:
            refused += 1
            continue
        assert disagreement(elements, dataset, implicit=syntax == IMPLICIT) == "", path.name
        agreed += 1
    assert agreed > 200
    assert refused < 10


def test_they_agree_on_what_is_inside_of_sequences(data: Path) -> None:
    seen = 0
    for path, syntax, dataset in sample_files(data):
        try:
            elements = walk(dataset, implicit=syntax == IMPLICIT, limits=LIMITS)
        except IntakeError:
            continue
        if elements.nested:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = set(nested_values(read_by_pydicom(dataset, implicit=syntax == IMPLICIT)))
            ours = {(tag, stop - start) for tag, _, start, stop in elements.nested}
            assert theirs <= ours, path.name
            seen += bool(theirs)
    assert seen > 10


def test_control_a_walker_that_loses_an_element_disagrees() -> None:
    data = made.encoded(made.image())
    elements = walk(data, implicit=False, limits=LIMITS)
    assert disagreement(elements, data, implicit=False) == ""
    spans = dict(elements.spans)
    vr, start, stop = spans[0x00100020]
    assert disagreement(Elements({**spans, 0x00100020: (vr, start, stop - 2)}, []), data, implicit=False)
    del spans[0x00100020]
    assert disagreement(Elements(spans, []), data, implicit=False)


@settings(max_examples=200)
@given(st.booleans(), st.data())
def test_they_agree_on_damaged_headers_or_the_walker_refuses(implicit: bool, draw: st.DataObject) -> None:
    damaged = bytearray(made.encoded(made.image(), implicit=implicit))
    for _ in range(draw.draw(st.integers(1, 3))):
        damaged[draw.draw(st.integers(0, len(damaged) - 520))] = draw.draw(st.integers(0, 255))
    data = bytes(damaged)
    try:
        elements = walk(data, implicit=implicit, limits=LIMITS)
    except IntakeError:
        return
    try:
        said = disagreement(elements, data, implicit=implicit)
    except (NotImplementedError, ValueError, KeyError, EOFError, OSError):
        return  # pydicom refuses what the walker takes: for instance a value that it converts while it reads
    assert said == ""


def written(one: DataElement) -> list[object]:
    """Numbers as they were written; 16 bits as they lie, since the VR of the padding value depends on the pixels."""
    values = one.value if isinstance(one.value, MultiValue) else [one.value]
    return [v & 0xFFFF if one.VR in ("US", "SS") else getattr(v, "original_string", v) for v in values]


@pytest.mark.filterwarnings("ignore")
def test_what_leaves_of_every_sample_says_what_its_source_says(data: Path) -> None:
    left = 0
    for path, syntax, dataset in sample_files(data):
        try:
            instance = received(dataset, implicit=syntax == IMPLICIT)
            slice_ = deidentified(instance)
        except (IntakeError, DeidentificationError):
            continue
        left += 1
        source = read_by_pydicom(dataset, implicit=syntax == IMPLICIT)
        out = pydicom.dcmread(io.BytesIO(slice_.part10()))
        profile = PROFILES[instance.modality]
        for one in out:
            attribute = profile.attribute(int(one.tag))
            if attribute is None:
                assert int(one.tag) in {said.tag for said in profile.said} | {0x7FE00010}, path.name
            elif attribute.action is Action.NUMBER and one.value not in (None, ""):
                assert written(one) == written(source[one.tag]), path.name
            elif attribute.action is Action.CODE and one.value:
                assert set(str(one.value).strip("[]").replace("'", "").split(", ")) <= attribute.words
            elif attribute.action is Action.UID:
                assert one.value != source[one.tag].value
        source.file_meta = out.file_meta
        theirs = source.pixel_array.astype(np.int64)
        bits = instance.bits_stored
        theirs &= (1 << bits) - 1
        if instance.is_signed:
            theirs = np.where(theirs >= 1 << (bits - 1), theirs - (1 << bits), theirs)
        assert (out.pixel_array == theirs).all(), path.name
    assert left > 150


def errors_of(path: Path) -> set[str]:
    """What dciodvfy calls an error."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, timeout=60)
    return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_an_image_that_leaves_is_a_valid_one(tmp_path: Path, modality: str) -> None:
    source = made.image(modality=modality)
    if modality == "MR":
        source.ScanningSequence, source.SequenceVariant, source.EchoTime = ["GR", "IR"], "SK", "5"
        source.RepetitionTime, source.InversionTime, source.MRAcquisitionType = "500", "100", "2D"
    (tmp_path / "out.dcm").write_bytes(deidentified(received(made.encoded(source))).part10())
    assert errors_of(tmp_path / "out.dcm") == set()


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("part", sorted(PROFILES["CT"].attribute(0x00180015).words))  # type: ignore[union-attr]
def test_an_image_of_every_body_part_is_a_valid_one(tmp_path: Path, part: str) -> None:
    source = made.image()
    source.BodyPartExamined = part
    (tmp_path / "out.dcm").write_bytes(deidentified(received(made.encoded(source))).part10())
    assert errors_of(tmp_path / "out.dcm") == set()


@pytest.mark.peer("dciodvfy")
@pytest.mark.filterwarnings("ignore")
def test_no_sample_leaves_with_an_error(data: Path, tmp_path: Path) -> None:
    """Every CT and MR sample with native pixels that leaves; of long series some slices."""
    checked = Counter[str]()
    for path, syntax, dataset in sample_files(data):
        if "rt_pairs" in path.parts and not path.stem.endswith("1"):
            continue
        try:
            instance = received(dataset, implicit=syntax == IMPLICIT)
            slice_ = deidentified(instance)
        except (IntakeError, DeidentificationError):
            continue
        (tmp_path / "out.dcm").write_bytes(slice_.part10())
        assert errors_of(tmp_path / "out.dcm") == set(), path.name
        checked[instance.modality] += 1
    assert checked["CT"] > 20
    assert checked["MR"] > 15


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize(
    ("variant", "errors"),
    [(b"", 0), (b"SK\\SP ", 0), (b"ZQUEX ", 1), (None, 1)],
    ids=["empty", "two", "unknown", "absent"],
)
def test_what_a_source_does_not_say_about_its_sequence_is_not_made_up(
    tmp_path: Path, variant: bytes | None, errors: int
) -> None:
    """Without SequenceVariant, of type 1, an MR image is valid neither before nor after; it leaves as it is."""
    source = made.image(modality="MR")
    source.ScanningSequence, source.EchoTime, source.RepetitionTime = "GR", "5", "500"
    source.MRAcquisitionType = "2D"
    data = made.encoded(source)
    if variant is not None:
        data = inserted(data, element(0x00180021, b"CS", variant))
    (tmp_path / "out.dcm").write_bytes(deidentified(received(data)).part10())
    found = errors_of(tmp_path / "out.dcm")
    assert len(found) == errors
    assert all("<SequenceVariant>" in one for one in found)


@pytest.mark.peer("dciodvfy")
def test_control_the_validator_finds_a_missing_attribute(tmp_path: Path) -> None:
    out = pydicom.dcmread(io.BytesIO(deidentified(made.instance()).part10()))
    del out.RescaleSlope
    out.save_as(tmp_path / "out.dcm")
    assert errors_of(tmp_path / "out.dcm")


def test_the_profiles_that_are_used_here_are_proved() -> None:
    for profile in PROFILES.values():
        prove(profile)
