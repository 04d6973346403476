from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from gateway.dicom import values


@pytest.mark.parametrize(
    "raw", [b"1.2", b"1.2.840.10008.5.1.4.1.1.2\0", b"2.25.0", b"0.1.2 ", b"1." + b"2" * 62]
)
def test_sound_uids_are_taken(raw: bytes) -> None:
    assert values.uid(raw) == raw.decode().rstrip("\0 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"1",
        b"1.",
        b".1",
        b"1..2",
        b"1.02",
        b"3.1",
        b"1.2.a",
        b"../../etc/x",
        b"1.2\n",
        b"1.2\\1.3",
        b"1." + b"2" * 63,
        b" 1.2",
        b"1.2\x00.3",
        "1.²".encode(),
    ],
)
def test_what_is_no_uid_is_not_taken(raw: bytes) -> None:
    assert values.uid(raw) is None


@given(st.binary(max_size=70))
def test_a_uid_that_is_taken_is_one_for_pydicom_too(raw: bytes) -> None:
    uid = values.uid(raw)
    assert uid is None or UID(uid).is_valid


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        (b"1", (1,)),
        (b"-1.5\\+2.\\.5 ", (-1.5, 2, 0.5)),
        (b" 1e3 ", (1000,)),
        (b"0.97699999809265\\0.97699999809265 ", (0.97699999809265, 0.97699999809265)),
        (b"1\0", (1,)),
    ],
)
def test_decimals_are_read(raw: bytes, numbers: tuple[float, ...]) -> None:
    assert values.decimals(raw) == numbers
    assert values.decimals(raw, len(numbers)) == numbers
    assert values.decimals(raw, len(numbers) + 1) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"x",
        b"1,5",
        b"nan",
        b"inf",
        b"1e999",
        b"0x1",
        b"1_0",
        b"1\\",
        b"1 2",
        b"--1",
        b"1e",
        b".",
        b"0.9769999980926501",
        "１".encode(),
        b"1\n",
    ],
)
def test_what_is_no_decimal_is_not_read(raw: bytes) -> None:
    assert values.decimals(raw) is None


@pytest.mark.parametrize(
    "raw", [b"", b"1.0", b"x", b"2147483648", b"-2147483649", b"0000000000001", b"1\\", b"1 1"]
)
def test_what_is_no_integer_string_is_not_read(raw: bytes) -> None:
    assert values.integers(raw) is None


def test_integer_strings_are_read() -> None:
    assert values.integers(b"-2147483648\\+7 ") == (-2147483648, 7)


@pytest.mark.parametrize(
    ("raw", "sets", "text"),
    [
        (b"Smith", (), "Smith"),
        (b"M\xfcller", ("ISO_IR 100",), "Müller"),
        ("Müller".encode(), ("ISO_IR 192",), "Müller"),
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎"),
        (b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", ("", "ISO 2022 IR 149"), "Hong=洪^吉洞"),
        (b"\xff\xfe", ("ISO_IR 192",), "��"),
        (b"\xe9", ("NO SUCH SET",), "é"),
        (b"\x1bXYZ\xe9", ("ISO_IR 192",), "XYZ�"),
    ],
)
def test_text_is_decoded_as_declared_or_replaced(raw: bytes, sets: tuple[str, ...], text: str) -> None:
    assert values.decoded(raw, sets) == text


@given(
    st.binary(max_size=60),
    st.lists(st.sampled_from(["", "ISO_IR 192", "ISO 2022 IR 87", "ISO 2022 IR 58", "x"])),
)
def test_decoding_never_fails_and_never_logs(raw: bytes, sets: list[str]) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        values.decoded(raw, sets)
    finally:
        logging.getLogger().removeHandler(handler)
    assert not records
