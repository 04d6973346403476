"""Cases 34 to 37: results that cite, name or carry what is not this passage's.

Each plants a canary in what a contourer returns. Either the result is refused without a word about it, or the canary is
nowhere in what is delivered. The controls take the protection away: then it is delivered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from gateway.cloud.envelope import EnvelopeError, RecipientKey, seal_result
from gateway.errors import StructureSetUnsound
from gateway.flow import roi_names
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.references import References
from gateway.flow.restore import restore
from tests import toy
from tests.contourer_stand import OTHER, PASSAGE, reply_seed
from tests.deid.canary import Canary
from tests.toy import Toy, pseudonym

FOREIGN = Canary(pseudonym("1.2.826.0.1.3680043.8.498.31415926"))
"""A pseudonym that another passage of the clinic has."""
NAME = Canary("ZQUEXFORD^WILMOTTAR")
SLICES = 4

Change = Callable[[Dataset], None]


def delivered(part10: bytes) -> bytes:
    """What the TPS would get of a result."""
    passage = Toy(SLICES)
    return restore(
        inspect(part10, passage.expectation),
        passage.identity,
        OutputProfile("tps"),
        originals=passage.originals,
        seed=bytes(32),
        model="m",
        at=datetime.now(UTC),
    )


def changed(change: Change) -> bytes:
    dataset = Toy(SLICES).structure_set()
    change(dataset)
    return toy.part10(dataset)


def frame(dataset: Dataset) -> Dataset:
    return dataset.ReferencedFrameOfReferenceSequence[0]


def referenced_series(dataset: Dataset) -> Dataset:
    return frame(dataset).RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]


def another_study(dataset: Dataset) -> None:
    dataset.StudyInstanceUID = FOREIGN.text


def another_referenced_study(dataset: Dataset) -> None:
    frame(dataset).RTReferencedStudySequence[0].ReferencedSOPInstanceUID = FOREIGN.text


def another_series(dataset: Dataset) -> None:
    referenced_series(dataset).SeriesInstanceUID = FOREIGN.text


def an_unknown_slice(dataset: Dataset) -> None:
    referenced_series(dataset).ContourImageSequence[2].ReferencedSOPInstanceUID = FOREIGN.text


def a_contour_on_an_unknown_slice(dataset: Dataset) -> None:
    contour = dataset.ROIContourSequence[1].ContourSequence[3]
    contour.ContourImageSequence[0].ReferencedSOPInstanceUID = FOREIGN.text


def one_slice_more(dataset: Dataset) -> None:
    more = Dataset()
    more.ReferencedSOPClassUID, more.ReferencedSOPInstanceUID = toy.CTImageStorage, FOREIGN.text
    referenced_series(dataset).ContourImageSequence.append(more)


def another_frame_of_reference(dataset: Dataset) -> None:
    frame(dataset).FrameOfReferenceUID = FOREIGN.text


def an_roi_in_another_frame_of_reference(dataset: Dataset) -> None:
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = FOREIGN.text


FOREIGN_UIDS: dict[str, Change] = {
    "34 another passage's study": another_study,
    "34 a reference to another passage's study": another_referenced_study,
    "34 another passage's series": another_series,
    "35 an unknown slice": an_unknown_slice,
    "35 a contour on an unknown slice": a_contour_on_an_unknown_slice,
    "35 one slice more": one_slice_more,
    "35 the wrong frame of reference": another_frame_of_reference,
    "35 an ROI in the wrong frame of reference": an_roi_in_another_frame_of_reference,
}


@pytest.mark.parametrize("change", FOREIGN_UIDS.values(), ids=FOREIGN_UIDS)
def test_a_foreign_uid_is_refused_without_a_word_about_it(change: Change) -> None:
    part10 = changed(change)
    assert FOREIGN.found_in(part10)
    with pytest.raises(StructureSetUnsound) as refused:
        delivered(part10)
    told = f"{refused.value} {refused.value.facts} {refused.value.hint}"
    assert FOREIGN.found_in(told.encode()) == set()
    assert refused.value.__cause__ is None


def test_control_without_the_inspection_of_uids_a_foreign_slice_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(References, "resolve", lambda self, tag, role, octets: None)
    assert delivered(changed(one_slice_more))


def test_a_structure_set_of_another_passage_is_refused_and_its_own_is_delivered() -> None:
    """Case 34; the same structure set, asked for by the passage that it belongs to, is the control."""
    uids = {"StudyInstanceUID": "1.9.1", "SeriesInstanceUID": "1.9.2", "FrameOfReferenceUID": "1.9.4"}
    other = Toy(images=[toy.image(i, SOPInstanceUID=f"1.9.3.{i}", **uids) for i in range(SLICES)])
    part10 = toy.part10(other.structure_set())
    with pytest.raises(StructureSetUnsound):
        delivered(part10)
    assert inspect(part10, other.expectation).contour_count == 2 * SLICES


def test_a_slice_that_is_missing_is_no_lie_and_no_contour_moves() -> None:
    """Case 35."""

    def without_one(dataset: Dataset) -> None:
        del referenced_series(dataset).ContourImageSequence[1]
        for item in dataset.ROIContourSequence:
            del item.ContourSequence[1]

    found = inspect(changed(without_one), Toy(SLICES).expectation)
    places = {contour.slice_index for roi in found.rois for contour in roi.contours}
    assert places == {0, 2, 3}


# Case 36: what an ROI is called

ROI_NAMES = {
    "over 16 characters": (["Lobus inferior pulmonis dextri"], b"", ["Lobus inferior p"]),
    "duplicate but for case": (["Heart", "HEART", "heart"], b"", ["Heart", "HEART_2", "heart_3"]),
    "duplicate in the first 16": (["Nodus lymphaticus A", "Nodus lymphaticus B"], b"", None),
    "a backslash": (["Lung?R"], b"\\", ["Lung R"]),
    "a line feed": (["Lung?R"], b"\n", ["Lung R"]),
    "an escape": (["Lung?R"], b"\x1b", ["Lung R"]),
    "a null": (["Lung?R"], b"\0", ["Lung R"]),
    "a bidirectional override": (["Lung\u202eR"], b"", ["LungR"]),
    "a bidirectional isolate": (["\u2066Lung\u2069R"], b"", ["LungR"]),
    "a zero width joiner": (["Lung\u200dR"], b"", ["LungR"]),
}


@pytest.mark.parametrize(("names", "instead", "expected"), ROI_NAMES.values(), ids=ROI_NAMES)
def test_every_roi_name_fits_the_tps(names: list[str], instead: bytes, expected: list[str] | None) -> None:
    part10 = toy.part10(Toy(SLICES).structure_set(names))
    if instead:
        part10 = part10.replace(b"Lung?R", b"Lung" + instead + b"R")
    came = names_in(delivered(part10))
    if expected is not None:
        assert came == expected
    assert len({name.casefold() for name in came}) == len(names)
    for name in came:
        assert 1 <= len(name) <= 16
        assert name.isprintable()
        assert "\\" not in name


def test_control_names_that_are_not_made_fit_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roi_names, "fit", lambda names, *, limit, character_set: tuple(names))
    came = names_in(delivered(toy.part10(Toy(SLICES).structure_set(["Heart", "HEART", "A" * 20]))))
    assert came == ["Heart", "HEART", "A" * 20]


@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientName", "OtherPatientNames", "ReferringPhysicianName", "OperatorsName", "InstitutionName"),
        *(
            "SeriesDescription",
            "StructureSetName",
            "StructureSetDescription",
            "PatientComments",
        ),
    ],
)
def test_a_name_that_comes_back_is_not_delivered_as_the_patients(keyword: str) -> None:
    """What is delivered about the patient is the gateway's own memory, whatever the contourer says."""
    part10 = changed(lambda dataset: setattr(dataset, keyword, NAME.text))
    assert NAME.found_in(part10)
    try:
        out = delivered(part10)
    except StructureSetUnsound as refused:
        assert NAME.found_in(f"{refused} {refused.facts}".encode()) == set()  # noqa: PT017  # either is sound
        return
    assert NAME.found_in(out) == set()


def names_in(part10: bytes) -> list[str]:
    """The ROI names of what is delivered, read by pydicom."""
    from io import BytesIO

    from pydicom import dcmread

    return [roi.ROIName for roi in dcmread(BytesIO(part10)).StructureSetROISequence]


# Case 37: the seal of a result

RESULT = b"RTSTRUCT of " + NAME.text.encode() * 4
DIGEST = hashlib.sha256(b"the manifest").digest()
REPLY_KEY = RecipientKey(reply_seed(PASSAGE))
SEALED = seal_result(RESULT, REPLY_KEY.public, PASSAGE, DIGEST)


def refused(
    sealed: bytes, passage: str = PASSAGE, digest: bytes = DIGEST, key: RecipientKey = REPLY_KEY
) -> bool:
    """Whether it does not open, without a word about what is inside."""
    try:
        key.open_result(sealed, passage, digest)
    except EnvelopeError as error:
        assert NAME.found_in(f"{error!r} {error.__cause__!r}".encode()) == set()  # noqa: PT017
        return True
    return False


def test_a_result_opens_for_its_own_passage_and_shows_nothing_while_sealed() -> None:
    """The control of what follows."""
    assert REPLY_KEY.open_result(SEALED, PASSAGE, DIGEST) == RESULT
    assert NAME.found_in(RESULT)
    assert NAME.found_in(SEALED) == set()


def test_a_result_for_another_passage_or_a_replayed_one_does_not_open() -> None:
    assert refused(SEALED, passage=OTHER)
    assert refused(SEALED, key=RecipientKey(reply_seed(OTHER)))
    assert refused(SEALED, digest=hashlib.sha256(b"what the passage commits the second time").digest())


@settings(max_examples=100)
@given(st.integers(0, len(SEALED) * 8 - 1))
def test_a_result_with_any_bit_flipped_does_not_open(bit: int) -> None:
    flipped = bytearray(SEALED)
    flipped[bit // 8] ^= 1 << bit % 8
    assert refused(bytes(flipped))


@settings(max_examples=50)
@given(st.integers(0, len(SEALED) - 1), st.binary(min_size=1, max_size=4))
def test_a_result_that_was_cut_or_made_longer_does_not_open(length: int, more: bytes) -> None:
    assert refused(SEALED[:length])
    assert refused(SEALED + more)
