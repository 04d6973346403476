"""The DICOM upper layer's state machine, the part an association acceptor can reach (PS3.8 section 9.2).

Tables 9-1 to 9-10 as data: `TRANSITIONS[state, event]` names the action and the state that follows it. A pair that
is absent cannot happen in an acceptor. `gateway.dicom.association` carries the actions out.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class State(Enum):
    """PS3.8 tables 9-1 to 9-5; the states of a requestor are left out."""

    IDLE = "Sta1"
    AWAITING_ASSOCIATE_RQ = "Sta2"
    AWAITING_LOCAL_ASSOCIATE_RESPONSE = "Sta3"
    ESTABLISHED = "Sta6"
    AWAITING_RELEASE_RP = "Sta7"
    AWAITING_LOCAL_RELEASE_RESPONSE = "Sta8"
    COLLISION_AWAITING_RELEASE_RP = "Sta10"
    COLLISION_AWAITING_LOCAL_RELEASE_RESPONSE = "Sta12"
    AWAITING_TRANSPORT_CLOSE = "Sta13"


class Event(Enum):
    """PS3.8 table 9-10, first column; the events of a requestor are left out."""

    ASSOCIATE_AC = "Evt3"
    ASSOCIATE_RJ = "Evt4"
    TRANSPORT_OPEN = "Evt5"
    ASSOCIATE_RQ = "Evt6"
    LOCAL_ACCEPT = "Evt7"
    LOCAL_REJECT = "Evt8"
    LOCAL_P_DATA = "Evt9"
    P_DATA_TF = "Evt10"
    LOCAL_RELEASE = "Evt11"
    RELEASE_RQ = "Evt12"
    RELEASE_RP = "Evt13"
    LOCAL_RELEASE_RESPONSE = "Evt14"
    LOCAL_ABORT = "Evt15"
    ABORT = "Evt16"
    TRANSPORT_CLOSED = "Evt17"
    ARTIM_EXPIRED = "Evt18"
    INVALID_PDU = "Evt19"


class Action(Enum):
    """PS3.8 tables 9-6 to 9-9."""

    START_ARTIM = "AE-5"
    INDICATE_ASSOCIATE = "AE-6"
    SEND_ASSOCIATE_AC = "AE-7"
    SEND_ASSOCIATE_RJ = "AE-8"
    SEND_P_DATA = "DT-1"
    INDICATE_P_DATA = "DT-2"
    SEND_RELEASE_RQ = "AR-1"
    INDICATE_RELEASE = "AR-2"
    CONFIRM_RELEASE_AND_CLOSE = "AR-3"
    SEND_RELEASE_RP = "AR-4"
    STOP_ARTIM_AFTER_CLOSE = "AR-5"
    INDICATE_P_DATA_DURING_RELEASE = "AR-6"
    SEND_P_DATA_DURING_RELEASE = "AR-7"
    INDICATE_RELEASE_COLLISION = "AR-8"
    CONFIRM_RELEASE = "AR-10"
    SEND_ABORT_AS_USER = "AA-1"
    CLOSE = "AA-2"
    INDICATE_ABORT_AND_CLOSE = "AA-3"
    INDICATE_PROVIDER_ABORT = "AA-4"
    STOP_ARTIM = "AA-5"
    IGNORE_PDU = "AA-6"
    SEND_ABORT_AGAIN = "AA-7"
    SEND_ABORT_AS_PROVIDER = "AA-8"


class Transition(NamedTuple):
    """What an event brings about."""

    action: Action
    state: State


def _transitions() -> dict[tuple[State, Event], Transition]:
    idle, closing = State.IDLE, State.AWAITING_TRANSPORT_CLOSE
    before = State.AWAITING_ASSOCIATE_RQ
    deciding = State.AWAITING_LOCAL_ASSOCIATE_RESPONSE
    open_, releasing, released = (
        State.ESTABLISHED,
        State.AWAITING_RELEASE_RP,
        State.AWAITING_LOCAL_RELEASE_RESPONSE,
    )
    collision, collided = (
        State.COLLISION_AWAITING_RELEASE_RP,
        State.COLLISION_AWAITING_LOCAL_RELEASE_RESPONSE,
    )
    pdus = (
        Event.ASSOCIATE_AC,
        Event.ASSOCIATE_RJ,
        Event.ASSOCIATE_RQ,
        Event.P_DATA_TF,
        Event.RELEASE_RQ,
        Event.RELEASE_RP,
        Event.INVALID_PDU,
    )
    table: dict[tuple[State, Event], Transition] = {}
    # The rule of the table: a PDU that is out of place ends the association. What follows are the exceptions.
    for pdu in pdus:
        table[before, pdu] = Transition(Action.SEND_ABORT_AS_USER, closing)
        for state in (deciding, open_, releasing, released, collision, collided):
            table[state, pdu] = Transition(Action.SEND_ABORT_AS_PROVIDER, closing)
        table[closing, pdu] = Transition(Action.IGNORE_PDU, closing)
    for state in (deciding, open_, releasing, released, collision, collided):
        table[state, Event.LOCAL_ABORT] = Transition(Action.SEND_ABORT_AS_USER, closing)
        table[state, Event.ABORT] = Transition(Action.INDICATE_ABORT_AND_CLOSE, idle)
        table[state, Event.TRANSPORT_CLOSED] = Transition(Action.INDICATE_PROVIDER_ABORT, idle)
    return table | {
        # Establishment, table 9-6
        (idle, Event.TRANSPORT_OPEN): Transition(Action.START_ARTIM, before),
        (before, Event.ASSOCIATE_RQ): Transition(Action.INDICATE_ASSOCIATE, deciding),
        (deciding, Event.LOCAL_ACCEPT): Transition(Action.SEND_ASSOCIATE_AC, open_),
        (deciding, Event.LOCAL_REJECT): Transition(Action.SEND_ASSOCIATE_RJ, closing),
        # Data transfer, table 9-7
        (open_, Event.LOCAL_P_DATA): Transition(Action.SEND_P_DATA, open_),
        (open_, Event.P_DATA_TF): Transition(Action.INDICATE_P_DATA, open_),
        # Release, table 9-8
        (open_, Event.LOCAL_RELEASE): Transition(Action.SEND_RELEASE_RQ, releasing),
        (open_, Event.RELEASE_RQ): Transition(Action.INDICATE_RELEASE, released),
        (releasing, Event.P_DATA_TF): Transition(Action.INDICATE_P_DATA_DURING_RELEASE, releasing),
        (releasing, Event.RELEASE_RQ): Transition(Action.INDICATE_RELEASE_COLLISION, collision),
        (releasing, Event.RELEASE_RP): Transition(Action.CONFIRM_RELEASE_AND_CLOSE, idle),
        (released, Event.LOCAL_P_DATA): Transition(Action.SEND_P_DATA_DURING_RELEASE, released),
        (released, Event.LOCAL_RELEASE_RESPONSE): Transition(Action.SEND_RELEASE_RP, closing),
        (collision, Event.RELEASE_RP): Transition(Action.CONFIRM_RELEASE, collided),
        (collided, Event.LOCAL_RELEASE_RESPONSE): Transition(Action.SEND_RELEASE_RP, closing),
        # Abort and close, table 9-9
        (before, Event.ABORT): Transition(Action.CLOSE, idle),
        (before, Event.TRANSPORT_CLOSED): Transition(Action.STOP_ARTIM, idle),
        (before, Event.ARTIM_EXPIRED): Transition(Action.CLOSE, idle),
        (closing, Event.ASSOCIATE_RQ): Transition(Action.SEND_ABORT_AGAIN, closing),
        (closing, Event.INVALID_PDU): Transition(Action.SEND_ABORT_AGAIN, closing),
        (closing, Event.ABORT): Transition(Action.CLOSE, idle),
        (closing, Event.TRANSPORT_CLOSED): Transition(Action.STOP_ARTIM_AFTER_CLOSE, idle),
        (closing, Event.ARTIM_EXPIRED): Transition(Action.CLOSE, idle),
    }


TRANSITIONS: Final = _transitions()
"""PS3.8 table 9-10, for an acceptor."""
