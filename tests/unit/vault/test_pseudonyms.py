from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import (
    Pseudonyms,
    is_patient_code,
    is_pseudonymous_uid,
    keyed_digest,
    scope_of,
    subject_of,
)
from tests import made

KEY, OTHER_KEY = ClinicKey(b"k" * 32), ClinicKey(b"o" * 32)
UIDS = st.from_regex(r"[12]\.[1-9][0-9]{0,9}\.[1-9][0-9]{0,30}", fullmatch=True)


def instance(**values: object) -> Instance:
    dataset = made.image()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)

    return parse_instance(made.encoded(dataset), "1.2.840.10008.1.2.1", limits=WalkLimits())


@given(UIDS)
def test_a_pseudonym_is_a_valid_uid_of_a_uuid(original: str) -> None:
    pseudonym = Pseudonyms(KEY, b"scope").uid(original)
    assert UID(pseudonym).is_valid
    assert uuid.UUID(int=int(pseudonym.removeprefix("2.25."))).version == 8
    assert is_pseudonymous_uid(pseudonym)


@given(UIDS)
def test_pseudonyms_are_the_same_on_every_worker_and_after_a_restart(original: str) -> None:
    padded = original.encode() + b"\0" * (len(original) % 2)
    assert Pseudonyms(KEY, b"scope").uid(original) == Pseudonyms(KEY, b"scope").uid(padded)


@given(UIDS, UIDS)
def test_different_originals_scopes_and_keys_give_different_pseudonyms(one: str, two: str) -> None:
    pseudonyms = {
        Pseudonyms(KEY, b"a").uid(one),
        Pseudonyms(KEY, b"b").uid(one),
        Pseudonyms(OTHER_KEY, b"a").uid(one),
    }
    assert len(pseudonyms) == 3
    assert (Pseudonyms(KEY, b"a").uid(one) == Pseudonyms(KEY, b"a").uid(two)) == (one == two)


def test_the_way_back_is_kept_in_memory_only_until_it_is_wiped() -> None:
    pseudonyms = Pseudonyms(KEY, b"scope")
    pseudonym = pseudonyms.uid("1.2.3")
    assert dict(pseudonyms.originals) == {pseudonym: "1.2.3"}
    assert "1.2.3" not in repr(pseudonyms)
    with pytest.raises(TypeError):
        pseudonyms.originals[pseudonym] = "x"  # type: ignore[index]
    pseudonyms.wipe()
    assert not pseudonyms.originals
    for compute in (lambda: pseudonyms.uid("1.2.3"), lambda: pseudonyms.patient_code(b"x")):
        with pytest.raises(RuntimeError):
            compute()


def test_an_empty_uid_has_no_pseudonym() -> None:
    with pytest.raises(ValueError, match="empty"):
        Pseudonyms(KEY, b"scope").uid(b"\0")


@given(st.binary(max_size=40))
def test_patient_codes_are_short_and_do_not_repeat_the_patient(patient: bytes) -> None:
    code = Pseudonyms(KEY, b"scope").patient_code(patient)
    assert is_patient_code(code)
    assert code == Pseudonyms(KEY, b"scope").patient_code(patient)
    assert code != Pseudonyms(OTHER_KEY, b"scope").patient_code(patient)


def test_ten_thousand_patients_have_ten_thousand_codes() -> None:
    pseudonyms = Pseudonyms(KEY, b"scope")
    assert len({pseudonyms.patient_code(str(n).encode()) for n in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.3",
        "2.25.1",
        "2.25.",
        "2.25.0",
        "2.25.abc",
        f"2.25.{2**128}",
        f"2.25.{uuid.uuid4().int}",
        "2.25.²",
        "",
        "2.25.1.2",
    ],
)
def test_other_uids_are_not_taken_for_pseudonyms(uid: str) -> None:
    assert not is_pseudonymous_uid(uid)


@pytest.mark.parametrize(
    "text", ["", "P-", "P-1234567", "P-123456789", "P-1234567O", "p-12345678", "P-ABCDEFGU"]
)
def test_other_texts_are_not_taken_for_patient_codes(text: str) -> None:
    assert not is_patient_code(text)


def test_the_issuer_tells_two_patients_with_one_number_apart() -> None:
    one, other = instance(IssuerOfPatientID="NORTH"), instance(IssuerOfPatientID="SOUTH")
    assert subject_of(one) != subject_of(other) != subject_of(instance())
    assert subject_of(instance(PatientID="AB", IssuerOfPatientID="C ")) != subject_of(
        instance(PatientID="B ", IssuerOfPatientID="CA")
    )


def test_padding_makes_no_other_patient() -> None:
    assert subject_of(instance(PatientID="ABC")) == subject_of(instance(PatientID="ABC   "))


@pytest.mark.parametrize("linkage", ["study", "patient"])
def test_two_unknown_patients_are_never_linked(linkage: str) -> None:
    one, other = instance(PatientID=""), instance(PatientID="", StudyInstanceUID="1.2.3")
    assert subject_of(one) != subject_of(other)
    assert scope_of(one, linkage) != scope_of(other, linkage)  # type: ignore[arg-type]


def test_studies_are_linked_only_where_the_configuration_says_so() -> None:
    one, other = instance(), instance(StudyInstanceUID="1.2.3")
    codes = {
        linkage: {Pseudonyms(KEY, scope_of(i, linkage)).patient_code(subject_of(i)) for i in (one, other)}  # type: ignore[arg-type]
        for linkage in ("study", "patient")
    }
    assert len(codes["study"]) == 2
    assert len(codes["patient"]) == 1


def test_digests_of_different_kinds_or_keys_never_match() -> None:
    digests = {
        keyed_digest(KEY, "study", b"1.2.3"),
        keyed_digest(KEY, "series", b"1.2.3"),
        keyed_digest(KEY, "study", b"1.2.4"),
        keyed_digest(OTHER_KEY, "study", b"1.2.3"),
    }
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}
