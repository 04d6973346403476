"""Which patient an image is: character sets, missing, doubled and shared identifiers."""

from __future__ import annotations

import hashlib

import pytest
from pydicom.dataset import Dataset

from gateway.dicom.instance import Instance
from gateway.errors import IntakeError
from gateway.flow.assemble import Assembler
from gateway.flow.deidentify import stored_values
from gateway.flow.rules import SeriesFacts
from gateway.flow.series import Series
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made
from tests.deid.canary import Canary
from tests.deid.way_out import KEY, deidentified, everything, received
from tests.raw import element, inserted

PLAIN = made.encoded(made.image())


def image(**values: object) -> Instance:
    dataset = made.image()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return received(made.encoded(dataset))


def code(instance: Instance) -> bytes:
    header = deidentified(instance).header
    at = header.index(b"\x10\0\x20\0LO") + 8
    return header[at : at + 10]


NAMES = {
    "Latin": (b"ISO_IR 100", "Büchenquex^Jörg".encode("latin-1"), "Büchenquex^Jörg"),
    "UTF-8": (b"ISO_IR 192", "Büchenquex^Jörg".encode(), "Büchenquex^Jörg"),
    "Cyrillic": (b"ISO_IR 144", "Люксембурр".encode("iso8859_5"), "Люксембурр"),
    "Hebrew": (b"ISO_IR 138", "שרוןקווקס".encode("iso8859_8"), "שרוןקווקס"),
    "Japanese": (b"\\ISO 2022 IR 87", b"Yamadaquex^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
    "Korean": (b"\\ISO 2022 IR 149", b"Hongquex^G=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "洪^吉洞"),
    "Chinese": (b"GB18030", "王小东阙".encode("gb18030"), "王小东阙"),
    "undeclared": (b"", "Büchenquex^Jörg".encode("latin-1"), "Büchenquex^Jörg"),
    "wrongly declared": (b"ISO_IR 192", "Büchenquex^Jörg".encode("latin-1"), "Büchenquex^Jörg"),
    "nonsense declared": (b"ISO_IR 4711", b"Buchenquex^Jorg", "Buchenquex^Jorg"),
}


@pytest.mark.parametrize(("declared", "raw", "text"), NAMES.values(), ids=NAMES)
def test_a_name_of_any_character_set_stays_and_is_kept_to_the_byte(
    declared: bytes, raw: bytes, text: str
) -> None:
    """Case 26."""
    padded = raw + b" " * (len(raw) % 2)
    data = inserted(PLAIN, element(0x00080005, b"CS", declared + b" " * (len(declared) % 2)))
    for tag in (0x00100010, 0x00101001, 0x00081050):
        data = inserted(data, element(tag, b"PN", padded))
    instance = received(data)
    out = everything(deidentified(instance))
    assert raw in data
    assert raw not in out
    assert Canary(text).found_in(out) == set()
    assert instance.raw(0x00100010) == padded


def test_without_a_patient_id_two_studies_are_two_patients() -> None:
    """Case 28."""
    one, other = image(PatientID=""), image(PatientID="", StudyInstanceUID="1.2.3.4")
    assert code(one) != code(other)
    dataset: Dataset = made.image()
    del dataset.PatientID
    assert code(received(made.encoded(dataset))) == code(one)


def test_one_number_of_two_issuers_is_two_patients() -> None:
    """Case 28."""
    assert code(image(IssuerOfPatientID="NORTH")) != code(image(IssuerOfPatientID="SOUTH"))


def test_a_patient_id_twice_is_refused() -> None:
    """Case 28."""
    once = element(0x00100020, b"LO", b"INVENTED-1")
    assert PLAIN.count(once) == 1
    with pytest.raises(IntakeError) as caught:
        received(PLAIN.replace(once, once * 2))
    assert caught.value.code == "ELEMENT_TWICE"


def test_two_patients_in_one_study_have_two_pseudonyms() -> None:
    """Case 29."""
    assert code(image(PatientID="A-1")) != code(image(PatientID="A-2"))


def test_the_same_slice_twice_has_identical_pseudonyms_and_other_pixels_show() -> None:
    """Case 42."""
    one, again = received(PLAIN), received(bytes(bytearray(PLAIN)))
    assert deidentified(one).part10() == deidentified(again).part10()
    assert one.content_sha256 == again.content_sha256
    other = received(PLAIN[:-1] + bytes([PLAIN[-1] ^ 1]))
    assert deidentified(other).sop_instance_uid == deidentified(one).sop_instance_uid
    assert other.content_sha256 != one.content_sha256


def test_slices_of_a_series_stay_one_series_and_of_a_study_one_study() -> None:
    headers = [deidentified(made.instance(n)).header for n in range(3)]
    for tag in (b"\x20\0\x0d\0UI", b"\x20\0\x0e\0UI", b"\x20\0\x52\0UI"):
        values = {header[header.index(tag) : header.index(tag) + 52] for header in headers}
        assert len(values) == 1
    assert len({deidentified(made.instance(n)).sop_instance_uid for n in range(3)}) == 3


def test_two_studies_of_a_patient_cannot_be_linked() -> None:
    one, other = deidentified(made.instance(study=1)), deidentified(made.instance(study=2))
    values = {line for line in one.header.split(b"2.25.") if line} & set(other.header.split(b"2.25."))
    assert not any(value[:1].isdigit() for value in values)
    assert code(made.instance(study=1)) != code(made.instance(study=2))


def assembler() -> Assembler:
    return Assembler(
        lambda instance: Pseudonyms(KEY, scope_of(instance, "study")),
        lambda instance: hashlib.sha256(stored_values(instance)).digest(),
        lambda uid: hashlib.sha256(uid.encode()).digest(),
        max_slices=100,
    )


def arrived(at: Assembler, instance: Instance, association: int = 1) -> Series:
    """Let an image arrive as it does in the running gateway."""
    series = at.find(instance) or at.open(instance, SeriesFacts("PACS", "CONTOURGATE", "CT", "", ""))
    at.add(series, instance, association, len(instance.data))
    return series


def test_two_patients_in_one_association_are_two_passages() -> None:
    """Case 29."""
    at = assembler()
    one = arrived(at, image(PatientID="ZQUEX-1", PatientName="ZQUEXFORD"))
    other = arrived(at, made.instance(study=2, patient="WILMOT-2"))
    assert one.passage.id != other.passage.id
    assert one.passage.pseudonym != other.passage.pseudonym
    assert one.conflict is other.conflict is None
    assert one.identity.values[0x00100020][1].strip() == b"ZQUEX-1"
    assert other.identity.values[0x00100020][1].strip() == b"WILMOT-2"
    assert not set(one.slices) & set(other.slices)


def test_two_patient_ids_in_one_study_hold_both() -> None:
    """Case 29; one PatientID in two series of a study is the control."""
    at = assembler()
    one = arrived(at, image(PatientID="ZQUEX-1"))
    again = arrived(at, image(PatientID="ZQUEX-1", SeriesInstanceUID="1.2.3.5", SOPInstanceUID="1.2.3.5.1"))
    assert one.conflict is again.conflict is None
    other = arrived(at, image(PatientID="WILMOT-2", SeriesInstanceUID="1.2.3.6", SOPInstanceUID="1.2.3.6.1"))
    for series in (one, again, other):
        assert series.conflict is not None
        assert series.conflict.code == "IDENTITY_CONFLICT"
        told = f"{series.conflict} {series.conflict.facts}".encode()
        assert not Canary("ZQUEX-1").found_in(told)
        assert not Canary("WILMOT-2").found_in(told)


def test_a_slice_with_other_pixels_is_a_conflict_and_overwrites_nothing() -> None:
    """Case 42; the very same slice once more is the control."""
    at = assembler()
    series = arrived(at, received(PLAIN))
    (kept,) = series.slices.values()
    arrived(at, received(bytes(bytearray(PLAIN))))
    assert series.conflict is None
    with pytest.raises(IntakeError) as refused:
        arrived(at, received(PLAIN[:-1] + bytes([PLAIN[-1] ^ 1])))
    assert refused.value.code == "INSTANCE_CONFLICT"
    assert series.conflict is not None
    assert list(series.slices.values()) == [kept]
    assert kept.instance is not None
    assert kept.instance.data == PLAIN


@pytest.mark.parametrize(
    "written",
    [b"0.97656250000001", b"-1.5E-3", b"+0.5", b"1e0 ", b".5", b"00.50 ", b" 0.9765625", b"1."],
)
def test_the_precision_of_a_number_survives_as_it_was_written(written: bytes) -> None:
    """Case 41."""
    padded = written + b" " * (len(written) % 2)
    data = inserted(PLAIN, element(0x00281053, b"DS", padded))
    out = deidentified(received(data)).header
    assert b"\x28\0\x53\x10DS" + len(padded).to_bytes(2, "little") + padded in out
