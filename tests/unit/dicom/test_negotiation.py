"""A-ASSOCIATE-RQs of every make are understood or refused; the answers are what pynetdicom reads."""

from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.negotiation import (
    IMPLEMENTATION_CLASS_UID,
    Rejection,
    decode_associate_rq,
    encode_associate_ac,
)
from gateway.dicom.pdu_stream import ProtocolViolation
from tests import wire

ITEMS = wire.APPLICATION_CONTEXT + wire.context_item(1) + wire.USER_INFORMATION


def extras() -> list[object]:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 5, 7
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = wire.CT, True, True
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = (
        wire.CT,
        b"\x02\x00\x00\x00\x00\x00",
    )
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = wire.CT, "1.2.840.10008.4.2"
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = 2, b"somebody"
    identity.secondary_field, identity.positive_response_requested = b"secret", True
    return [window, role, extended, common, identity]


def test_what_pynetdicom_asks_is_understood() -> None:
    request = decode_associate_rq(wire.associate_rq(maximum_length=32768, more=extras()))
    assert (request.called_ae_title, request.calling_ae_title) == ("GATEWAY", "STORESCU")
    assert request.maximum_length == 32768
    assert [(cx.context_id, cx.abstract_syntax) for cx in request.contexts] == [
        (1, wire.CT.encode()),
        (3, wire.VERIFICATION.encode()),
    ]
    assert request.contexts[0].transfer_syntaxes == [wire.EXPLICIT_LE.encode()]
    assert request.roles == {wire.CT.encode(): (True, True)}
    assert request.proposes_async_operations
    assert request.rejection is None


def test_the_answer_is_what_pynetdicom_reads() -> None:
    request = decode_associate_rq(wire.associate_rq(more=extras()))
    negotiated = SupportedContexts(accept_lossy=False).negotiate(request.contexts, request.roles)
    pdu = encode_associate_ac(request, negotiated, 131072)
    answer = wire.read_ac(pdu)
    assert answer.maximum_length_received == 131072
    assert answer.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert [cx.result for cx in answer.presentation_context_definition_results_list] == [0, 0]
    items = {type(item): item for item in answer.user_information}
    window = items[AsynchronousOperationsWindowNegotiation]
    assert (window.maximum_number_operations_invoked, window.maximum_number_operations_performed) == (1, 1)
    role = items[SCP_SCU_RoleSelectionNegotiation]
    assert (role.scu_role, role.scp_role) == (True, False)
    assert UserIdentityNegotiation not in items
    assert SOPClassExtendedNegotiation not in items
    assert pdu[10:74] == wire.associate_rq()[10:74]


def test_nothing_is_answered_that_was_not_asked() -> None:
    request = decode_associate_rq(wire.associate_rq())
    negotiated = SupportedContexts(accept_lossy=False).negotiate(request.contexts, request.roles)
    answer = wire.read_ac(encode_associate_ac(request, negotiated, 131072))
    assert len(answer.user_information) == 3


@pytest.mark.parametrize("rejection", Rejection)
def test_a_rejection_is_what_pynetdicom_reads(rejection: Rejection) -> None:
    pdu = A_ASSOCIATE_RJ()
    pdu.decode(rejection.encode())
    assert (pdu.result, pdu.source, pdu.reason_diagnostic) == rejection.value
    assert pdu.reason_str != "(unknown)"


def test_128_contexts_are_allowed() -> None:
    items = (
        wire.APPLICATION_CONTEXT
        + b"".join(wire.context_item(id_) for id_ in range(1, 256, 2))
        + wire.USER_INFORMATION
    )
    request = decode_associate_rq(wire.raw_associate_rq(items))
    assert len(request.contexts) == 128
    assert request.rejection is None


@pytest.mark.parametrize(
    "ids", [[2], [0], [1, 1], [1, 3, 3], [*range(1, 256, 2), 1], [*range(1, 256)], []], ids=str
)
def test_even_repeated_too_many_and_no_context_ids_are_rejected(ids: list[int]) -> None:
    items = wire.APPLICATION_CONTEXT + b"".join(wire.context_item(id_) for id_ in ids) + wire.USER_INFORMATION
    request = decode_associate_rq(wire.raw_associate_rq(items))
    assert request.rejection is Rejection.NOT_UNDERSTOOD
    assert not request.contexts


@pytest.mark.parametrize(
    "context",
    [
        wire.item(0x20, b""),
        wire.item(0x20, bytes([1, 0, 0, 0])),
        wire.item(0x20, bytes([1, 0, 0, 0]) + wire.item(0x30, b"1.2")),
        wire.item(0x20, bytes([1, 0, 0, 0]) + wire.item(0x40, b"1.2")),
        wire.item(0x20, bytes([1, 0, 0, 0]) + 2 * wire.item(0x30, b"1.2") + wire.item(0x40, b"1.2")),
        wire.item(0x20, bytes([1, 0, 0, 0]) + wire.item(0x30, b"1.2") + wire.item(0x51, b"1.2")),
    ],
    ids=[
        "empty",
        "no items",
        "no transfer syntax",
        "no abstract syntax",
        "two abstract syntaxes",
        "another item",
    ],
)
def test_an_incomplete_context_is_rejected(context: bytes) -> None:
    items = wire.APPLICATION_CONTEXT + context + wire.USER_INFORMATION
    assert decode_associate_rq(wire.raw_associate_rq(items)).rejection is Rejection.NOT_UNDERSTOOD


@pytest.mark.parametrize(
    "pdu",
    [
        wire.raw_associate_rq(b"")[:-1],
        wire.raw_associate_rq(ITEMS + b"\x20"),
        wire.raw_associate_rq(ITEMS + b"\x20\x00\xff\xff"),
        wire.raw_associate_rq(ITEMS + wire.item(0x50, b"\x51\x00\x00\x05\x00")),
        wire.raw_associate_rq(ITEMS + wire.item(0x50, wire.item(0x51, b"\x00"))),
        wire.raw_associate_rq(ITEMS + wire.item(0x50, wire.item(0x54, b"\x00\x03"))),
        wire.raw_associate_rq(ITEMS + wire.item(0x50, wire.item(0x54, b"\x00\x031.2\x02\x00"))),
    ],
)
def test_items_that_do_not_fit_are_a_violation(pdu: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_associate_rq(pdu)


@pytest.mark.parametrize(
    "title", [b"GATE\r\nWAY", b"GATE\x1bWAY", b"GATEWAY\x00", b" " * 16, b"GATE\\WAY", b"G\xc4TEWAY"]
)
def test_an_ae_title_that_is_none_is_not_read(title: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        request = decode_associate_rq(wire.raw_associate_rq(ITEMS, called=title, calling=title))
    assert (request.called_ae_title, request.calling_ae_title) == (None, None)
    assert caplog.text == ""


def test_spaces_around_an_ae_title_mean_nothing() -> None:
    request = decode_associate_rq(wire.raw_associate_rq(ITEMS, called=b"  GATEWAY", calling=b" A B "))
    assert (request.called_ae_title, request.calling_ae_title) == ("GATEWAY", "A B")


@pytest.mark.parametrize(
    "uid", [b"1.02.3", b"1..2", b"", b"1.2\r\n", b"\xff\xfe", b"1" * 65, b"1.2.840.10008.1.2.1 "]
)
@pytest.mark.parametrize("kind", ["abstract_syntax", "transfer_syntax"])
def test_what_is_no_uid_is_answered_as_unknown_and_the_other_contexts_are_not_harmed(
    kind: str, uid: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    items = ITEMS + wire.context_item(3, **{kind: uid})
    with caplog.at_level(logging.DEBUG):
        request = decode_associate_rq(wire.raw_associate_rq(items))
        results = SupportedContexts(accept_lossy=False).negotiate(request.contexts, request.roles).answers
    assert request.rejection is None
    assert [cx.result for cx in results] == [0, 3 if kind == "abstract_syntax" else 4]
    assert caplog.text == ""


def test_a_uid_that_is_padded_is_one() -> None:
    items = wire.APPLICATION_CONTEXT + wire.context_item(1, wire.CT.encode() + b"\0") + wire.USER_INFORMATION
    assert decode_associate_rq(wire.raw_associate_rq(items)).contexts[0].abstract_syntax == wire.CT.encode()


def test_unknown_items_are_left_out() -> None:
    unknown = wire.item(0x99, b"?")
    user = wire.item(0x50, wire.item(0x51, b"\0\0\x40\0") + wire.item(0x5F, b"?") + wire.item(0x52, b"1.2.3"))
    request = decode_associate_rq(
        wire.raw_associate_rq(unknown + ITEMS[: -len(wire.USER_INFORMATION)] + user + unknown)
    )
    assert (request.rejection, request.maximum_length) == (None, 16384)


@pytest.mark.parametrize(
    ("pdu", "rejection"),
    [
        (wire.raw_associate_rq(ITEMS, version=2), Rejection.PROTOCOL_VERSION),
        (wire.raw_associate_rq(ITEMS, version=3), None),
        (wire.raw_associate_rq(ITEMS.replace(b"3.1.1.1", b"3.1.1.2")), Rejection.APPLICATION_CONTEXT),
        (wire.raw_associate_rq(ITEMS[len(wire.APPLICATION_CONTEXT) :]), Rejection.APPLICATION_CONTEXT),
        (wire.associate_rq(maximum_length=10), Rejection.NOT_UNDERSTOOD),
        (wire.associate_rq(maximum_length=0), None),
    ],
)
def test_the_provider_rejects_what_nobody_could_accept(pdu: bytes, rejection: Rejection | None) -> None:
    assert decode_associate_rq(pdu).rejection is rejection


@given(data=st.data())
def test_changed_bytes_are_read_or_are_a_violation(data: st.DataObject) -> None:
    pdu = bytearray(wire.associate_rq(more=extras()))
    for _ in range(data.draw(st.integers(1, 4))):
        pdu[data.draw(st.integers(6, len(pdu) - 1))] = data.draw(st.integers(0, 255))
    try:
        request = decode_associate_rq(bytes(pdu))
    except ProtocolViolation:
        return
    if request.rejection is None:
        negotiated = SupportedContexts(accept_lossy=False).negotiate(request.contexts, request.roles)
        wire.read_ac(encode_associate_ac(request, negotiated, 131072))


@given(items=st.binary(max_size=300))
def test_any_items_are_read_or_are_a_violation(items: bytes) -> None:
    with contextlib.suppress(ProtocolViolation):
        decode_associate_rq(wire.raw_associate_rq(items))
