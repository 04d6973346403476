"""Command sets of DIMSE messages (PS3.7 section 6.3 and annex E): bytes <-> values.

A storage SCP reads one kind of command a thousand times and writes one kind of answer, so both are done on the bytes: a
command set is a dozen elements of implicit VR little endian. The tests put pynetdicom's message types beside every
command and answer made here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final

_ELEMENT = Struct("<HHI")
_US = Struct("<H")
_US_ELEMENT = Struct("<HHIH")
_UL_ELEMENT = Struct("<HHII")

_AFFECTED_SOP_CLASS_UID = 0x0002
_REQUESTED_SOP_CLASS_UID = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000

_NO_DATA_SET = 0x0101
_RESPONSE = 0x8000
_UID = re.compile(rb"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")


class CommandField(IntEnum):
    """The commands that are looked at, PS3.7 table E.1-1."""

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    C_CANCEL_RQ = 0x0FFF


class Status(IntEnum):
    """Answers that are given before an instance is looked at, PS3.7 annex C and PS3.4 table B.2-1."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    INVALID_SOP_INSTANCE = 0x0117
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    UNRECOGNIZED_OPERATION = 0x0211
    OUT_OF_RESOURCES = 0xA700
    DATASET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000


class CommandUnreadable(ValueError):
    """The bytes are no command set."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a request says."""

    field: int
    """CommandField (0000,0100)."""
    message_id: int
    sop_class_uid: str
    """Affected or requested SOP class UID; empty where it is absent or no UID."""
    sop_instance_uid: str
    """Affected SOP instance UID; empty where it is absent or no UID."""
    has_dataset: bool

    @property
    def is_request(self) -> bool:
        """Whether it asks for something."""
        return not self.field & _RESPONSE


def decode_command(encoded: bytes | bytearray) -> Command:
    """Read a command set.

    Parameters
    ----------
    encoded : bytes
        All fragments of the command set, put together.

    Raises
    ------
    CommandUnreadable
        If an element exceeds the bytes or is not of group 0000, or a value that every request has is absent.
    """
    values: dict[int, bytes | bytearray] = {}
    position, stop = 0, len(encoded)
    try:
        while position < stop:
            group, element, length = _ELEMENT.unpack_from(encoded, position)
            position += 8 + length
            if group or position > stop:
                raise CommandUnreadable
            values[element] = encoded[position - length : position]
        field = _US.unpack(values[_COMMAND_FIELD])[0]
        message_id = (
            _MESSAGE_ID_RESPONDED_TO
            if field == CommandField.C_CANCEL_RQ or field & _RESPONSE
            else _MESSAGE_ID
        )
        return Command(
            field,
            _US.unpack(values[message_id])[0],
            _uid(values.get(_AFFECTED_SOP_CLASS_UID) or values.get(_REQUESTED_SOP_CLASS_UID, b"")),
            _uid(values.get(_AFFECTED_SOP_INSTANCE_UID, b"")),
            _US.unpack(values[_COMMAND_DATA_SET_TYPE])[0] != _NO_DATA_SET,
        )
    except (StructError, KeyError):
        raise CommandUnreadable from None


def _uid(value: bytes | bytearray) -> str:
    """Return a UID of PS3.5 section 9.1, or an empty text."""
    value = value.rstrip(b"\0 ")
    return value.decode("ascii") if len(value) <= 64 and _UID.fullmatch(value) else ""


def encode_response(command: Command, status: int, error_comment: str = "") -> bytes:
    """Return the command set that answers a request.

    Parameters
    ----------
    command : Command
    status : int
        (0000,0900).
    error_comment : str
        (0000,0902), at most 64 ASCII characters: a code of ours, never a value from a dataset.
    """
    parts = []
    if command.sop_class_uid:
        parts.append(_text(_AFFECTED_SOP_CLASS_UID, command.sop_class_uid, b"\0"))
    parts.append(_US_ELEMENT.pack(0, _COMMAND_FIELD, 2, command.field | _RESPONSE))
    parts.append(_US_ELEMENT.pack(0, _MESSAGE_ID_RESPONDED_TO, 2, command.message_id))
    parts.append(_US_ELEMENT.pack(0, _COMMAND_DATA_SET_TYPE, 2, _NO_DATA_SET))
    parts.append(_US_ELEMENT.pack(0, _STATUS, 2, status))
    if error_comment:
        parts.append(_text(_ERROR_COMMENT, error_comment[:64], b" "))
    if command.sop_instance_uid:
        parts.append(_text(_AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid, b"\0"))
    body = b"".join(parts)
    return _UL_ELEMENT.pack(0, 0, 4, len(body)) + body


def _text(element: int, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += padding
    return _ELEMENT.pack(0, element, len(value)) + value


_P_DATA_TF: Final = Struct(">BxIIBB")
_LAST_COMMAND_FRAGMENT, _COMMAND_FRAGMENT = 0x03, 0x01


def fragment_command(encoded: bytes, context_id: int, peer_pdu_bytes: int) -> bytes:
    """Return a command set as P-DATA-TF PDUs (PS3.8 annex E), one fragment each.

    Parameters
    ----------
    encoded : bytes
    context_id : int
    peer_pdu_bytes : int
        The longest PDU that the peer takes, 0 where it sets no limit; else at least 7.
    """
    largest = peer_pdu_bytes - 6 if peer_pdu_bytes else len(encoded)
    pdus = []
    for start in range(0, len(encoded), largest):
        part = encoded[start : start + largest]
        control = _LAST_COMMAND_FRAGMENT if start + largest >= len(encoded) else _COMMAND_FRAGMENT
        pdus.append(_P_DATA_TF.pack(0x04, len(part) + 6, len(part) + 2, context_id, control) + part)
    return b"".join(pdus)
