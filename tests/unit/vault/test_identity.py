"""Identity: kept byte for byte, compared without being fooled by padding, shown to nobody."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import PassageUnfit
from gateway.vault.identity import Identity
from tests import toy

NAME, PATIENT_ID, ISSUER, BIRTH_DATE = 0x00100010, 0x00100020, 0x00100021, 0x00100030


def identity(**changes: object) -> Identity:
    return Identity.of(toy.instance(toy.image(**changes)))


def parsed(data: bytes) -> Identity:
    return Identity.of(parse_instance(data, "1.2.840.10008.1.2.1", limits=WalkLimits()))


@pytest.mark.parametrize("implicit", [False, True])
def test_values_are_kept_as_the_source_encoded_them(implicit: bool) -> None:
    kept = Identity.of(toy.instance(toy.image(), implicit=implicit))
    assert kept.character_set == b"ISO_IR 100"
    assert kept.values[NAME] == (b"PN", "Müller^Zoë".encode("latin-1"))
    assert kept.values[PATIENT_ID] == (b"LO", b"4711")
    assert kept.study_instance_uid == toy.STUDY
    assert list(kept.values) == sorted(kept.values)
    assert 0x00080005 not in kept.values


def test_bytes_that_are_invalid_in_their_character_set_are_kept() -> None:
    sent = toy.encoded(toy.image(PatientName="Mueller^Zo"))
    broken = sent.replace(b"Mueller^Zo", b"M\xfcller^\xff\xfe ").replace(b"ISO_IR 100", b"ISO_IR 192")
    assert parsed(broken).values[NAME] == (b"PN", b"M\xfcller^\xff\xfe ")


@pytest.mark.parametrize("implicit", [False, True])
def test_other_patient_ids_are_kept_as_a_sequence(implicit: bool) -> None:
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = "X-1", "TEXT"
    kept = Identity.of(toy.instance(toy.image(OtherPatientIDsSequence=Sequence([other])), implicit=implicit))
    [element] = kept.sequences.values()
    assert b"\x10\x00\x20\x00LO\x04\x00X-1 " in element


def test_an_optional_value_of_the_wrong_vr_is_left_out() -> None:
    sent = toy.encoded(toy.image())
    odd = sent.replace(b"\x10\x00\x00\x10LO\x02\x00A1", b"\x10\x00\x00\x10SH\x02\x00A1")
    assert odd != sent
    assert 0x00101000 in parsed(sent).values
    assert 0x00101000 not in parsed(odd).values


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"PatientName": "Other^Name"}, NAME),
        ({"PatientID": "4712"}, PATIENT_ID),
        ({"PatientID": ""}, PATIENT_ID),
        ({"IssuerOfPatientID": "Elsewhere"}, ISSUER),
        ({"PatientBirthDate": "19501230"}, BIRTH_DATE),
    ],
)
def test_another_patient_is_a_conflict_that_names_the_tag(changes: dict[str, str], tag: int) -> None:
    with pytest.raises(PassageUnfit) as conflict:
        identity().require_same(identity(**changes))
    assert conflict.value.code == "IDENTITY_CONFLICT"
    assert conflict.value.facts == {"tag": tag}


@pytest.mark.parametrize(
    "changes",
    [{}, {"PatientID": "4711  "}, {"PatientBirthDate": ""}, {"PatientAge": "074Y"}, {"StudyTime": ""}],
)
def test_padding_and_what_does_not_tell_patients_apart_is_no_conflict(changes: dict[str, str]) -> None:
    identity().require_same(identity(**changes))


def test_an_ascii_name_means_the_same_in_every_character_set() -> None:
    plain = {"PatientName": "Smith^John"}
    identity(**plain).require_same(identity(SpecificCharacterSet="ISO_IR 192", **plain))


def test_nothing_of_it_shows() -> None:
    kept = identity()
    shown = repr(kept) + str(kept) + f"{kept}"
    for secret in ("Müller", "4711", toy.STUDY, "1950"):
        assert secret not in shown
    with pytest.raises(PassageUnfit) as conflict:
        kept.require_same(identity(PatientID="4712"))
    assert "471" not in str(conflict.value)


def test_a_wiped_identity_holds_nothing() -> None:
    kept = identity()
    assert not kept.is_wiped
    kept.wipe()
    assert kept.is_wiped
    assert not kept.values
    assert not kept.sequences
    assert {kept.character_set, kept.study_instance_uid, kept.series_instance_uid} == {b"", ""}
