"""Commands are read and answers written as pynetdicom reads and writes them."""

from __future__ import annotations

import contextlib
import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_ECHO_RSP, C_STORE_RSP
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import decode, encode

from gateway.dicom.dimse import (
    Command,
    CommandField,
    CommandUnreadable,
    decode_command,
    encode_response,
    fragment_command,
)
from tests import wire

UIDS = st.integers(1, 10**30).map(lambda number: f"1.2.826.{number}")


@given(message_id=st.integers(0, 65535), uid=UIDS)
def test_a_store_request_is_read_as_pynetdicom_wrote_it(message_id: int, uid: str) -> None:
    command = decode_command(wire.store_rq(message_id, sop_instance=uid))
    assert command == Command(CommandField.C_STORE_RQ, message_id, wire.CT, uid, has_dataset=True)


def test_an_echo_request_is_read_as_pynetdicom_wrote_it() -> None:
    assert decode_command(wire.echo_rq(5)) == Command(0x0030, 5, wire.VERIFICATION, "", has_dataset=False)


def test_requests_that_are_not_taken_are_still_understood() -> None:
    assert decode_command(wire.find_rq(6)).field == 0x0020
    assert decode_command(wire.cancel_rq(6)).message_id == 6


@given(
    message_id=st.integers(0, 65535), uid=UIDS, status=st.sampled_from([0, 0xA700, 0xA900, 0xC000, 0x0110])
)
def test_a_store_response_is_what_pynetdicom_writes(message_id: int, uid: str, status: int) -> None:
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo, primitive.Status = message_id, status
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = wire.CT, uid
    message = C_STORE_RSP()
    message.primitive_to_message(primitive)
    ours = encode_response(Command(1, message_id, wire.CT, uid, has_dataset=True), status)
    assert ours == encode(message.command_set, True, True)


def test_an_echo_response_is_what_pynetdicom_writes() -> None:
    primitive = C_ECHO()
    primitive.MessageIDBeingRespondedTo, primitive.Status, primitive.AffectedSOPClassUID = (
        5,
        0,
        wire.VERIFICATION,
    )
    message = C_ECHO_RSP()
    message.primitive_to_message(primitive)
    assert encode_response(decode_command(wire.echo_rq(5)), 0) == encode(message.command_set, True, True)


def test_an_error_comment_is_read_back_by_pydicom() -> None:
    encoded = encode_response(decode_command(wire.store_rq(2)), 0xC000, "DATASET_UNPARSABLE")
    read = decode(BytesIO(encoded), True, True)
    assert (read.Status, read.ErrorComment) == (0xC000, "DATASET_UNPARSABLE")
    assert read.CommandGroupLength == len(encoded) - 12


@given(encoded=st.binary(max_size=200))
def test_bytes_that_are_no_command_are_unreadable_and_nothing_else(encoded: bytes) -> None:
    with contextlib.suppress(CommandUnreadable):
        decode_command(encoded)


@given(position=st.integers(0, 200), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_command_or_is_unreadable(position: int, value: int) -> None:
    encoded = bytearray(wire.store_rq())
    encoded[position % len(encoded)] = value
    with contextlib.suppress(CommandUnreadable):
        decode_command(encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        wire.store_rq()[:-1],
        wire.store_rq() + struct.pack("<HHI", 0x0008, 0x0018, 0),
        struct.pack("<HHII", 0, 0x0100, 4, 1),
        wire.store_rq().replace(struct.pack("<HHI", 0, 0x0110, 2), struct.pack("<HHI", 0, 0x0111, 2)),
    ],
    ids=["empty", "cut", "group 0008", "command field of 4 bytes", "no message id"],
)
def test_broken_commands_are_unreadable(encoded: bytes) -> None:
    with pytest.raises(CommandUnreadable):
        decode_command(encoded)


@pytest.mark.parametrize(
    "uid", ["../../etc/x", "1.02", "1..2", ".1", "1.", "1.a", "1" * 65, "1.2\r\n3", "٣.2"]
)
def test_what_is_no_uid_is_read_as_none(uid: str) -> None:
    value = uid.encode()
    value += b"\0" * (len(value) % 2)
    encoded = wire.store_rq(sop_instance="1.2")
    place = struct.pack("<HHI", 0, 0x1000, 4) + b"1.2\0"
    assert place in encoded
    encoded = encoded.replace(place, struct.pack("<HHI", 0, 0x1000, len(value)) + value)
    assert decode_command(encoded).sop_instance_uid == ""


@given(size=st.integers(1, 500), peer=st.one_of(st.just(0), st.integers(7, 600)))
def test_fragments_fit_the_peer_and_are_whole_together(size: int, peer: int) -> None:
    encoded = bytes(index % 256 for index in range(size))
    pdus = list(wire.split(fragment_command(encoded, 3, peer)))
    assert b"".join(pdu[12:] for pdu in pdus) == encoded
    assert all(len(pdu) - 6 <= peer for pdu in pdus) or not peer
    assert all(int.from_bytes(pdu[6:10], "big") == len(pdu) - 10 and pdu[10] == 3 for pdu in pdus)
    assert [pdu[11] for pdu in pdus] == [1] * (len(pdus) - 1) + [3]
