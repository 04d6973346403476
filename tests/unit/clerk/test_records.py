"""Records survive being written and read."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.clerk.records import InstancesCounted, Record, read_record, write_record
from tests.unit.clerk.made_records import NAMES, NOON, ONE_OF_EACH, passage_id


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: record.kind)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    text = write_record(record)
    assert read_record(text, NAMES) == record
    assert b"\n" not in text
    assert text.isascii()


def test_there_is_one_made_record_of_each_kind() -> None:
    assert {type(record) for record in ONE_OF_EACH} == set(get_args(get_args(Record)[0]))


@given(st.integers())
def test_a_count_is_bounded(number: int) -> None:
    record = (
        f'{{"kind":"counted","at":"2026-03-01T12:00:00Z","passage":"{passage_id(1)}","received":{number}}}'
    )
    if 0 <= number <= 2**53:
        assert read_record(record, NAMES) == InstancesCounted(at=NOON, passage=passage_id(1), received=number)
    else:
        with pytest.raises(ValidationError):
            read_record(record, NAMES)
