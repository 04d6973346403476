"""A-ASSOCIATE-RQ -> what it asks for; the answer -> A-ASSOCIATE-AC or -RJ (PS3.8 section 9.3, PS3.7 annex D.3.3).

The items are walked and written as bytes: for pynetdicom's codecs, which the tests put beside it, each UID is an object
that is checked and logged (see `contexts.SupportedContexts`), and broken items are exceptions of many kinds. Items of
unknown type are left out, as PS3.8 section 9.3.1 wants it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Final

from pydicom.uid import UID

from gateway.dicom.contexts import Negotiated, Proposed, Role
from gateway.dicom.pdu_stream import AbortReason, PduType, ProtocolViolation

IMPLEMENTATION_CLASS_UID: Final = UID("2.25.196403482117930265841470931836462087717")
IMPLEMENTATION_VERSION_NAME: Final = "CONTOURGATE"
APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
"""PS3.7 annex A.2.1."""

_PDU_HEADER = Struct(">BxI")
_RJ = Struct(">BxIxBBB")
_ITEM_HEADER = Struct(">BxH")
_VERSION = Struct(">HH")
_UL = Struct(">I")
_FIXED_BYTES = 74
"""Everything before the items, PS3.8 table 9-11."""
_AE_TITLE = re.compile(rb" *([\x21-\x5B\x5D-\x7E](?:[\x20-\x5B\x5D-\x7E]*[\x21-\x5B\x5D-\x7E])?) *")

_APPLICATION_CONTEXT, _PRESENTATION_CONTEXT, _CONTEXT_RESULT, _USER_INFORMATION = 0x10, 0x20, 0x21, 0x50
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_MAXIMUM_LENGTH, _IMPLEMENTATION_CLASS, _ASYNC_OPERATIONS, _ROLE, _VERSION_NAME = 0x51, 0x52, 0x53, 0x54, 0x55
_MOST_CONTEXTS = 128
"""Odd ids between 1 and 255, PS3.8 section 9.3.2.2."""
_ONE_AT_A_TIME = b"\0\1\0\1"
"""The asynchronous operations window without asynchronous operations, PS3.7 annex D.3.3.3."""
_SMALLEST_PEER_PDU_BYTES = 64


class Rejection(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    NOT_UNDERSTOOD = (1, 2, 1)
    """Permanent; UL service provider (ACSE): no reason given."""
    PROTOCOL_VERSION = (1, 2, 2)
    APPLICATION_CONTEXT = (1, 1, 2)
    CALLING_AE_TITLE = (1, 1, 3)
    CALLED_AE_TITLE = (1, 1, 7)
    CONGESTION = (2, 3, 1)
    """Transient; UL service provider (presentation): temporary congestion. We are being stopped."""
    LOCAL_LIMIT = (2, 3, 2)
    """Transient; UL service provider (presentation): local limit exceeded."""

    def encode(self) -> bytes:
        """Return the PDU."""
        return _RJ.pack(PduType.ASSOCIATE_RJ, 4, *self.value)


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ."""

    called_ae_title: str | None
    """None where it is no AE title, so that nothing else can come into a log."""
    calling_ae_title: str | None
    protocol_version: int
    application_context_name: bytes
    contexts: Sequence[Proposed]
    """None of them where one is not as it must be."""
    roles: Mapping[bytes, Role]
    """By SOP class UID."""
    maximum_length: int
    """The longest PDU that the requestor takes, 0 for any (PS3.8 annex D.1)."""
    proposes_async_operations: bool
    reserved: bytes
    """Bytes 11 to 74 of the PDU, to be sent back (PS3.8 table 9-17)."""

    @property
    def rejection(self) -> Rejection | None:
        """Why the service provider cannot accept it, whoever asks."""
        if not self.protocol_version & 1:
            return Rejection.PROTOCOL_VERSION
        if self.application_context_name != APPLICATION_CONTEXT_NAME.encode():
            return Rejection.APPLICATION_CONTEXT
        if not self.contexts or 0 < self.maximum_length < _SMALLEST_PEER_PDU_BYTES:
            return Rejection.NOT_UNDERSTOOD
        return None


def decode_associate_rq(pdu: bytes) -> AssociateRequest:
    """Read an A-ASSOCIATE-RQ.

    Parameters
    ----------
    pdu : bytes
        The whole PDU.

    Raises
    ------
    ProtocolViolation
        If its items do not fit into each other or into the PDU.
    """
    if len(pdu) < _FIXED_BYTES:
        raise _broken()
    application_context_name, maximum_length, proposes_async_operations = b"", 0, False
    contexts: list[Proposed | None] = []
    roles = {}
    for item_type, value in _items(pdu[_FIXED_BYTES:]):
        if item_type == _APPLICATION_CONTEXT:
            application_context_name = value.rstrip(b"\0")
        elif item_type == _PRESENTATION_CONTEXT:
            contexts.append(_context(value))
        elif item_type == _USER_INFORMATION:
            for sub_item_type, content in _items(value):
                if sub_item_type == _MAXIMUM_LENGTH:
                    maximum_length = _maximum_length(content)
                elif sub_item_type == _ASYNC_OPERATIONS:
                    proposes_async_operations = True
                elif sub_item_type == _ROLE:
                    uid, role = _role(content)
                    roles[uid] = role
    return AssociateRequest(
        called_ae_title=_ae_title(pdu[10:26]),
        calling_ae_title=_ae_title(pdu[26:42]),
        protocol_version=_VERSION.unpack_from(pdu, 6)[0],
        application_context_name=application_context_name,
        contexts=_all_or_none(contexts),
        roles=roles,
        maximum_length=maximum_length,
        proposes_async_operations=proposes_async_operations,
        reserved=pdu[10:_FIXED_BYTES],
    )


def encode_associate_ac(request: AssociateRequest, negotiated: Negotiated, pdu_bytes: int) -> bytes:
    """Return the A-ASSOCIATE-AC.

    What is not answered is thereby declined (PS3.7 annex D.3.3): SOP class extended negotiation, user identity.

    Parameters
    ----------
    request : AssociateRequest
    negotiated : Negotiated
    pdu_bytes : int
        The longest PDU that we take.
    """
    user = [
        _item(_MAXIMUM_LENGTH, _UL.pack(pdu_bytes)),
        _item(_IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode()),
    ]
    if request.proposes_async_operations:
        user.append(_item(_ASYNC_OPERATIONS, _ONE_AT_A_TIME))
    for uid, role in negotiated.roles.items():
        user.append(_item(_ROLE, len(uid).to_bytes(2, "big") + uid + bytes(role)))
    user.append(_item(_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode()))
    items = [_item(_APPLICATION_CONTEXT, APPLICATION_CONTEXT_NAME.encode())]
    for context_id, result, transfer_syntax in negotiated.answers:
        answer = bytes((context_id, 0, result, 0)) + _item(_TRANSFER_SYNTAX, transfer_syntax.encode())
        items.append(_item(_CONTEXT_RESULT, answer))
    items.append(_item(_USER_INFORMATION, b"".join(user)))
    body = _VERSION.pack(1, 0) + request.reserved + b"".join(items)
    return _PDU_HEADER.pack(PduType.ASSOCIATE_AC, len(body)) + body


def _broken() -> ProtocolViolation:
    return ProtocolViolation("ASSOCIATE_RQ_BROKEN", AbortReason.INVALID_PARAMETER)


def _items(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(encoded):
        if position + _ITEM_HEADER.size > len(encoded):
            raise _broken()
        item_type, length = _ITEM_HEADER.unpack_from(encoded, position)
        position += _ITEM_HEADER.size + length
        if position > len(encoded):
            raise _broken()
        yield item_type, encoded[position - length : position]


def _item(item_type: int, value: bytes) -> bytes:
    return _ITEM_HEADER.pack(item_type, len(value)) + value


def _context(value: bytes) -> Proposed | None:
    """Read a presentation context item, PS3.8 table 9-13; None where something in it is missing or too much."""
    abstract_syntaxes, transfer_syntaxes = [], []
    for kind, uid in _items(value[4:]):
        if kind == _ABSTRACT_SYNTAX:
            abstract_syntaxes.append(uid.rstrip(b"\0"))
        elif kind == _TRANSFER_SYNTAX:
            transfer_syntaxes.append(uid.rstrip(b"\0"))
        else:
            return None
    if len(abstract_syntaxes) != 1 or not transfer_syntaxes:
        return None
    return Proposed(value[0], abstract_syntaxes[0], transfer_syntaxes)


def _all_or_none(contexts: Sequence[Proposed | None]) -> Sequence[Proposed]:
    """Return the contexts if each is whole and has an odd id of its own."""
    whole = [context for context in contexts if context is not None]
    ids = {context.context_id for context in whole}
    are_valid = len(contexts) == len(whole) == len(ids) <= _MOST_CONTEXTS and all(id_ % 2 for id_ in ids)
    return whole if are_valid else ()


def _maximum_length(content: bytes) -> int:
    if len(content) != _UL.size:
        raise _broken()
    return int(_UL.unpack(content)[0])


def _role(content: bytes) -> tuple[bytes, Role]:
    """Read an SCP/SCU role selection sub-item, PS3.7 table D.3-9."""
    uid, roles = content[2:-2], content[-2:]
    if len(content) != int.from_bytes(content[:2], "big") + 4 or not set(roles) <= {0, 1}:
        raise _broken()
    return uid.rstrip(b"\0"), Role(bool(roles[0]), bool(roles[1]))


def _ae_title(field: bytes) -> str | None:
    match = _AE_TITLE.fullmatch(field)
    return match[1].decode("ascii") if match else None
