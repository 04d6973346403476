"""The writer: pydicom reads what it wrote."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from gateway.dicom.writer import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, Writer, part10

CLASS, INSTANCE = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.3.4.5"


def stream(write: Writer, *elements: bytes) -> bytes:
    return part10(
        list(elements),
        sop_class_uid=CLASS,
        sop_instance_uid=INSTANCE,
        transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN if write.implicit else EXPLICIT_VR_LITTLE_ENDIAN,
    )


@given(st.booleans(), st.lists(st.lists(st.integers(0, 9999), max_size=4), max_size=4))
def test_sequences_in_sequences_are_read_back(implicit: bool, numbers: list[list[int]]) -> None:
    write = Writer(implicit=implicit)
    items = [
        write.sequence(0x30060040, [write.text(0x30060046, b"IS", str(number)) for number in inner])
        for inner in numbers
    ]
    dataset = dcmread(
        io.BytesIO(stream(write, write.uid(0x00080018, INSTANCE), write.sequence(0x30060039, items)))
    )
    found = [
        [int(one.NumberOfContourPoints) for one in item.ContourSequence]
        for item in dataset.ROIContourSequence
    ]
    assert found == numbers
    assert dataset.SOPInstanceUID == INSTANCE


def test_the_file_meta_information_says_what_the_stream_is() -> None:
    meta = dcmread(io.BytesIO(stream(Writer(implicit=False)))).file_meta
    assert meta.MediaStorageSOPClassUID == CLASS
    assert meta.MediaStorageSOPInstanceUID == INSTANCE
    assert meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    assert stream(Writer(implicit=False))[:128] == bytes(128)


def test_an_odd_length_is_a_fault() -> None:
    with pytest.raises(ValueError, match="even"):
        Writer(implicit=True).element(0x00100020, b"LO", b"odd")


def test_explicit_vr_refuses_what_its_length_cannot_say() -> None:
    value = b"0" * 65536
    with pytest.raises(ValueError, match="too long"):
        Writer(implicit=False).element(0x30060050, b"DS", value)
    assert Writer(implicit=True).element(0x30060050, b"DS", value).endswith(value)
    assert Writer(implicit=False).element(0x30060050, b"UN", value).endswith(value)
