"""Messages over an association: what is taken, what is answered at once, what ends it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from gateway.dicom.association import Association
from gateway.dicom.association_events import Answered, AssociateRequested, Ended, Outcome, StoreReceived
from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.state_machine import State
from tests import wire

INSTANCE_BYTES = 100_000
RTSTRUCT = str(RTStructureSetStorage)
SUPPORTED = SupportedContexts(accept_lossy=False)
CONTEXTS = [
    (1, wire.CT, [wire.EXPLICIT_LE, str(ImplicitVRLittleEndian)]),
    (3, wire.VERIFICATION, [wire.EXPLICIT_LE]),
    (5, RTSTRUCT, [wire.EXPLICIT_LE]),
]


class Session:
    """An association whose owner accepts everything and answers every C-STORE with the same status."""

    def __init__(self, *, status: int = 0, peer_pdu_bytes: int = 131072) -> None:
        self.association = Association(pdu_bytes=16384, command_bytes=1024, instance_bytes=INSTANCE_BYTES)
        self.events: list[object] = []
        self.sent = b""
        self._status = status
        self.feed(wire.associate_rq(CONTEXTS, maximum_length=peer_pdu_bytes))
        assert self.association.state is State.ESTABLISHED
        self.events.clear()
        self.sent = b""

    def feed(self, data: bytes, chunks: list[int] | None = None) -> Session:
        sizes = iter(chunks or [])
        while data:
            window = self.association.buffer()
            count = min(len(window), len(data), next(sizes, 10**9))
            window[:count] = data[:count]
            self.association.received(count)
            data = data[count:]
            self._answer()
        return self

    def _answer(self) -> None:
        while self.association.events:
            event = self.association.events.popleft()
            self.events.append(event)
            if isinstance(event, AssociateRequested):
                self.association.accept(SUPPORTED.negotiate(event.request.contexts, event.request.roles))
            elif isinstance(event, StoreReceived):
                self.association.respond(self._status, "MADE" if self._status else "")
        self.sent += self.association.data_to_send()

    @property
    def responses(self) -> list[object]:
        return [wire.read_response(pdu) for pdu in wire.split(self.sent) if pdu[0] == 4]


DATASET = wire.made_dataset(20_000)

TRANSCRIPT = (
    wire.p_data(3, 3, wire.echo_rq(1))
    + wire.store_message(DATASET, 2, fragment_bytes=16378)
    + wire.store_message(DATASET[:501], 3, fragment_bytes=100)
    + wire.store_message(DATASET, 4, context_id=5, sop_class=RTSTRUCT, fragment_bytes=3000)
    + wire.store_message(bytes(INSTANCE_BYTES + 2), 5)
    + wire.p_data(1, 3, wire.find_rq(6))
    + wire.p_data(1, 2, b"identifier")
    + wire.p_data(1, 3, wire.cancel_rq(6))
    + wire.store_message(DATASET[:2], 7, fragment_bytes=1)
    + wire.RELEASE_RQ
)


def test_a_session_is_answered_as_the_standard_says() -> None:
    session = Session().feed(TRANSCRIPT)
    responses = [
        (r.CommandField, r.MessageIDBeingRespondedTo, r.Status, r.get("ErrorComment", ""))
        for r in session.responses
    ]
    assert responses == [
        (0x8030, 1, 0x0000, ""),
        (0x8001, 2, 0x0000, ""),
        (0x8001, 3, 0x0000, ""),
        (0x8001, 4, 0x0122, "SOP_CLASS_NOT_SUPPORTED"),
        (0x8001, 5, 0xA700, "DATASET_TOO_LARGE"),
        (0x8020, 6, 0x0211, ""),
        (0x8001, 7, 0x0000, ""),
    ]
    stored = [bytes(event.dataset) for event in session.events if isinstance(event, StoreReceived)]
    assert stored == [DATASET, DATASET[:501], DATASET[:2]]
    assert session.events[-1] == Ended(Outcome.RELEASED, "")
    assert session.sent.endswith(wire.RELEASE_RP)


@given(chunks=st.lists(st.one_of(st.integers(1, 30), st.integers(1, 30_000)), max_size=300))
def test_any_chunking_gives_the_same_answers(chunks: list[int]) -> None:
    whole, chunked = Session().feed(TRANSCRIPT), Session().feed(TRANSCRIPT, chunks)
    assert chunked.sent == whole.sent
    assert chunked.events == whole.events


def test_a_store_request_tells_what_the_command_and_the_context_say() -> None:
    event = Session().feed(wire.store_message(DATASET, 9)).events[0]
    assert isinstance(event, StoreReceived)
    assert (event.command.message_id, event.command.sop_class_uid) == (9, wire.CT)
    assert event.command.sop_instance_uid == wire.SOP_INSTANCE
    assert event.context.transfer_syntax_uid == wire.EXPLICIT_LE


def test_the_response_names_the_instance_and_the_reason() -> None:
    response = Session(status=0xC123).feed(wire.store_message(DATASET)).responses[0]
    assert response.AffectedSOPInstanceUID == wire.SOP_INSTANCE
    assert response.AffectedSOPClassUID == wire.CT
    assert (response.Status, response.ErrorComment) == (0xC123, "MADE")


def test_nothing_is_taken_before_the_store_is_answered() -> None:
    session = Session()
    association = session.association
    for _ in range(2):
        window = association.buffer()
        message = wire.store_message(DATASET[:200])
        window[: len(message)] = message
        association.received(len(message))
    assert len(association.events) == 1
    assert association.is_storing
    association.events.clear()
    association.respond(0)
    assert len(association.events) == 1


def test_an_abort_is_seen_while_a_store_waits() -> None:
    session = Session()
    association = session.association
    data = wire.store_message(DATASET[:200]) + wire.ABORT
    association.buffer()[: len(data)] = data
    association.received(len(data))
    assert association.events[-1] == Ended(Outcome.ABORTED_BY_PEER, "")
    association.respond(0)
    assert association.data_to_send() == b""


@pytest.mark.parametrize(
    ("command", "status", "comment"),
    [
        (wire.store_rq(1, sop_class="1.2.840.10008.5.1.4.1.1.4"), 0xA900, "UID_MISMATCH"),
        (wire.store_rq(1, has_dataset=False), 0xC000, "DATASET_UNPARSABLE"),
        (
            wire.store_rq(1).replace(
                wire.SOP_INSTANCE.encode(),
                b"../../../../../../../../etc"[:28].ljust(28, b"x")[: len(wire.SOP_INSTANCE)],
            ),
            0x0117,
            "UID_INVALID",
        ),
        (
            wire.store_rq(1).replace(wire.SOP_INSTANCE.encode(), b"0" + wire.SOP_INSTANCE.encode()[:-1]),
            0x0117,
            "UID_INVALID",
        ),
        (wire.echo_rq(1), 0x0211, ""),
    ],
)
def test_what_the_command_alone_shows_is_refused_without_keeping_the_dataset(
    command: bytes, status: int, comment: str
) -> None:
    session = Session().feed(wire.p_data(1, 3, command))
    if session.association.in_message:
        session.feed(wire.p_data(1, 2, DATASET[:1000]))
    response = session.responses[0]
    assert (response.Status, response.get("ErrorComment", "")) == (status, comment)
    assert isinstance(session.events[0], Answered)
    assert session.association.state is State.ESTABLISHED


def test_a_response_is_cut_to_what_the_peer_takes() -> None:
    session = Session(peer_pdu_bytes=64).feed(wire.store_message(DATASET))
    pdus = list(wire.split(session.sent))
    assert len(pdus) > 1
    assert all(len(pdu) <= 64 + 6 for pdu in pdus)
    assert [pdu[11] for pdu in pdus[:-1]] == [1] * (len(pdus) - 1)
    assert wire.read_response(*pdus).Status == 0


VIOLATIONS = {
    "CONTEXT_UNKNOWN": (wire.p_data(7, 3, wire.echo_rq()), 5),
    "CONTEXT_CHANGED": (wire.p_data(1, 1, wire.store_rq()[:20]) + wire.p_data(3, 3, wire.store_rq()[20:]), 5),
    "FRAGMENT_UNEXPECTED": (wire.p_data(1, 2, b"data before any command"), 5),
    "COMMAND_TOO_LONG": (wire.p_data(1, 1, bytes(600)) * 2, 6),
    "COMMAND_UNREADABLE": (wire.p_data(1, 3, b"\0\0\0\0\xff\xff\xff\xff"), 6),
    "FRAGMENTS_EMPTY": (wire.p_data(1, 1, b"") * 17, 6),
    "RESPONSE_UNEXPECTED": (
        wire.p_data(
            1,
            3,
            wire.store_rq()
            .replace(struct.pack("<HHIH", 0, 0x100, 2, 1), struct.pack("<HHIH", 0, 0x100, 2, 0x8001))
            .replace(struct.pack("<HHI", 0, 0x110, 2), struct.pack("<HHI", 0, 0x120, 2)),
        ),
        5,
    ),
    "PDU_TOO_LONG": (wire.p_data(1, 1, bytes(16384)), 6),
}


@pytest.mark.parametrize("code", VIOLATIONS)
def test_what_the_protocol_forbids_aborts(code: str) -> None:
    data, reason = VIOLATIONS[code]
    session = Session().feed(data)
    assert session.sent == wire.abort_as_provider(reason)
    assert session.events == [Ended(Outcome.ABORTED, code)]


def test_a_second_command_before_the_dataset_aborts() -> None:
    session = Session().feed(wire.p_data(1, 3, wire.store_rq()) * 2)
    assert session.events == [Ended(Outcome.ABORTED, "FRAGMENT_UNEXPECTED")]


@pytest.mark.parametrize("end", [wire.ABORT, wire.RELEASE_RQ, b"\xff" * 10])
def test_an_incomplete_dataset_is_dropped_when_the_association_ends(end: bytes) -> None:
    session = Session().feed(wire.store_message(DATASET)[:-5000])
    # The last fragment is not whole; the end comes in its place.
    session = Session().feed(wire.p_data(1, 3, wire.store_rq()) + wire.p_data(1, 0, DATASET[:9000]) + end)
    assert not any(isinstance(event, StoreReceived) for event in session.events)
    assert session.association._dataset.size == 0
    assert not session.association.in_message


@given(
    data=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [
                    wire.p_data(1, 3, wire.store_rq()),
                    wire.p_data(1, 2, b"x"),
                    wire.p_data(1, 0, b"y"),
                    wire.p_data(3, 3, wire.echo_rq()),
                    wire.RELEASE_RQ,
                    wire.associate_rq(),
                ]
            ),
        ),
        max_size=8,
    )
)
def test_no_bytes_raise(data: list[bytes]) -> None:
    session = Session()
    for part in data:
        session.feed(part)
    assert sum(isinstance(event, Ended) for event in session.events) <= 1
