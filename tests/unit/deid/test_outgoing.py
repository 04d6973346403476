from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.outgoing import Outgoing, SameForAll
from gateway.deid.profile import load_profile
from gateway.errors import DeidentificationError
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms
from tests import made
from tests.raw import element, inserted

PROFILE = load_profile("contouring-ct")
SAME = SameForAll(PROFILE)


def outgoing(*changed: bytes) -> DeidentifiedSlice:
    slice_ = deidentify(made.instance(), Pseudonyms(ClinicKey(b"k" * 32), b"scope"), PROFILE)
    header = slice_.header
    for one in changed:
        header = inserted(header, one)
    return replace(slice_, header=header)


def test_what_the_profile_makes_has_no_open_text() -> None:
    found = Outgoing.of(outgoing(), SAME)
    assert found.text == b""
    assert set(found.uids.values()) == {0x00080018, 0x0020000D, 0x0020000E, 0x00200052}
    assert set(found.codes.values()) <= {0x00100010, 0x00100020}
    assert found.runs == {}


@pytest.mark.parametrize(
    "changed",
    [
        element(0x00104000, b"LT", b"anything"),
        element(0x00080060, b"CS", b"MR"),
        element(0x00080060, b"LO", b"CT"),
        element(0x00185100, b"CS", b"ODD "),
        element(0x00100010, b"PN", b"Name"),
        element(0x00100010, b"LT", b"P-7K3M9QXD"),
        element(0x0020000D, b"UI", b"1.2.3.4\0"),
        element(0x00180050, b"DS", b"3 mm"),
        element(0x00180050, b"DS", b"1e99999 "),
        element(0x00280010, b"US", b"\1\0\2\0"),
        element(0x00189073, b"FD", b"JohnDoe^"),
        element(0x00120063, b"LO", b"Anonymised"),
        element(0x00091001, b"UN", b"\0\1"),
    ],
)
def test_what_is_not_verifiably_something_else_is_text_with_its_place(changed: bytes) -> None:
    found = Outgoing.of(outgoing(changed), SAME)
    assert found.text == changed.lower()
    assert found.tag_at(len(found.text) - 1) == int.from_bytes(changed[:2], "little") << 16 | int.from_bytes(
        changed[2:4], "little"
    )


def test_a_uid_that_the_header_does_not_have_is_text() -> None:
    found = Outgoing.of(replace(outgoing(), sop_instance_uid="1.2.3"), SAME)
    assert (found.text, found.tag_at(0)) == (b"1.2.3", 0x00080018)


def test_only_numbers_of_many_digits_are_remembered() -> None:
    found = Outgoing.of(outgoing(element(0x00180050, b"DS", b"12345.1234567 ")), SAME)
    assert found.runs == {}
    found = Outgoing.of(outgoing(element(0x00180050, b"DS", b"123456.1234567")), SAME)
    assert set(found.runs) == {b"123456"}
    found = Outgoing.of(outgoing(element(0x00180050, b"DS", b"1.12345678")), SAME)
    assert set(found.runs) == {b"12345678"}


def test_a_header_in_pieces_is_refused() -> None:
    slice_ = outgoing()
    with pytest.raises(DeidentificationError):
        Outgoing.of(replace(slice_, header=slice_.header[1:]), SAME)
