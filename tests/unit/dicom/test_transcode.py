"""Explicit to implicit VR and back: the same elements, the same bytes in every value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset

from gateway.dicom.transcode import recode
from tests import toy


def read(data: bytes, *, implicit: bool) -> Dataset:
    return read_dataset(DicomBytesIO(data), implicit, True)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_structure_set_keeps_every_value(implicit: bool) -> None:
    data = toy.encoded(toy.Toy(2).structure_set(), implicit=implicit)
    there = b"".join(recode(data, implicit=implicit, to_implicit=not implicit))
    back = b"".join(recode(there, implicit=not implicit, to_implicit=implicit))
    assert read(there, implicit=not implicit) == read(data, implicit=implicit)
    assert back == data


def test_undefined_lengths_become_defined() -> None:
    dataset = toy.Toy(2).structure_set()
    plain = toy.encoded(dataset)
    dataset["ROIContourSequence"].is_undefined_length = True
    for item in dataset.ROIContourSequence:
        item.is_undefined_length_sequence_item = True
    undefined = toy.encoded(dataset)
    assert undefined != plain
    assert b"".join(recode(undefined, implicit=False, to_implicit=False)) == plain


def test_a_contour_too_long_for_explicit_vr_becomes_un() -> None:
    ring = toy.circle(0, points=4000)
    data = toy.encoded(toy.Toy(1).structure_set(["Body"], [ring]), implicit=True)
    explicit = b"".join(recode(data, implicit=True, to_implicit=False))
    assert b"\x06\x30\x50\x00UN\x00\x00" in explicit


@given(st.binary(max_size=80), st.booleans())
def test_broken_encodings_are_refused_and_nothing_else_happens(octets: bytes, implicit: bool) -> None:
    try:
        parts = recode(octets, implicit=implicit, to_implicit=True)
    except ValueError:
        return
    assert sum(map(len, parts)) <= 2 * len(octets) + 8
