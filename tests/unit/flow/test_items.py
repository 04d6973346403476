"""Taking a structure set apart: bounded, and refused wherever the encoding is broken."""

import contextlib
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import StructureSetUnsound
from gateway.flow.items import Item, read_items
from gateway.flow.structure_set import Contour
from gateway.flow.structure_set_iod import UidRole
from tests.toy import Toy, part10

HONEST = {implicit: part10(Toy(3).structure_set(["Liver"]), implicit=implicit) for implicit in (False, True)}
DATASET = HONEST[False].index(b"\x08\x00\x05\x00")


def unresolved(tag: int, role: UidRole, octets: bytes) -> None:
    """Takes every UID."""


def unread(item: Item) -> Contour:
    return Contour(0, 0, memoryview(b""))


def explicit(dataset: bytes) -> bytes:
    return HONEST[False][:DATASET] + dataset


def refused(stream: bytes) -> str:
    with pytest.raises(StructureSetUnsound) as unsound:
        read_items(stream, unresolved, unread)
    return unsound.value.code


def sequence(tag: int, *items: bytes) -> bytes:
    value = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(value)) + value


@pytest.mark.parametrize("implicit", [False, True])
def test_every_uid_is_shown_with_its_role_unless_the_same_bytes_were_shown_before(implicit: bool) -> None:
    roles: list[UidRole] = []
    read_items(HONEST[implicit], lambda tag, role, octets: roles.append(role), unread)
    assert roles.count(UidRole.INSTANCE) == 3 + 3
    assert {role for role in UidRole if role not in roles} == {UidRole.CODING}


@given(st.integers(DATASET, len(HONEST[False]) - 1), st.integers(1, 255), st.booleans())
@settings(max_examples=400)
def test_a_changed_byte_is_refused_or_changes_a_value(at: int, flip: int, implicit: bool) -> None:
    stream = bytearray(HONEST[implicit])
    stream[min(at, len(stream) - 1)] ^= flip
    with contextlib.suppress(StructureSetUnsound):
        read_items(bytes(stream), unresolved, unread)


@given(st.integers(0, len(HONEST[True]) - 1), st.booleans())
def test_a_cut_stream_is_refused(length: int, implicit: bool) -> None:
    stream = HONEST[implicit][:length]
    with contextlib.suppress(StructureSetUnsound):
        item = read_items(stream, unresolved, unread)
        assert 0x300E0002 not in item.values  # cut between two elements: what is missing is missed later


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_read(octets: bytes) -> None:
    for stream in (octets, explicit(octets)):
        with contextlib.suppress(StructureSetUnsound):
            read_items(stream, unresolved, unread)


def test_depth_is_bounded_by_the_table() -> None:
    opened = b"\x06\x30\x39\x00SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    assert refused(explicit(opened * 50_000)) == "RESULT_UNPARSABLE"
    assert refused(explicit(opened + sequence(0x30060039))) == "RESULT_NOT_CONTOURS"


def test_a_million_empty_items_are_refused_in_bounded_time() -> None:
    started = time.process_time()
    stream = explicit(sequence(0x30060039, *[b""] * 1_000_000))
    assert refused(stream) == "RESULT_UNPARSABLE"
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("dataset", "code"),
    [
        (b"\x08\x00\x05\x00CS\x04\x00A   \x08\x00\x05\x00CS\x04\x00A   ", "RESULT_UNPARSABLE"),  # twice
        (b"\x08\x00\x60\x00CS\x02\x00A \x08\x00\x05\x00CS\x02\x00A ", "RESULT_UNPARSABLE"),  # out of order
        (b"\x08\x00\x05\x00CS\xfe\xffA ", "RESULT_UNPARSABLE"),  # longer than the stream
        (b"\x08\x00\x05\x00CS\x03\x00ABC", "RESULT_UNPARSABLE"),  # odd
        (b"\x08\x00\x05\x00LO\x02\x00A ", "RESULT_UNPARSABLE"),  # another VR
        (b"\x08\x00\x05\x00UN\x00\x00\xff\xff\xff\xff", "RESULT_UNPARSABLE"),  # undefined length
        (b"\x06\x30\x39\x00UN\x00\x00\x00\x00\x00\x00", "RESULT_UNPARSABLE"),  # a sequence in disguise
        (b"\x06\x30\x39\x00SQ\x00\x00\xff\xff\xff\xff", "RESULT_UNPARSABLE"),  # without its delimiter
        (sequence(0x30060039, b"\x06\x30\x39\x00SQ\0\0\0\0\0\0"), "RESULT_NOT_CONTOURS"),  # not at this level
        (b"\x09\x00\x10\x00LO\x02\x00A ", "RESULT_NOT_CONTOURS"),  # private
        (b"\x10\x00\x13\x00LO\x02\x00A ", "RESULT_NOT_CONTOURS"),  # unknown
        (b"\x02\x00\x10\x00UI\x02\x001.", "RESULT_UNPARSABLE"),  # file meta information once more
    ],
)
def test_what_is_broken_or_does_not_belong_is_refused(dataset: bytes, code: str) -> None:
    assert refused(explicit(dataset)) == code


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70", ""]
)
def test_other_transfer_syntaxes_are_refused(syntax: str) -> None:
    stream = HONEST[False]
    old = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    assert old in stream
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    new = b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value
    assert refused(stream.replace(old, new)) == "RESULT_UNPARSABLE"
