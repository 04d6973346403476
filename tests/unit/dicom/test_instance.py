from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    SecondaryCaptureImageStorage,
)

from gateway.dicom.instance import RESTORED, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import IntakeError
from tests import made
from tests.raw import element, inserted

LIMITS = WalkLimits()
PLAIN = made.encoded(made.image())


def refusal(data: bytes, **command: str) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        parse_instance(data, ExplicitVRLittleEndian, limits=LIMITS, **command)
    return caught.value


def changed(**values: object) -> bytes:
    dataset = made.image()
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return made.encoded(dataset)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_an_image_is_understood(implicit: bool, modality: str) -> None:
    dataset = made.image(2, modality=modality)
    dataset.SeriesDescription, dataset.BodyPartExamined = "Thorax für Müller", "CHEST"
    data = made.encoded(dataset, implicit=implicit)
    instance = parse_instance(
        data,
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian,
        limits=LIMITS,
        command_sop_class_uid=str(dataset.SOPClassUID),
        command_sop_instance_uid=str(dataset.SOPInstanceUID),
    )
    assert instance.modality == modality
    assert instance.position == (-8, -8, 6)
    assert instance.orientation == (1, 0, 0, 0, 1, 0)
    assert instance.spacing == (1, 1)
    assert instance.thickness == 3
    assert (instance.rows, instance.columns, instance.bits_stored) == (16, 16, 16)
    assert instance.is_signed
    assert instance.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert instance.series_description == "Thorax für Müller"
    assert instance.body_part == "CHEST"
    assert instance.content_sha256 == hashlib.sha256(data).digest()
    assert data[instance.pixel_start : instance.pixel_stop] == dataset.PixelData
    assert instance.raw(0x00100020) == b"INVENTED-1"
    assert instance.raw(0x00104000) is None
    assert instance.text(0x00080060) == modality
    assert instance.specific_character_set == ("ISO_IR 192",)


def test_it_does_not_show_whose_it_is() -> None:
    assert repr(made.instance()) == "<Instance CT 16 x 16>"


def test_what_may_be_absent_is_none() -> None:
    data = changed(
        FrameOfReferenceUID=None,
        ImagePositionPatient=None,
        ImageOrientationPatient="",
        PixelSpacing=None,
        SliceThickness="",
        ImageType=None,
        SpecificCharacterSet=None,
    )
    instance = parse_instance(data, ExplicitVRLittleEndian, limits=LIMITS)
    assert instance.frame_of_reference_uid == ""
    assert (instance.position, instance.orientation, instance.spacing, instance.thickness) == (None,) * 4
    assert instance.image_type == instance.specific_character_set == ()


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_a_command_unlike_its_dataset_is_refused(keyword: str) -> None:
    name = {"SOPClassUID": "command_sop_class_uid", "SOPInstanceUID": "command_sop_instance_uid"}[keyword]
    error = refusal(PLAIN, **{name: "1.2.3"})
    assert (error.code, error.dimse_status) == ("UID_MISMATCH", 0xA900)


@pytest.mark.parametrize("uid", ["../../etc/x", "1." + "2" * 64, "1.02.3", "", "abc"])
@pytest.mark.parametrize("tag", [0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00200052])
def test_a_uid_that_is_none_is_refused(uid: str, tag: int) -> None:
    if not uid and tag == 0x00200052:
        return
    value = uid.encode() + b"\0" * (len(uid) % 2)
    error = refusal(inserted(PLAIN, element(tag, b"UI", value)))
    assert (error.code, error.dimse_status, error.facts["tag"]) == ("UID_INVALID", 0xA900, tag)


def test_a_uid_of_a_megabyte_is_refused_without_reading_it() -> None:
    data = made.encoded(made.image(), implicit=True)
    at = data.index(b"\x20\x00\x0d\x00")
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    long = b"1." + b"2" * 2**20
    data = data[: at + 4] + len(long).to_bytes(4, "little") + long + data[at + 8 + length :]
    with pytest.raises(IntakeError) as caught:
        parse_instance(data, ImplicitVRLittleEndian, limits=LIMITS)
    assert caught.value.code == "UID_INVALID"


@pytest.mark.parametrize("uid", [SecondaryCaptureImageStorage, EnhancedCTImageStorage, "1.2.3.4"])
def test_other_objects_are_not_supported(uid: str) -> None:
    error = refusal(changed(SOPClassUID=uid))
    assert (error.code, error.dimse_status) == ("SOP_CLASS_NOT_SUPPORTED", 0x0122)


def test_a_ct_that_says_mr_is_refused() -> None:
    error = refusal(changed(Modality="MR"))
    assert (error.code, error.dimse_status) == ("MODALITY_MISMATCH", 0xA900)


@pytest.mark.parametrize(
    "keyword",
    [
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "Rows",
        "BitsStored",
        "PixelRepresentation",
        "PhotometricInterpretation",
        "PixelData",
    ],
)
def test_what_cannot_be_done_without_must_be_there(keyword: str) -> None:
    error = refusal(changed(**{keyword: None}))
    assert (error.code, error.dimse_status) == ("ATTRIBUTE_MISSING", 0xA900)


@pytest.mark.parametrize(
    "values",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"Rows": 0, "PixelData": b""},
        {"Columns": 65535},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"BitsAllocated": 32},
        {"BitsAllocated": 0, "BitsStored": 0, "HighBit": 0},
        {"BitsStored": 17, "HighBit": 16},
        {"BitsStored": 0},
        {"HighBit": 11},
        {"BitsStored": 12},
        {"PixelRepresentation": 2},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "RGB"},
        {"NumberOfFrames": "0"},
        {"NumberOfFrames": "2"},
        {"NumberOfFrames": "999999"},
        {"PixelData": bytes(510)},
        {"PixelData": bytes(514)},
        {"PixelData": b""},
    ],
    ids=str,
)
def test_pixels_that_do_not_fit_are_refused(values: dict[str, object]) -> None:
    error = refusal(changed(**values))
    assert (error.code, error.dimse_status) == ("PIXELS_UNFIT", 0xA900)


def test_one_frame_may_be_said() -> None:
    assert parse_instance(changed(NumberOfFrames="1"), ExplicitVRLittleEndian, limits=LIMITS)


def test_trailing_padding_is_legal() -> None:
    data = PLAIN + element(0xFFFCFFFC, b"OB", b"whatever")
    assert parse_instance(data, ExplicitVRLittleEndian, limits=LIMITS).pixel_stop == len(PLAIN)


def test_bytes_after_the_last_element_are_refused() -> None:
    assert refusal(PLAIN + b"\0\0").code == "DATASET_UNPARSABLE"


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280010, b"UL", b"\x10\0\0\0"),
        (0x00280010, b"US", b"\x10\0\0\0"),
        (0x00280100, b"SS", b"\x10\0"),
        (0x00080018, b"LO", b"1.2.3 "),
        (0x00080060, b"LO", b"CT"),
        (0x00080008, b"SH", b"ORIGINAL\\PRIMARY"),
        (0x00080008, b"CS", b"A" * 2000),
        (0x00100010, b"OB", b"Name"),
        (0x00100020, b"UN", b"Name"),
        (0x00080020, b"LO", b"20200101"),
        (0x00200032, b"DS", b"1\\2 "),
        (0x00200032, b"DS", b"1\\2\\Smith "),
        (0x00200032, b"DS", b"0\\0\\1e308 "),
        (0x00200032, b"DS", b"-1000001\\0\\0 "),
        (0x00280030, b"DS", b"1\\1e300 "),
        (0x00200032, b"LO", b"1\\2\\3 "),
        (0x00200037, b"DS", b"1\\0\\0\\0\\1 "),
        (0x00280030, b"DS", b"0\\1 "),
        (0x00280030, b"DS", b"-1\\1"),
        (0x00180050, b"DS", b"3.0000000000000001"),
        (0x7FE00010, b"UN", bytes(512)),
        (0x00280004, b"CS", b"X" * 256),
    ],
)
def test_a_value_that_is_depended_on_has_its_vr_and_its_size(tag: int, vr: bytes, value: bytes) -> None:
    error = refusal(inserted(PLAIN, element(tag, vr, value)))
    assert (error.code, error.dimse_status, error.facts["tag"]) == ("VALUE_INVALID", 0xA900, tag)


@pytest.mark.parametrize("tag", RESTORED)
def test_what_must_be_given_back_is_bounded(tag: int) -> None:
    vr, limit = RESTORED[tag]
    assert refusal(inserted(PLAIN, element(tag, vr, b"A" * (limit + 2)))).code == "VALUE_INVALID"
    assert parse_instance(
        inserted(PLAIN, element(tag, vr, b"A" * limit)), ExplicitVRLittleEndian, limits=LIMITS
    ).raw(tag) == (b"A" * limit)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00080070, b"UN", b"Maker "),
        (0x00080070, b"LO", b"M" * 60_000),
        (0x00101010, b"IS", b"12"),
        (0x00104000, b"LT", b"\xff\xfe\x00 not text"),
        (0x00181030, b"UT", b"x" * 2**20),
    ],
)
def test_a_value_that_neither_leaves_nor_returns_does_not_matter(tag: int, vr: bytes, value: bytes) -> None:
    assert parse_instance(inserted(PLAIN, element(tag, vr, value)), ExplicitVRLittleEndian, limits=LIMITS)


def test_compressed_pixels_are_not_for_here() -> None:
    with pytest.raises(IntakeError) as caught:
        parse_instance(PLAIN, str(JPEGLosslessSV1), limits=LIMITS)
    assert caught.value.code == "TRANSFER_SYNTAX_NOT_SUPPORTED"


def test_an_error_says_no_value() -> None:
    dataset = made.image()
    dataset.Modality = "SMITH"
    assert "SMITH" not in str(refusal(made.encoded(dataset)))


@settings(max_examples=200)
@given(st.data())
def test_no_damage_makes_it_stumble(data: st.DataObject) -> None:
    damaged = bytearray(PLAIN)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 512))] = data.draw(st.integers(0, 255))
    try:
        parse_instance(bytes(damaged), ExplicitVRLittleEndian, limits=LIMITS)
    except IntakeError as error:
        assert error.dimse_status in (0xC000, 0xA900, 0x0122)  # noqa: PT017  # either way is sound


def test_a_dataset_of_nothing_is_refused() -> None:
    assert refusal(b"").code == "ATTRIBUTE_MISSING"
    assert refusal(made.encoded(Dataset())).code == "ATTRIBUTE_MISSING"
