"""Structure sets that lie (deid-cases 34 to 36, faults 48 and 49): held with the tag named, never delivered."""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from gateway.errors import StructureSetUnsound
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.references import References
from gateway.flow.restore import restore
from tests import toy
from tests.toy import Toy, pseudonym

FOREIGN = pseudonym("another passage's")
ITS_OWN = {"SOPInstanceUID", "SeriesInstanceUID", "InstanceCreatorUID"}
"""UIDs of the structure set itself, at the top level: they refer to nothing and are replaced."""


def complete(passage: Toy) -> Dataset:
    """A structure set that uses every place where a UID may stand."""
    dataset = passage.structure_set()
    expected = passage.expectation
    dataset.FrameOfReferenceUID = expected.frame_of_reference_uid
    dataset.InstanceCreatorUID = "1.2.826.0.1.3680043.8.498.99"
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = expected.study_instance_uid
    dataset.ReferencedStudySequence = Items([study])
    series = Dataset()
    series.SeriesInstanceUID = expected.series_instance_uid
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    series.ReferencedInstanceSequence = Items([copy.deepcopy(images[0])])
    dataset.ReferencedSeriesSequence = Items([series])
    source = Dataset()
    source.SeriesInstanceUID = expected.series_instance_uid
    dataset.ROIContourSequence[0].SourceSeriesSequence = Items([source])
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "10200004", "SCT", "Liver"
    code.ContextUID = code.MappingResourceUID = "1.2.840.10008.6.1.1"
    dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence = Items([code])
    return dataset


def uid_leaves(dataset: Dataset, path: str = "") -> Iterator[tuple[str, Dataset, str]]:
    for element in dataset:
        place = f"{path}/{element.keyword}"
        if element.VR == "SQ":
            for index, item in enumerate(element.value):
                yield from uid_leaves(item, f"{place}[{index}]")
        elif element.VR == "UI" and not (path == "" and element.keyword in ITS_OWN):
            yield place, dataset, element.keyword


LEAVES = [place for place, _, _ in uid_leaves(complete(Toy(3)))]


def delivered(passage: Toy, dataset: Dataset) -> Dataset:
    stream = restore(
        inspect(toy.part10(dataset), passage.expectation),
        passage.identity,
        OutputProfile("tps"),
        originals=passage.originals,
        seed=bytes(32),
        model="m",
        at=datetime.now(UTC),
    )
    return dcmread(io.BytesIO(stream))


def test_the_complete_structure_set_is_sound() -> None:
    passage = Toy(3)
    assert len(delivered(passage, complete(passage)).StructureSetROISequence) == 2
    assert len(LEAVES) > 30


@pytest.mark.parametrize("place", LEAVES)
def test_a_foreign_uid_is_held_wherever_it_stands(place: str) -> None:
    passage = Toy(3)
    dataset = complete(passage)
    [(item, keyword)] = [(item, keyword) for path, item, keyword in uid_leaves(dataset) if path == place]
    setattr(item, keyword, FOREIGN)
    with pytest.raises(StructureSetUnsound) as unsound:
        delivered(passage, dataset)
    assert unsound.value.code in ("RESULT_FOREIGN_UID", "RESULT_WRONG_STUDY", "RESULT_NOT_CONTOURS")
    assert unsound.value.facts["tag"] == item[keyword].tag
    assert FOREIGN not in str(unsound.value)


def test_without_the_inspection_of_uids_the_wrong_patient_would_get_the_contours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passage, other = Toy(3), Toy(images=[toy.image(i, StudyInstanceUID="1.2.840.99.7") for i in range(3)])
    monkeypatch.setattr(References, "resolve", lambda self, tag, role, octets: None)
    assert delivered(passage, other.structure_set()).PatientID == "4711"


def test_a_result_of_another_passage_is_held() -> None:
    images = [
        toy.image(i, StudyInstanceUID="1.9.1", SeriesInstanceUID="1.9.2", SOPInstanceUID=f"1.9.3.{i}")
        for i in range(3)
    ]
    with pytest.raises(StructureSetUnsound):
        delivered(Toy(3), Toy(images=images).structure_set())


@pytest.mark.parametrize("change", ["unknown", "another frame of reference"])
def test_slices_that_are_not_ours_are_held(change: str) -> None:
    passage, larger = Toy(3), Toy(4)
    dataset = larger.structure_set()
    if change == "another frame of reference":
        dataset = passage.structure_set()
        dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = FOREIGN
    with pytest.raises(StructureSetUnsound):
        delivered(passage, dataset)


def test_missing_slices_are_no_lie() -> None:
    passage = Toy(4)
    dataset = passage.structure_set(["Liver"], [toy.circle(1)])
    del dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    back = delivered(passage, dataset)
    [frame] = back.ReferencedFrameOfReferenceSequence
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert len(images) == 4


def test_a_contour_on_the_slice_beside_the_one_it_names_is_held() -> None:
    passage = Toy(3)
    dataset = passage.structure_set(["Liver"])
    first, second, _ = dataset.ROIContourSequence[0].ContourSequence
    first.ContourImageSequence, second.ContourImageSequence = (
        second.ContourImageSequence,
        first.ContourImageSequence,
    )
    with pytest.raises(StructureSetUnsound, match="RESULT_OFF_SLICE"):
        delivered(passage, dataset)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["A name that is over 16 characters long"], ["A name that is o"]),
        (["Liver", "LIVER"], ["Liver", "LIVER_2"]),
        (["Lung\u202eR\u2066"], ["LungR"]),
        (["<script>x</script>"], ["<script>x</scrip"]),
    ],
)
def test_odd_names_are_made_fit_for_the_tps(names: list[str], expected: list[str]) -> None:
    passage = Toy(2)
    back = delivered(passage, passage.structure_set(names))
    assert [roi.ROIName for roi in back.StructureSetROISequence] == expected


def test_names_with_backslashes_and_control_characters_are_made_fit() -> None:
    passage = Toy(2)
    stream = toy.part10(passage.structure_set(["Lung?R?x?"])).replace(b"Lung?R?x? ", b"Lung\\R\x1bx\x00 ")
    found = inspect(stream, passage.expectation)
    assert [roi.name for roi in found.rois] == ["Lung R x"]


def test_every_flipped_bit_leaves_it_sound_or_refused() -> None:
    """The seal catches flipped bits long before; the inspection has no need of it to stay upright."""
    passage = Toy(2)
    stream = toy.part10(passage.structure_set(["Liver"]))
    for at in range(132, len(stream), 3):
        flipped = bytearray(stream)
        flipped[at] ^= 1 << at % 8
        try:
            inspect(bytes(flipped), passage.expectation)
        except StructureSetUnsound:
            continue


def test_the_hostile_files_are_refused_quickly(data: Path) -> None:
    expectation = Toy(2).expectation
    started, files = time.process_time(), 0
    for file in sorted((data / "malformed").rglob("*.dcm")):
        with pytest.raises(StructureSetUnsound):
            inspect(file.read_bytes(), expectation)
        files += 1
    assert files > 100
    assert time.process_time() - started < 30


PAIRS = [("ibsi_pat_1", "DCM_RS_00060.dcm", 26), ("ibsi_pat_2", "DCM_RS_00041.dcm", 7)]


def paired(data: Path, folder: str, name: str) -> tuple[Toy, Dataset, Dataset]:
    """Real images as a passage, their real structure set, and the same under pseudonyms."""
    files = sorted((data / "samples" / "rt_pairs" / folder).iterdir())
    datasets = [dcmread(file) for file in files]
    images = [one for one in datasets if one.Modality in ("CT", "MR")]
    images.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    passage = Toy(images=images)
    original = dcmread(data / "samples" / "rt_pairs" / folder / name)
    outside = dcmread(data / "samples" / "rt_pairs" / folder / name)
    mapped = {uid: code for code, uid in passage.originals.items()}
    for _, item, keyword in list(uid_leaves(outside)):
        setattr(item, keyword, mapped.get(str(item[keyword].value), item[keyword].value))
    outside.PatientID = outside.PatientName = "P-TESTCODE"
    return passage, original, outside


@pytest.mark.parametrize(("folder", "name", "contours"), PAIRS)
def test_real_structure_sets_go_out_and_come_back_the_same(
    data: Path, folder: str, name: str, contours: int
) -> None:
    passage, original, outside = paired(data, folder, name)
    found = inspect(toy.part10(outside, implicit=True), passage.expectation)
    assert found.contour_count == contours
    identity = passage.identity_in(implicit=True)
    stream = restore(
        found,
        identity,
        OutputProfile("tps"),
        originals=passage.originals,
        seed=bytes(32),
        model="m",
        at=datetime.now(UTC),
    )
    back = dcmread(io.BytesIO(stream))
    assert back.PatientID == original.PatientID
    assert back.StudyInstanceUID == original.StudyInstanceUID
    for was, came in zip(original.ROIContourSequence, back.ROIContourSequence, strict=True):
        assert [one.ContourData for one in came.ContourSequence] == [
            one.ContourData for one in was.ContourSequence
        ]
    uids = [
        {
            str(item[keyword].value)
            for path, item, keyword in uid_leaves(dataset)
            if "Referenced" in path and keyword == "ReferencedSOPInstanceUID"
        }
        for dataset in (original, back)
    ]
    assert uids[0] == uids[1]


@pytest.mark.parametrize("name", ["invalid_reference_rt.dcm", "non_existent_reference_rt.dcm", "rt.dcm"])
def test_real_structure_sets_with_foreign_references_are_held(data: Path, name: str) -> None:
    passage, _, outside = paired(data, "rt_utils_mock", name)
    outside.remove_private_tags()
    with pytest.raises(StructureSetUnsound) as unsound:
        inspect(toy.part10(outside, implicit=True), passage.expectation)
    assert unsound.value.code in ("RESULT_FOREIGN_UID", "RESULT_WRONG_STUDY")
