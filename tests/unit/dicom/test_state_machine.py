"""PS3.8 table 9-10, held against pynetdicom's copy of it, and walked through by an association."""

from __future__ import annotations

import pytest
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE

from gateway.dicom.association import Association
from gateway.dicom.association_events import Ended, Outcome
from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.negotiation import Rejection
from gateway.dicom.state_machine import TRANSITIONS, Action, Event, State
from tests import wire


def test_every_transition_of_an_acceptor_is_the_standards() -> None:
    events, states = {event.value for event in Event}, {state.value for state in State}
    expected = {
        (state, event): action
        for (event, state), action in TRANSITION_TABLE.items()
        if event in events and state in states
    }
    ours = {
        (state.value, event.value): transition.action.value
        for (state, event), transition in TRANSITIONS.items()
    }
    assert ours == expected


def test_every_next_state_is_the_standards() -> None:
    for transition in TRANSITIONS.values():
        possible = ACTIONS[transition.action.value][2]
        assert transition.state.value in ([possible] if isinstance(possible, str) else possible)


def test_what_is_left_out_belongs_to_a_requestor() -> None:
    left_out = {"Sta4", "Sta5", "Sta9", "Sta11"}
    assert {f"Sta{n}" for n in range(1, 14)} - {state.value for state in State} == left_out
    assert {f"Evt{n}" for n in range(1, 20)} - {event.value for event in Event} == {"Evt1", "Evt2"}
    assert {action.value for action in Action} == {
        transition.action.value for transition in TRANSITIONS.values()
    }


# -- the same, as bytes in and bytes out

PDUS = {
    Event.ASSOCIATE_AC: bytes.fromhex("020000000004") + bytes(4),
    Event.ASSOCIATE_RJ: bytes.fromhex("03000000000400010101"),
    Event.ASSOCIATE_RQ: wire.associate_rq(),
    Event.P_DATA_TF: wire.p_data(3, 3, wire.echo_rq()),
    Event.RELEASE_RQ: wire.RELEASE_RQ,
    Event.RELEASE_RP: wire.RELEASE_RP,
    Event.ABORT: wire.ABORT,
    Event.INVALID_PDU: b"GET / HTTP/1.1\r\n\r\n",
}


def feed(association: Association, data: bytes) -> None:
    while data:
        window = association.buffer()
        count = min(len(window), len(data))
        window[:count] = data[:count]
        association.received(count)
        data = data[count:]


def in_state(state: State) -> Association:
    """An association that the peer and we have brought into a state."""
    association = Association(pdu_bytes=16384, command_bytes=16384, instance_bytes=65536)
    if state is State.AWAITING_ASSOCIATE_RQ:
        return association
    feed(association, wire.associate_rq())
    if state is State.AWAITING_LOCAL_ASSOCIATE_RESPONSE:
        association.events.clear()
        return association
    if state is State.AWAITING_TRANSPORT_CLOSE:
        association.reject(Rejection.CONGESTION, "DRAINING")
    else:
        request = association.events[0].request  # type: ignore[union-attr]
        association.accept(SupportedContexts(accept_lossy=False).negotiate(request.contexts, request.roles))
    if state in (State.AWAITING_RELEASE_RP, State.COLLISION_AWAITING_RELEASE_RP):
        association.release()
    if state is State.COLLISION_AWAITING_RELEASE_RP:
        feed(association, wire.RELEASE_RQ)
    association.events.clear()
    association.data_to_send()
    assert association.state is state
    return association


REACHED = [
    State.AWAITING_ASSOCIATE_RQ,
    State.AWAITING_LOCAL_ASSOCIATE_RESPONSE,
    State.ESTABLISHED,
    State.AWAITING_RELEASE_RP,
    State.COLLISION_AWAITING_RELEASE_RP,
    State.AWAITING_TRANSPORT_CLOSE,
]
"""States in which an association rests; in Sta8 and Sta12 it answers at once."""

CHAINED = {
    Action.INDICATE_RELEASE: State.AWAITING_TRANSPORT_CLOSE,  # through Sta8
    Action.CONFIRM_RELEASE: State.AWAITING_TRANSPORT_CLOSE,  # through Sta12
}


@pytest.mark.parametrize("event", PDUS, ids=lambda event: event.name)
@pytest.mark.parametrize("state", REACHED, ids=lambda state: state.name)
def test_every_pdu_in_every_state(state: State, event: Event) -> None:
    association = in_state(state)
    feed(association, PDUS[event])
    action, follows = TRANSITIONS[state, event]
    if state is State.AWAITING_LOCAL_ASSOCIATE_RESPONSE and event not in (Event.ABORT, Event.INVALID_PDU):
        # What is whole but no abort waits for the local answer, as everything does behind a C-STORE-RQ.
        assert (association.state, association.data_to_send()) == (state, b"")
        return
    assert association.state is CHAINED.get(action, follows)
    sent = association.data_to_send()
    match action:
        case Action.SEND_ABORT_AS_USER:
            assert sent == wire.ABORT_AS_USER
        case Action.SEND_ABORT_AS_PROVIDER | Action.SEND_ABORT_AGAIN:
            unknown = event is Event.INVALID_PDU and action is Action.SEND_ABORT_AS_PROVIDER
            assert sent == wire.abort_as_provider(1 if unknown else 2)
        case Action.INDICATE_RELEASE | Action.CONFIRM_RELEASE:
            assert sent == wire.RELEASE_RP
        case Action.INDICATE_P_DATA:
            assert wire.read_response(sent).Status == 0
        case _:
            assert sent == b""


@pytest.mark.parametrize("event", [e for e in Event if e not in PDUS], ids=lambda event: event.name)
@pytest.mark.parametrize("state", REACHED, ids=lambda state: state.name)
def test_every_local_event_in_every_state(state: State, event: Event) -> None:
    association = in_state(state)
    match event:
        case Event.LOCAL_RELEASE:
            association.release()
        case Event.LOCAL_ABORT:
            association.abort("STOPPED")
        case Event.TRANSPORT_CLOSED:
            association.transport_closed()
        case Event.ARTIM_EXPIRED:
            association.artim_expired()
        case _:
            return  # accept, reject and respond answer an event and have tests of their own
    if (state, event) in TRANSITIONS:
        assert association.state is TRANSITIONS[state, event].state
    elif event is Event.LOCAL_ABORT and state is State.AWAITING_ASSOCIATE_RQ:
        assert association.state is State.IDLE  # nobody to send an A-ABORT to yet
    else:
        assert association.state is state
        assert association.data_to_send() == b""


@pytest.mark.parametrize("end", [wire.ABORT, b"\xff" * 10])
def test_an_answer_that_comes_after_the_end_is_not_given(end: bytes) -> None:
    association = in_state(State.AWAITING_ASSOCIATE_RQ)
    feed(association, wire.associate_rq() + end)
    request = association.events[0].request  # type: ignore[union-attr]
    state = association.state
    association.data_to_send()
    association.accept(SupportedContexts(accept_lossy=False).negotiate(request.contexts, request.roles))
    association.reject(Rejection.CONGESTION, "DRAINING")
    assert (association.state, association.data_to_send()) == (state, b"")


@pytest.mark.parametrize("state", REACHED, ids=lambda state: state.name)
def test_the_end_is_told_once_whatever_follows(state: State) -> None:
    association = in_state(state)
    ended_before = association.has_ended
    for data in (b"\xff" * 40, wire.RELEASE_RQ, wire.ABORT):
        feed(association, data)
    association.abort("STOPPED")
    association.artim_expired()
    association.transport_closed()
    association.transport_closed()
    told = [event for event in association.events if isinstance(event, Ended)]
    assert len(told) == (0 if ended_before else 1)


def test_a_release_collision_ends_in_a_release() -> None:
    association = in_state(State.ESTABLISHED)
    association.release()
    assert association.data_to_send() == wire.RELEASE_RQ
    feed(association, wire.RELEASE_RQ)
    assert association.data_to_send() == b""
    feed(association, wire.RELEASE_RP)
    assert association.data_to_send() == wire.RELEASE_RP
    assert list(association.events) == [Ended(Outcome.RELEASED, "")]
