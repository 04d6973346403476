"""A-ASSOCIATE-RQ -> what it asks for; the answer -> A-ASSOCIATE-AC or -RJ (PS3.8 section 9.3, PS3.7 annex D.3.3).

The PDUs are read and written by pynetdicom. Before it gets one, the items are walked here: pynetdicom asserts and
raises in many ways where items are broken, and it logs what it cannot decode. Items of unknown type are left out, as
PS3.8 section 9.3.1 wants it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from struct import error as StructError
from typing import Final

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from gateway.dicom.contexts import Negotiated
from gateway.dicom.pdu_stream import AbortReason, ProtocolViolation

IMPLEMENTATION_CLASS_UID: Final = UID("2.25.196403482117930265841470931836462087717")
IMPLEMENTATION_VERSION_NAME: Final = "CONTOURGATE"
APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
"""PS3.7 annex A.2.1."""

_ITEM_HEADER = Struct(">BxH")
_FIXED_BYTES = 74
"""Everything before the items, PS3.8 table 9-11."""
_UID = re.compile(rb"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
_NO_UID = b"2.25.0"
_AE_TITLE = re.compile(rb" *([\x21-\x5B\x5D-\x7E](?:[\x20-\x5B\x5D-\x7E]*[\x21-\x5B\x5D-\x7E])?) *")
_PLACEHOLDER = b"X".ljust(16)

_APPLICATION_CONTEXT, _PRESENTATION_CONTEXT, _USER_INFORMATION = 0x10, 0x20, 0x50
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_MAXIMUM_LENGTH, _ASYNC_OPERATIONS, _ROLE = 0x51, 0x53, 0x54
_MOST_CONTEXTS = 128
"""Odd ids between 1 and 255, PS3.8 section 9.3.2.2."""
_SMALLEST_PEER_PDU_BYTES = 64
_WHAT_PYNETDICOM_RAISES = (
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    StructError,
    TypeError,
    ValueError,
)
"""A second net: the tests find no bytes that come through the walk and are caught here."""


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
        pdu = A_ASSOCIATE_RJ()
        pdu.result, pdu.source, pdu.reason_diagnostic = self.value
        return bytes(pdu.encode())


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ."""

    called_ae_title: str | None
    """None where it is no AE title, so that nothing else can come into a log."""
    calling_ae_title: str | None
    protocol_version: int
    application_context_name: str
    contexts: tuple[PresentationContext, ...]
    contexts_are_valid: bool
    """Whether each has an odd id of its own, one abstract syntax and at least one transfer syntax."""
    roles: dict[UID, tuple[bool, bool]]
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
        if self.application_context_name != APPLICATION_CONTEXT_NAME:
            return Rejection.APPLICATION_CONTEXT
        if not self.contexts_are_valid or 0 < self.maximum_length < _SMALLEST_PEER_PDU_BYTES:
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
    items, contexts = b"", []
    for item_type, value in _items(pdu[_FIXED_BYTES:]):
        if item_type == _PRESENTATION_CONTEXT:
            contexts.append(value)
        elif item_type == _APPLICATION_CONTEXT:
            items += _item(item_type, _uid(value))
        elif item_type == _USER_INFORMATION:
            items += _item(item_type, b"".join(_known_user_information(value)))
    contexts_are_valid = _are_contexts(contexts)
    if contexts_are_valid:
        items += b"".join(map(_context, contexts))
    decoded = A_ASSOCIATE_RQ()
    try:
        # AE titles are judged here: pynetdicom would log a bad one.
        decoded.decode(pdu[:10] + 2 * _PLACEHOLDER + pdu[42:_FIXED_BYTES] + items)
        primitive = decoded.to_primitive()
    except _WHAT_PYNETDICOM_RAISES:
        raise _broken() from None
    return AssociateRequest(
        called_ae_title=_ae_title(pdu[10:26]),
        calling_ae_title=_ae_title(pdu[26:42]),
        protocol_version=decoded.protocol_version,
        application_context_name=str(decoded.application_context_name or ""),
        contexts=tuple(primitive.presentation_context_definition_list),
        contexts_are_valid=contexts_are_valid,
        roles={
            role.sop_class_uid: (bool(role.scu_role), bool(role.scp_role))
            for role in primitive.user_information
            if isinstance(role, SCP_SCU_RoleSelectionNegotiation) and role.sop_class_uid is not None
        },
        maximum_length=primitive.maximum_length_received or 0,
        proposes_async_operations=any(
            isinstance(item, AsynchronousOperationsWindowNegotiation) for item in primitive.user_information
        ),
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
    length = MaximumLengthNotification()
    length.maximum_length_received = pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer = A_ASSOCIATE()
    answer.application_context_name = APPLICATION_CONTEXT_NAME
    answer.presentation_context_definition_results_list = list(negotiated.results)
    answer.user_information = [length, implementation, version]
    if request.proposes_async_operations:
        window = AsynchronousOperationsWindowNegotiation()  # 1 and 1: one operation at a time
        answer.user_information.append(window)
    answer.user_information.extend(negotiated.roles)
    pdu = A_ASSOCIATE_AC(answer).encode()
    return bytes(pdu[:10] + request.reserved + pdu[_FIXED_BYTES:])


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


def _are_contexts(values: list[bytes]) -> bool:
    """Whether these are presentation context items with an odd id each, and no id twice (PS3.8 table 9-13)."""
    ids = {value[0] for value in values if value}
    are_distinct = 0 < len(values) == len(ids) <= _MOST_CONTEXTS
    return are_distinct and all(id_ % 2 for id_ in ids) and all(map(_is_context, values))


def _is_context(value: bytes) -> bool:
    kinds = [kind for kind, _ in _items(value[4:])]
    return (
        kinds.count(_ABSTRACT_SYNTAX) == 1
        and kinds.count(_TRANSFER_SYNTAX) >= 1
        and set(kinds) == {_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX}
    )


def _context(value: bytes) -> bytes:
    """A presentation context item in which every UID is one."""
    items = b"".join(_item(kind, _uid(uid)) for kind, uid in _items(value[4:]))
    return _item(_PRESENTATION_CONTEXT, value[:4] + items)


def _known_user_information(value: bytes) -> Iterator[bytes]:
    """The sub-items that get an answer, PS3.7 annex D.3.3; what nothing here needs, nothing here reads."""
    for item_type, content in _items(value):
        if item_type in (_MAXIMUM_LENGTH, _ASYNC_OPERATIONS):
            if len(content) != 4:
                raise _broken()
            yield _item(item_type, content)
        elif item_type == _ROLE:
            uid_length = int.from_bytes(content[:2], "big")
            if len(content) != uid_length + 4 or not set(content[-2:]) <= {0, 1}:
                raise _broken()
            uid = _uid(content[2:-2])
            yield _item(item_type, len(uid).to_bytes(2, "big") + uid + content[-2:])


def _uid(value: bytes) -> bytes:
    """A well-formed UID (PS3.5 section 9.1), or one that stands for nothing, so that it is answered as unknown."""
    value = value.rstrip(b"\0")
    return value if len(value) <= 64 and _UID.fullmatch(value) else _NO_UID


def _ae_title(field: bytes) -> str | None:
    match = _AE_TITLE.fullmatch(field)
    return match[1].decode("ascii") if match else None
