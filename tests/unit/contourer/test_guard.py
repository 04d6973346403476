"""The guard lets de-identified slices pass and nothing else (R9)."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary

from gateway.cloud.payload import Codec, SlicePayload, pack
from gateway.contourer.deidentified import CODED, EMPTY, NUMBERS
from gateway.contourer.guard import Finding, IdentifiersFound, Rule, findings, inspect_slice
from gateway.deid.profile import load_profiles
from gateway.dicom.encode import element, item_sequence
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import DeidentificationError, IntakeError
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made
from tests.contourer_stand import METHOD, made_payload, uid

PROFILES = load_profiles()
KEY = ClinicKey(b"k" * 32)
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


def outgoing(instance: Instance) -> SlicePayload:
    pseudonyms = Pseudonyms(KEY, scope_of(instance, "study"))
    return pack(deidentify(instance, pseudonyms, PROFILES[instance.modality]), Codec.RAW)


def received(dataset: pydicom.Dataset) -> Instance:
    return parse_instance(made.encoded(dataset), NATIVE[1], limits=WalkLimits())


def found(**changes: bytes) -> list[Finding]:
    tags = {int(name.removeprefix("x"), 16): value for name, value in changes.items()}
    return list(findings(made_payload(changes=tags)))


def test_a_made_slice_passes() -> None:
    """The control of every refusal below."""
    assert found() == []
    inspect_slice(made_payload())


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_what_the_gateway_de_identifies_passes(modality: str) -> None:
    dataset = made.image(3, modality=modality)
    dataset.BodyPartExamined, dataset.PatientAge, dataset.StationName = "PELVIS", "042Y", "Invented"
    if modality == "MR":
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.MRAcquisitionType = (
            ["SE", "IR"],
            "SK",
            "2D",
        )
        dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = "500", "10.5", "1"
    inspect_slice(outgoing(received(dataset)))


def real(folder: Path) -> Iterator[Instance]:
    for path in sorted(folder.rglob("*.dcm"))[::7]:
        try:
            dataset = pydicom.dcmread(path)
            if dataset.file_meta.TransferSyntaxUID not in NATIVE:
                continue
            dataset.file_meta.clear()
            yield received(dataset)
        except (
            pydicom.errors.InvalidDicomError,
            AttributeError,
            KeyError,
            ValueError,
            IntakeError,
            TypeError,
        ):
            continue  # not an image that the gateway takes


def test_real_images_pass_after_and_are_found_before_they_are_de_identified(data: Path) -> None:
    passed = 0
    for instance in real(data / "samples"):
        original = SlicePayload(
            Codec.RAW,
            instance.sop_class_uid,
            instance.sop_instance_uid,
            bytes(instance.data[: instance.pixel_start - 12]),
            *(1, 1, 16, 16, False, 0, b"", b""),
        )
        assert list(findings(original)), "an original image passed"
        try:
            slice_ = outgoing(instance)
        except DeidentificationError:
            continue
        inspect_slice(slice_)
        passed += 1
    assert passed >= 10


@pytest.mark.parametrize(
    ("tag", "vr", "value", "rule"),
    [
        (0x00100010, b"PN", b"Invented^Person", Rule.PSEUDONYM),
        (0x00100010, b"PN", b"P-7K3M9QXD^Invented", Rule.PSEUDONYM),
        (0x00100020, b"LO", b"1234567890", Rule.PSEUDONYM),
        (0x00100020, b"LO", b"P-7K3M9QX", Rule.PSEUDONYM),
        (0x00100030, b"DA", b"19330405", Rule.NO_DATE),
        (0x00080020, b"DA", b"20200102", Rule.NO_DATE),
        (0x00080030, b"TM", b"1011", Rule.NO_DATE),
        (0x0008002A, b"DT", b"20200102101112", Rule.NO_DATE),
        (0x00181200, b"DA", b"20200102", Rule.NO_DATE),
        (0x00080050, b"SH", b"INV-ACC-7", Rule.EMPTY),
        (0x00080090, b"PN", b"Invented^Referrer", Rule.EMPTY),
        (0x0008103E, b"LO", b"Pelvis of Invented", Rule.EMPTY),
        (0x00200010, b"SH", b"77", Rule.EMPTY),
        (0x00080080, b"LO", b"Invented Hospital", Rule.LISTED),
        (0x00081010, b"SH", b"CT-1", Rule.LISTED),
        (0x00180015, b"CS", b"INVENTED", Rule.NO_TEXT),
        (0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\INVENTED", Rule.NO_TEXT),
        (0x00181000, b"LO", b"SERIAL-1", Rule.LISTED),
        (0x00204000, b"LT", b"seen by Invented", Rule.LISTED),
        (0x00090010, b"LO", b"INVENTED", Rule.NO_PRIVATE),
        (0x00091001, b"UN", b"x" * 8, Rule.NO_PRIVATE),
        (0x00280030, b"DS", b"1\\1\\1", Rule.NUMERIC),
        (0x00180050, b"DS", b"Invented", Rule.NUMERIC),
        (0x00180050, b"LO", b"3", Rule.NUMERIC),
        (0x00280010, b"US", b"INVENTED", Rule.NUMERIC),
        (0x00200013, b"IS", b"1.5", Rule.NUMERIC),
        (0x0020000D, b"UI", b"1.2.826.0.1.3680043.8.498.9", Rule.PSEUDONYMOUS_UID),
        (0x0020000E, b"UI", b"2.25.329800735698586629295641978511506172918", Rule.PSEUDONYMOUS_UID),
        (0x00200052, b"UI", b"2.25.0", Rule.PSEUDONYMOUS_UID),
        (0x00080014, b"UI", b"1.2.3", Rule.LISTED),
        (0x00101010, b"AS", b"042Y", Rule.LISTED),
        (0x00100040, b"CS", b"F", Rule.LISTED),
        (0x60003000, b"OW", b"overlay!", Rule.LISTED),
        (0xFFFCFFFC, b"OB", b"trailing", Rule.LISTED),
        (0x00120063, b"LO", b"by Invented^Person", Rule.NO_TEXT),
        (0x00120062, b"CS", b"NO", Rule.NO_TEXT),
        (0x00280301, b"CS", b"YES", Rule.NO_TEXT),
        (0x00280303, b"CS", b"UNMODIFIED", Rule.NO_TEXT),
    ],
)  # fmt: skip
def test_one_attribute_too_many_is_found(tag: int, vr: bytes, value: bytes, rule: Rule) -> None:
    assert Finding(tag, rule) in list(findings(made_payload(changes={tag: element(tag, vr, value)})))


def test_every_attribute_of_the_dictionary_with_a_text_is_found() -> None:
    """An allow-list: whatever PS3.6 defines and the guard does not name cannot carry a text."""
    texts = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "UR", "CS", "AE", "DA", "DT", "TM", "AS", "UI"}
    for tag, (vr, *_) in DicomDictionary.items():
        if vr not in texts or tag < 0x00080000 or tag == 0xFFFCFFFC:
            continue
        name = element(tag, vr.encode(), b"INVENTED PERSON ")
        assert list(findings(made_payload(changes={tag: name}))), hex(tag)


def test_a_slice_that_does_not_say_it_is_de_identified_is_found() -> None:
    for tag in (0x00120062, 0x00120064):
        assert Finding(0x00120062, Rule.DECLARED) in list(findings(made_payload(changes={tag: b""})))


def code_item(value: bytes, meaning: bytes, scheme: bytes = b"DCM", more: bytes = b"") -> bytes:
    return (
        element(0x00080100, b"SH", value)
        + element(0x00080102, b"SH", scheme)
        + element(0x00080104, b"LO", meaning)
        + more
    )


@pytest.mark.parametrize(
    "item",
    [
        code_item(b"113100", b"Invented Person"),
        code_item(b"113100", b"Basic Application Confidentiality Profile", b"99X"),
        code_item(b"113106", b"Retain Longitudinal Temporal Information Full Dates Option"),
        code_item(
            b"113100",
            b"Basic Application Confidentiality Profile",
            more=element(0x00100010, b"PN", b"Invented"),
        ),
        b"\x08",
    ],
)
def test_the_method_sequence_cannot_carry_anything_else(item: bytes) -> None:
    assert found(x00120064=item_sequence(0x00120064, [item])) == [Finding(0x00120064, Rule.PARSABLE)]


def test_patient_characteristics_pass_only_where_they_are_declared() -> None:
    declared = item_sequence(
        0x00120064,
        [
            code_item(b"113100", b"Basic Application Confidentiality Profile"),
            code_item(b"113108", b"Retain Patient Characteristics Option"),
        ],
    )
    age = element(0x00101010, b"AS", b"042Y")
    assert found(x00120064=declared, x00101010=age) == []
    assert found(x00120064=METHOD, x00101010=age) == [Finding(0x00101010, Rule.LISTED)]
    old = element(0x00101010, b"AS", b"090Y")
    assert found(x00120064=declared, x00101010=old) == [Finding(0x00101010, Rule.LISTED)]


def test_a_header_about_another_image_is_found() -> None:
    payload = made_payload(0)
    assert list(findings(dataclasses.replace(payload, sop_instance_uid=uid(5)))) == [
        Finding(0x00080018, Rule.CONSISTENT)
    ]
    assert Finding(0x00080016, Rule.CONSISTENT) in list(
        findings(dataclasses.replace(payload, sop_class_uid="1.2.840.10008.5.1.4.1.1.7"))
    )


def test_elements_out_of_order_twice_or_cut_are_found() -> None:
    header = made_payload().header
    twice = element(0x00280011, b"US", b"\x10\0")
    for broken in (
        header + twice,
        twice + header,
        header[:-1],
        header + b"\x28",
        header + b"\x28\0\x12\0US\xff\xff",
    ):
        assert [f.rule for f in findings(dataclasses.replace(made_payload(), header=broken))] == [
            Rule.PARSABLE
        ]
    undefined = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    assert found(x00400275=undefined) == [Finding(0x00400275, Rule.PARSABLE)]


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_a_random_header_never_passes_and_never_breaks_the_guard(header: bytes) -> None:
    assert list(findings(dataclasses.replace(made_payload(), header=header)))


@given(at=st.integers(0, 2000), value=st.integers(0, 255))
@settings(max_examples=200)
def test_an_altered_header_never_breaks_the_guard(at: int, value: int) -> None:
    header = bytearray(made_payload().header)
    header[at % len(header)] = value
    list(findings(dataclasses.replace(made_payload(), header=bytes(header))))


def test_a_finding_names_the_tag_and_the_rule_and_no_value() -> None:
    name = element(0x00100010, b"PN", b"Invented^Person")
    with pytest.raises(IdentifiersFound) as breach:
        inspect_slice(made_payload(changes={0x00100010: name}))
    assert str(breach.value) == "(0010,0010) pseudonym"


def test_the_lists_do_not_contradict_each_other() -> None:
    assert not EMPTY & CODED.keys()
    assert not EMPTY & NUMBERS.keys()
    assert not CODED.keys() & NUMBERS.keys()
