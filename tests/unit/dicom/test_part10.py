"""What is about to be sent is known by its header, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.part10 import Part10
from tests import toy


@pytest.mark.parametrize("implicit", [False, True])
def test_a_stream_tells_which_object_it_is(implicit: bool) -> None:
    dataset = toy.Toy(1).structure_set()
    part = Part10.of(toy.part10(dataset, implicit=implicit))
    assert part.sop_class_uid == dataset.SOPClassUID
    assert part.sop_instance_uid == dataset.SOPInstanceUID
    assert part.study_instance_uid == dataset.StudyInstanceUID
    assert part.series_instance_uid == dataset.SeriesInstanceUID
    assert part.transfer_syntax_uid.endswith(".2" if implicit else ".2.1")
    assert bytes(part.dataset) == toy.encoded(dataset, implicit=implicit)


def test_it_does_not_show_its_uids() -> None:
    part = Part10.of(toy.part10(toy.Toy(1).structure_set()))
    assert part.study_instance_uid not in repr(part)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(octets: bytes) -> None:
    for stream in (octets, bytes(128) + b"DICM" + octets):
        with pytest.raises(ValueError, match=r"Part 10|UID"):
            Part10.of(stream)


def test_a_stream_that_is_cut_off_anywhere_before_its_uids_is_refused() -> None:
    whole = toy.part10(toy.Toy(1).structure_set())
    for stop in range(132, 700):
        try:
            Part10.of(whole[:stop])
        except ValueError:
            continue
        break
    assert stop > 400
