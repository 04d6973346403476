from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.profile import load_profiles
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import DeidentificationError
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, is_patient_code, is_pseudonymous_uid, scope_of
from tests import made

PROFILES = load_profiles()
KEY = ClinicKey(b"k" * 32)


def received(dataset: pydicom.Dataset, *, implicit: bool = False) -> Instance:
    syntax = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    return parse_instance(made.encoded(dataset, implicit=implicit), syntax, limits=WalkLimits())


def outgoing(instance: Instance) -> DeidentifiedSlice:
    return deidentify(instance, Pseudonyms(KEY, scope_of(instance, "study")), PROFILES[instance.modality])


def read(slice_: DeidentifiedSlice) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(slice_.part10()))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_fresh_dataset_is_built(modality: str, implicit: bool) -> None:
    source = made.image(3, modality=modality)
    out = read(outgoing(received(source, implicit=implicit)))
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "Rows",
    ):
        assert out[keyword].value == source[keyword].value
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert out[keyword].value != source[keyword].value
        assert is_pseudonymous_uid(out[keyword].value)
    assert is_patient_code(out.PatientID)
    assert out.PatientName == out.PatientID
    assert out.PatientBirthDate == out.StudyDate == out.AccessionNumber == ""
    assert out.PatientIdentityRemoved == "YES"
    assert out.BurnedInAnnotation == "NO"
    assert out.LongitudinalTemporalInformationModified == "REMOVED"
    assert [item.CodeValue for item in out.DeidentificationMethodCodeSequence] == ["113100"]
    assert (out.pixel_array == source_pixels(source)).all()


def source_pixels(source: pydicom.Dataset) -> np.ndarray:
    return np.frombuffer(source.PixelData, "<i2").reshape(source.Rows, source.Columns)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_nothing_exists_in_it_but_what_the_profile_names(modality: str) -> None:
    profile = PROFILES[modality]
    named = {attribute.tag for attribute in profile.attributes} | {said.tag for said in profile.said}
    header = outgoing(made.instance(modality=modality)).header
    spans = walk(header, implicit=False, limits=WalkLimits()).spans
    assert set(spans) <= named
    assert list(spans) == sorted(spans)


def test_implicit_and_explicit_vr_leave_alike() -> None:
    assert outgoing(made.instance()).part10() == outgoing(made.instance(implicit=True)).part10()


def test_the_same_slice_twice_leaves_alike() -> None:
    assert outgoing(made.instance()).part10() == outgoing(made.instance()).part10()


def test_pixels_are_not_copied_where_nothing_is_to_be_cleared() -> None:
    instance = made.instance()
    assert isinstance(instance.data, bytes)
    pixels = outgoing(instance).pixels
    assert isinstance(pixels, memoryview)
    assert pixels.obj is instance.data


def test_any_bytes_like_dataset_is_taken() -> None:
    data = made.encoded(made.image())
    outs = {
        outgoing(parse_instance(kind(data), "1.2.840.10008.1.2.1", limits=WalkLimits())).part10()
        for kind in (bytes, bytearray, memoryview)
    }
    assert len(outs) == 1


@given(
    arrays.arrays("<u2", (4, 4)),
    st.integers(1, 16),
    st.booleans(),
)
def test_stored_values_stay_and_unused_bits_go(words: np.ndarray, bits: int, signed: bool) -> None:
    source = made.image(side=4)
    source.BitsStored, source.HighBit, source.PixelRepresentation = bits, bits - 1, int(signed)
    source.PixelData = words.tobytes()
    stored = words.astype(np.int64) & ((1 << bits) - 1)
    if signed:
        stored = np.where(stored >= 1 << (bits - 1), stored - (1 << bits), stored)
    slice_ = outgoing(received(source))
    assert (np.frombuffer(slice_.pixels, "<i2" if signed else "<u2").reshape(4, 4) == stored).all()
    assert (slice_.bits_stored, slice_.is_signed) == (bits, signed)


def test_an_image_of_another_class_than_the_profiles_does_not_leave() -> None:
    instance = made.instance(modality="MR")
    with pytest.raises(DeidentificationError):
        deidentify(instance, Pseudonyms(KEY, b"scope"), PROFILES["CT"])


@pytest.mark.parametrize(
    "keyword", ["FrameOfReferenceUID", "ImagePositionPatient", "RescaleSlope", "ImageType"]
)
def test_an_image_without_what_contouring_needs_is_held(keyword: str) -> None:
    source = made.image()
    delattr(source, keyword)
    with pytest.raises(DeidentificationError) as caught:
        outgoing(received(source))
    assert caught.value.facts["tag"] == pydicom.tag.Tag(keyword)


def test_an_image_without_a_patient_id_still_gets_a_name() -> None:
    source = made.image()
    del source.PatientID, source.PatientName
    assert is_patient_code(str(read(outgoing(received(source))).PatientName))
