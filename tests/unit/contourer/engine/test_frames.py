from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Limits
from gateway.contourer.engine.frames import BrokenPipeContract, Request, read_body, read_request, write_answer


def framed(header: object) -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(4, "big") + encoded


def test_a_request_is_read_and_the_end_of_the_stream_is_none():
    stream = io.BytesIO(framed({"model": "chest", "slices": 3}))
    assert read_request(stream) == Request("chest", 3)
    assert read_request(stream) is None


def test_a_request_may_announce_as_many_slices_as_the_gateway_takes() -> None:
    most = Limits().slices
    assert read_request(io.BytesIO(framed({"model": "m", "slices": most}))) == Request("m", most)


@pytest.mark.parametrize(
    "header",
    [
        [],
        "x",
        {},
        {"model": "m"},
        {"model": 1, "slices": 1},
        {"model": "m", "slices": -1},
        {"model": "m", "slices": True},
        {"model": "m", "slices": 1.0},
        {"model": "m", "slices": 10**9},
    ],
)
def test_a_request_of_another_shape_is_refused(header):
    with pytest.raises(BrokenPipeContract):
        read_request(io.BytesIO(framed(header)))


@pytest.mark.parametrize(
    "stream", [b"\0", b"\0\0\0\x09{}", b"\xff\xff\xff\xff", b"\0\0\0\x02{]", b"\0\0\0\x02\xff\xfe"]
)
def test_a_broken_header_frame_is_refused(stream):
    with pytest.raises(BrokenPipeContract):
        read_request(io.BytesIO(stream))


@pytest.mark.parametrize("stream", [b"", b"\0" * 7, b"\0" * 7 + b"\x02x", b"\xff" * 8])
def test_a_body_cut_short_or_too_long_is_refused(stream):
    with pytest.raises(BrokenPipeContract):
        read_body(io.BytesIO(stream))


@given(st.binary(max_size=200))
def test_a_body_reads_back_what_an_answer_wrote(body):
    stream = io.BytesIO()
    write_answer(stream, {"ok": True}, body)
    stream.seek(len(framed({"ok": True})))
    assert read_body(stream) == body
    assert stream.read() == b""


@given(st.binary(max_size=40))
def test_no_bytes_crash_the_reader(stream):
    source = io.BytesIO(stream)
    try:
        if read_request(source) is not None:
            read_body(source)
    except BrokenPipeContract:
        pass
