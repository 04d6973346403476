"""A message is put together without losing or adding a byte, and without holding more than it needs."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.message_buffer import Discard, MessageBuffer


def put(buffer: MessageBuffer, data: bytes, look_ahead: int = 0) -> None:
    window = buffer.window(len(data) + look_ahead)
    window[: len(data)] = data
    window.release()
    buffer.advance(len(data))


@given(
    messages=st.lists(st.lists(st.binary(max_size=5000), max_size=8), max_size=5),
    look_ahead=st.integers(0, 12),
)
def test_what_is_taken_is_what_was_put(messages: list[list[bytes]], look_ahead: int) -> None:
    buffer = MessageBuffer(1000, 4000)
    for parts in messages:
        for part in parts:
            put(buffer, part, look_ahead)
        assert buffer.take() == b"".join(parts)
        assert buffer.size == 0


def test_the_second_message_of_a_size_is_not_copied() -> None:
    buffer = MessageBuffer(100, 10**6)
    put(buffer, bytes(50_000))
    buffer.take()
    put(buffer, bytes(25_000))
    whole = buffer._bytes
    put(buffer, bytes(25_100))
    assert buffer.take() is whole


def test_a_wrong_guess_holds_no_memory() -> None:
    buffer = MessageBuffer(100, 10**6)
    put(buffer, bytes(500_000))
    buffer.take()
    put(buffer, bytes(1000))
    assert sys.getsizeof(buffer.take()) < 6000


def test_no_more_than_the_largest_guess_is_taken_in_advance() -> None:
    buffer = MessageBuffer(100, 20_000)
    put(buffer, bytes(500_000))
    buffer.take()
    put(buffer, b"x")
    assert len(buffer._bytes) == 20_000


def test_what_was_taken_can_be_changed_by_its_new_owner() -> None:
    buffer = MessageBuffer(100, 1000)
    put(buffer, b"abc", look_ahead=12)
    whole = buffer.take()
    whole += b"d"  # no view of it is left anywhere
    assert whole == b"abcd"


def test_control_a_view_that_is_left_would_forbid_that() -> None:
    buffer = MessageBuffer(100, 1000)
    window = buffer.window(3)
    with pytest.raises(BufferError):
        buffer.take()
    window.release()


def test_discarded_bytes_take_no_room() -> None:
    discard = Discard()
    for _ in range(100):
        assert 0 < len(discard.window(10**9)) <= 65536
        discard.advance(65536)
    assert len(discard.window(7)) == 7
