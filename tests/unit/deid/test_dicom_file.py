from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deid.dicom_file import parse_file, read_file
from gateway.errors import IntakeError
from tests import made
from tests.raw import element

START = bytes(128) + b"DICM"
SYNTAX = element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")
GOOD = START + SYNTAX + made.encoded(made.image())


def refusal(content: bytes) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        parse_file(content)
    return caught.value


def test_a_file_is_taken_apart() -> None:
    file = parse_file(GOOD)
    assert file.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert bytes(file.dataset) == made.encoded(made.image())


def test_the_preamble_and_the_rest_of_the_meta_information_are_left_behind() -> None:
    private = element(0x00020100, b"UI", b"1.2.3\0") + element(0x00020102, b"OB", b"Zquex ")
    content = b"MZ" + b"Zquex" * 25 + b"\0" + b"DICM" + SYNTAX + private + made.encoded(made.image())
    assert b"Zquex" not in bytes(parse_file(content).dataset)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GOOD[132:],
        GOOD[:127],
        bytes(127) + b"DICM" + SYNTAX,
        bytes(129) + b"DICM" + SYNTAX,
        START,
        START + made.encoded(made.image()),
        START + SYNTAX[:-4],
        START + SYNTAX + SYNTAX,
        START + element(0x00020012, b"UI", b"1.2\0") + SYNTAX,
        START + element(0x00020010, b"ZZ", b"1.2.840.10008.1.2.1\0"),
        START + element(0x00020010, b"UI", b"1.2\0", length=60_000),
        START + element(0x00020001, b"OB", b"\0\1", length=2**30) + SYNTAX,
        START + b"".join(element(0x00020000 + n, b"SH", b"ab") for n in range(0x20, 200)),
    ],
    ids=range(14),
)
def test_what_is_no_dicom_file_is_refused(content: bytes) -> None:
    assert refusal(content).code == "FILE_UNREADABLE"


@pytest.mark.parametrize("uid", [b"", b"../../etc/x\0", b"1." + b"2" * 64, b"1.02", b"1.2\xff\0"])
def test_a_transfer_syntax_that_is_no_uid_is_refused(uid: bytes) -> None:
    assert refusal(START + element(0x00020010, b"UI", uid)).code == "UID_INVALID"


@pytest.mark.parametrize("length", [0, 1, 9_999_999, 0xFFFFFFFF])
def test_the_group_length_is_not_believed(length: int) -> None:
    group_length = element(0x00020000, b"UL", length.to_bytes(4, "little"))
    assert parse_file(START + group_length + GOOD[132:]) == parse_file(GOOD)


@given(st.binary(max_size=200))
def test_no_meta_information_makes_it_stumble(content: bytes) -> None:
    try:
        parse_file(START + b"\2\0" + content)
    except IntakeError as error:
        assert error.code in ("FILE_UNREADABLE", "UID_INVALID")  # noqa: PT017  # either way is sound


def test_a_path_that_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(IntakeError) as caught:
            read_file(path, 1000)
        assert caught.value.code == "FILE_UNREADABLE"


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(GOOD)
    assert read_file(tmp_path / "large", len(GOOD)).dataset
    with pytest.raises(IntakeError) as caught:
        read_file(tmp_path / "large", len(GOOD) - 1)
    assert caught.value.code == "DATASET_TOO_LARGE"
