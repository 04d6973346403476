"""Restoration: the patient's identity byte for byte, nothing of the contourer's but contours, no pseudonym (R6)."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import StructureSetUnsound
from gateway.flow import restore as restore_module
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.restore import restore
from gateway.vault.identity import Identity
from tests import toy
from tests.toy import Toy

AT = datetime(2024, 3, 1, 9, 30, 15, tzinfo=UTC)
SEED = bytes(range(32))


def restored(
    passage: Toy,
    dataset: Dataset | None = None,
    *,
    identity: Identity | None = None,
    profile: OutputProfile | None = None,
    seed: bytes = SEED,
    implicit: bool = False,
) -> bytes:
    returned = toy.part10(dataset or passage.structure_set(), implicit=implicit)
    return restore(
        inspect(returned, passage.expectation),
        identity or passage.identity,
        profile or OutputProfile("tps"),
        originals=passage.originals,
        seed=seed,
        model="ct-v1",
        at=AT,
    )


def read(stream: bytes) -> Dataset:
    return dcmread(io.BytesIO(stream))


def raw(stream: bytes, tag: int) -> bytes:
    value = dcmread(io.BytesIO(stream), defer_size=None).get_item(tag).value
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("implicit", [False, True])
def test_the_structure_set_is_the_patients_again(implicit: bool) -> None:
    passage = Toy(4)
    back, source = read(restored(passage, implicit=implicit)), passage.images[0]
    for keyword in (
        "SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge",
        "OtherPatientIDs", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription",
        "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
    ):  # fmt: skip
        assert back[keyword].value == source[keyword].value, keyword
    assert back.ApprovalStatus == "UNAPPROVED"
    assert (back.StructureSetLabel, back.StructureSetDate, back.StructureSetTime) == (
        "CONTOURGATE",
        "20240301",
        "093015",
    )
    assert back.SeriesInstanceUID not in (source.SeriesInstanceUID, back.SOPInstanceUID)
    for mark in ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"):
        assert mark not in back


def test_every_uid_leads_back_to_the_source() -> None:
    passage = Toy(4)
    back = read(restored(passage))
    [frame] = back.ReferencedFrameOfReferenceSequence
    [study] = frame.RTReferencedStudySequence
    [series] = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == toy.FRAME
    assert study.ReferencedSOPInstanceUID == toy.STUDY
    assert series.SeriesInstanceUID == toy.SERIES
    uids = [image.SOPInstanceUID for image in passage.images]
    assert [one.ReferencedSOPInstanceUID for one in series.ContourImageSequence] == uids
    for roi, contours in zip(back.StructureSetROISequence, back.ROIContourSequence, strict=True):
        assert roi.ReferencedFrameOfReferenceUID == toy.FRAME
        assert [
            one.ContourImageSequence[0].ReferencedSOPInstanceUID for one in contours.ContourSequence
        ] == uids


def test_contours_are_the_contourers_to_the_last_digit() -> None:
    passage = Toy(3)
    sent = passage.structure_set(["Liver", "Spleen"])
    back = read(restored(passage, sent))
    for was, came in zip(sent.ROIContourSequence, back.ROIContourSequence, strict=True):
        assert came.ROIDisplayColor == was.ROIDisplayColor
        assert [list(one.ContourData) for one in came.ContourSequence] == [
            list(one.ContourData) for one in was.ContourSequence
        ]
        assert all(one.NumberOfContourPoints == 24 for one in came.ContourSequence)


def test_nothing_else_of_the_contourers_comes_through() -> None:
    passage = Toy(2)
    dataset = passage.structure_set(["Liver"])
    canary = "CANARY"
    dataset.Manufacturer = dataset.InstitutionName = dataset.StationName = dataset.SeriesDescription = canary
    dataset.StructureSetName = dataset.StructureSetDescription = dataset.StructureSetLabel = canary
    dataset.StructureSetROISequence[0].ROIDescription = canary
    dataset.RTROIObservationsSequence[0].ROIObservationLabel = canary
    dataset.RTROIObservationsSequence[0].ROIInterpreter = canary
    stream = restored(passage, dataset)
    assert canary.encode() not in stream
    assert str(dataset.SOPInstanceUID).encode() not in stream
    assert str(dataset.SeriesInstanceUID).encode() not in stream
    assert stream[:128] == bytes(128)


def test_the_same_passage_and_destination_make_the_same_object() -> None:
    passage = Toy(2)
    assert restored(passage) == restored(passage)
    other = read(restored(passage, seed=bytes(32)))
    assert other.SOPInstanceUID != read(restored(passage)).SOPInstanceUID
    assert other.SeriesInstanceUID != read(restored(passage)).SeriesInstanceUID


def test_a_contour_too_long_for_explicit_vr_makes_the_stream_implicit() -> None:
    passage = Toy(1)
    ring = toy.circle(0, points=4000)
    stream = restored(passage, passage.structure_set(["Body"], [ring]), implicit=True)
    assert read(stream).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert list(read(stream).ROIContourSequence[0].ContourSequence[0].ContourData) == ring


@pytest.mark.filterwarnings("ignore:.*64 kByte:UserWarning")
def test_a_long_contour_that_came_as_un_in_explicit_vr_is_understood() -> None:
    passage = Toy(1)
    ring = toy.circle(0, points=4000)
    stream = restored(passage, passage.structure_set(["Body"], [ring]), implicit=False)
    assert list(read(stream).ROIContourSequence[0].ContourSequence[0].ContourData) == ring


def test_rois_are_named_for_the_destination() -> None:
    passage = Toy(2)
    names = ["Parotis_links_oberflächlich", "parotis_links_oberflaechlich", "a\u202eb\\c"]
    back = read(
        restored(passage, passage.structure_set(names), profile=OutputProfile("tps", roi_name_limit=12))
    )
    assert [roi.ROIName for roi in back.StructureSetROISequence] == ["Parotis_link", "parotis_li_2", "ab c"]


@pytest.mark.parametrize("where", ["pseudonymous UID", "patient code"])
def test_a_pseudonym_in_a_name_stops_the_delivery(where: str) -> None:
    passage = Toy(2)
    left = {"pseudonymous UID": next(iter(passage.originals)), "patient code": "xp-testcode"}[where]
    profile = OutputProfile("tps", roi_name_limit=64)
    with pytest.raises(StructureSetUnsound) as unsound:
        restored(passage, passage.structure_set([f"Liver {left}"]), profile=profile)
    assert unsound.value.code == "RESULT_PSEUDONYM_LEFT"
    assert unsound.value.facts == {"tag": 0x30060020}


def test_without_the_reverse_tripwire_the_pseudonym_would_go_out(monkeypatch: pytest.MonkeyPatch) -> None:
    passage = Toy(2)
    left = next(iter(passage.originals))
    monkeypatch.setattr(restore_module, "_any_in", lambda uids, runs: False)
    profile = OutputProfile("tps", roi_name_limit=64)
    assert left.encode() in restored(passage, passage.structure_set([f"Liver {left}"]), profile=profile)


def test_a_reference_that_was_not_mapped_back_is_noticed() -> None:
    passage = Toy(2)
    same = {pseudonym: pseudonym for pseudonym in passage.originals}
    with pytest.raises(StructureSetUnsound, match="RESULT_PSEUDONYM_LEFT"):
        restore(
            inspect(toy.part10(passage.structure_set()), passage.expectation),
            passage.identity,
            OutputProfile("tps"),
            originals=same,
            seed=SEED,
            model="m",
            at=AT,
        )


def test_no_pseudonym_is_anywhere_in_the_bytes() -> None:
    passage = Toy(5)
    stream = restored(passage)
    for pseudonym in passage.originals:
        assert pseudonym.encode() not in stream
    assert b"P-TESTCODE" not in stream


NAMES = st.text(
    st.characters(codec="latin-1", exclude_characters="\\^=", exclude_categories=["Cc", "Cf"]),
    min_size=1,
    max_size=20,
).filter(lambda text: text == text.strip())


@given(
    name=st.lists(NAMES, min_size=1, max_size=3).map("^".join),
    patient_id=NAMES,
    rois=st.lists(st.text(max_size=20), min_size=1, max_size=4),
    slices=st.integers(2, 5),
    implicit=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_out_and_back_is_exact(
    name: str, patient_id: str, rois: list[str], slices: int, implicit: bool
) -> None:
    images = [toy.image(index, PatientName=name, PatientID=patient_id) for index in range(slices)]
    passage = Toy(images=images)
    dataset = passage.structure_set([re.sub(r"[\x00-\x1f\\]", "", one) for one in rois])
    stream = restored(passage, dataset, implicit=implicit)
    source = toy.encoded(images[0])
    identity = Identity.of(parse_instance(source, "1.2.840.10008.1.2.1", limits=WalkLimits()))
    for tag, (_, value) in identity.values.items():
        assert raw(stream, tag) == value
    assert len(read(stream).StructureSetROISequence) == len(rois)


CHARACTER_SETS = ["chrFren", "chrGerm", "chrH31", "chrHbrw", "chrJapMulti", "chrKoreanMulti", "chrX1"]


@pytest.mark.parametrize("sample", CHARACTER_SETS)
def test_names_of_every_writing_come_back_byte_for_byte(data: Path, sample: str) -> None:
    """Deid-cases 26: code extensions, several component groups; also the bytes that are invalid."""
    source = dcmread(data / "samples" / "odd" / "charset" / f"{sample}.dcm")
    name = source.get_item(0x00100010).value
    values = source.SpecificCharacterSet
    character_set = (values if isinstance(values, str) else "\\".join(values)).encode()
    identity = Identity(
        {0x00100010: (b"PN", name), 0x00100020: (b"LO", b"4711")},
        sequences={},
        character_set=character_set + b" " * (len(character_set) % 2),
        study_instance_uid=toy.STUDY,
        series_instance_uid=toy.SERIES,
        frame_of_reference_uid=toy.FRAME,
    )
    passage = Toy(2)
    stream = restored(passage, passage.structure_set(["Léber 肝臓"]), identity=identity)
    assert raw(stream, 0x00100010) == name
    assert str(read(stream).PatientName) == str(source.PatientName)
    assert read(stream).StructureSetROISequence[0].ROIName.isprintable()


def test_an_identity_in_implicit_vr_with_sequences_is_written_in_either_vr() -> None:
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = "X-1", "TEXT"
    images = [toy.image(index, OtherPatientIDsSequence=[other]) for index in range(2)]
    identity = Identity.of(toy.instance(images[0], implicit=True))
    passage = Toy(images=images)
    for points in (24, 4000):
        contours = [toy.circle(0, points=points)]
        stream = restored(
            passage, passage.structure_set(["Body"], contours), identity=identity, implicit=True
        )
        assert read(stream).OtherPatientIDsSequence[0].PatientID == "X-1"
