"""multipart/related survives any binary part, and a broken one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cloud import multipart
from gateway.cloud.multipart import MultipartError


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=5))
def test_parts_come_back_as_they_were(parts: list[bytes]) -> None:
    content_type, body = multipart.join(parts, "application/dicom")
    assert list(multipart.split(content_type, body)) == parts


def test_quoted_boundaries_part_headers_and_a_preamble_are_read() -> None:
    body = b"ignored\r\n--b c\r\nContent-Type: application/dicom\r\nX: y\r\n\r\none\r\n--b c--\r\n"
    assert list(multipart.split('Multipart/Related; boundary="b c"; type=x', body)) == [b"one"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/dicom", b"--b\r\n\r\none\r\n--b--"),
        ("multipart/related", b"--b\r\n\r\none\r\n--b--"),
        ("multipart/related; boundary=b", b""),
        ("multipart/related; boundary=b", b"--b\r\nno end of headers"),
        ("multipart/related; boundary=b", b"--b\r\n\r\ncut"),
        ("multipart/related; boundary=b", b"--b\r\n\r\none\r\n--b\r\n\r\ncut"),
    ],
)
def test_a_body_that_is_cut_or_is_something_else_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(MultipartError):
        list(multipart.split(content_type, body))


@given(st.binary(max_size=200))
def test_random_bytes_never_do_anything_but_be_refused_or_split(body: bytes) -> None:
    try:
        parts = list(multipart.split("multipart/related; boundary=b", body))
    except MultipartError:
        return
    assert all(part in body for part in parts)
