"""One association as its acceptor sees it: bytes in, events and bytes out; no socket, no clock.

`Association` is a `PduReceiver`: the stream below it makes PDUs of bytes, it keeps the state of PS3.8 section 9.2 and
makes DIMSE messages (PS3.7) of fragments. Whoever owns it moves the bytes, looks at `events` after every call, and
answers: `accept` or `reject` an `AssociateRequested`, `respond` to a `StoreReceived`. Until such an answer nothing more
is taken out of what arrives. C-ECHO and what cannot be taken are answered here.

Bytes that the protocol does not allow end the association with an A-ABORT; they never raise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from pynetdicom.pdu import A_ABORT_RQ, A_RELEASE_RP, A_RELEASE_RQ

from gateway.dicom.association_events import (
    Answered,
    AssociateRequested,
    AssociationEvent,
    Ended,
    Outcome,
    StoreReceived,
)
from gateway.dicom.contexts import VERIFICATION, Context, Negotiated
from gateway.dicom.dimse import (
    Command,
    CommandField,
    CommandUnreadable,
    Status,
    decode_command,
    encode_response,
    fragment_command,
)
from gateway.dicom.message_buffer import Discard, MessageBuffer
from gateway.dicom.negotiation import AssociateRequest, Rejection, decode_associate_rq, encode_associate_ac
from gateway.dicom.pdu_stream import AbortReason, PduStream, PduType, ProtocolViolation, Sink
from gateway.dicom.state_machine import TRANSITIONS, Action, Event, State

_FIRST_DATASET_BYTES = 256 * 1024
_LARGEST_GUESS_BYTES = 4 * 2**20
_MOST_EMPTY_FRAGMENTS = 16
"""Within one message; each costs us more than it costs the sender."""

_EVENT_OF_PDU: Final = {
    PduType.ASSOCIATE_RQ: Event.ASSOCIATE_RQ,
    PduType.ASSOCIATE_AC: Event.ASSOCIATE_AC,
    PduType.ASSOCIATE_RJ: Event.ASSOCIATE_RJ,
    PduType.RELEASE_RQ: Event.RELEASE_RQ,
    PduType.RELEASE_RP: Event.RELEASE_RP,
    PduType.ABORT: Event.ABORT,
}


class Association:
    """The acceptor's side of one association.

    Parameters
    ----------
    pdu_bytes : int
        The longest PDU, announced and enforced.
    command_bytes : int
        The longest command set.
    instance_bytes : int
        The longest dataset; a longer one is discarded while it arrives and refused.
    """

    def __init__(self, *, pdu_bytes: int, command_bytes: int, instance_bytes: int) -> None:
        self._pdu_bytes = pdu_bytes
        self._command_bytes = command_bytes
        self._instance_bytes = instance_bytes
        self._stream = PduStream(self, pdu_bytes)
        self.state = State.IDLE
        self.events: deque[AssociationEvent] = deque()
        self._outgoing: list[bytes] = []
        self._request: AssociateRequest | None = None
        self._accepted: Mapping[int, Context] = {}
        self._peer_pdu_bytes = 0
        self._ended = False
        # The message that is arriving
        self._command_set = MessageBuffer(512, command_bytes)
        self._dataset = MessageBuffer(_FIRST_DATASET_BYTES, _LARGEST_GUESS_BYTES)
        self._discard: Discard | None = None
        self._context_id = 0
        self._command: Command | None = None
        self._answer: tuple[int, str] | None = None
        """Status and comment, where the message is answered without being kept."""
        self._is_last_fragment = False
        self._empty_fragments = 0
        self.in_message = False
        """Whether some of a message is here, and its last fragment is not."""
        self._pending: tuple[Command, int] | None = None
        """The store request that waits for `respond`, and its presentation context."""
        self.answered = 0
        """Messages answered so far."""
        self._apply(Event.TRANSPORT_OPEN)

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def buffer(self) -> memoryview:
        """Where the next bytes are to be received; valid until `received`."""
        return self._stream.buffer()

    def received(self, count: int) -> None:
        """Look at `count` bytes received into the buffer."""
        self._stream.received(count)

    def data_to_send(self) -> bytes:
        """Return what the peer is to get, once."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def is_full(self) -> bool:
        """Whether no more should be received before the answer that is waited for."""
        return self._stream.is_full

    @property
    def bytes_received(self) -> int:
        """All bytes so far."""
        return self._stream.bytes_received

    @property
    def is_storing(self) -> bool:
        """Whether a `StoreReceived` waits for its answer."""
        return self._pending is not None

    @property
    def has_ended(self) -> bool:
        """Whether `Ended` was told."""
        return self._ended

    # -- what the owner answers ----------------------------------------------------------------------------------------

    def accept(self, negotiated: Negotiated) -> None:
        """Answer `AssociateRequested` with an A-ASSOCIATE-AC; nothing happens where it has ended meanwhile."""
        if self._ended or self._request is None:
            return
        self._accepted = negotiated.accepted
        self._peer_pdu_bytes = self._request.maximum_length
        self._outgoing.append(encode_associate_ac(self._request, negotiated, self._pdu_bytes))
        self._request = None
        self._apply(Event.LOCAL_ACCEPT)
        self._go_on()

    def reject(self, rejection: Rejection, code: str) -> None:
        """Answer `AssociateRequested` with an A-ASSOCIATE-RJ; nothing happens where it has ended meanwhile."""
        if self._ended or self._request is None:
            return
        self._request = None
        self._outgoing.append(rejection.encode())
        self._apply(Event.LOCAL_REJECT)
        self._end(Outcome.REJECTED, code)
        self._go_on()

    def respond(self, status: int, comment: str = "") -> None:
        """Answer `StoreReceived` with a C-STORE-RSP; nothing happens where the association has ended meanwhile."""
        if self._pending is None:
            return
        command, context_id = self._pending
        self._pending = None
        self._send_response(command, context_id, status, comment)
        self._go_on()

    def release(self) -> None:
        """Ask the peer to release an association that is open and idle."""
        if self.state is State.ESTABLISHED:
            self._apply(Event.LOCAL_RELEASE)

    def abort(self, code: str) -> None:
        """End the association from our side; before it is open only the connection can be closed."""
        if (self.state, Event.LOCAL_ABORT) in TRANSITIONS:
            self._apply(Event.LOCAL_ABORT, code)
        elif self.state is State.AWAITING_ASSOCIATE_RQ:
            self._apply(Event.ARTIM_EXPIRED, code)

    def artim_expired(self, code: str = "") -> None:
        """The peer has let the time pass in which it was to associate or to close the connection."""
        if (self.state, Event.ARTIM_EXPIRED) in TRANSITIONS:
            self._apply(Event.ARTIM_EXPIRED, code)

    def transport_closed(self) -> None:
        """The connection is gone."""
        if self.state is not State.IDLE:
            self._apply(Event.TRANSPORT_CLOSED)

    # -- PduReceiver ---------------------------------------------------------------------------------------------------

    def pdu_received(self, pdu_type: PduType, pdu: bytes) -> None:
        """A whole PDU but P-DATA-TF."""
        if pdu_type is PduType.ASSOCIATE_RQ and self.state is State.AWAITING_ASSOCIATE_RQ:
            self._request = decode_associate_rq(pdu)
        self._apply(_EVENT_OF_PDU[pdu_type], "PDU_UNEXPECTED", AbortReason.UNEXPECTED_PDU)

    def pdata_started(self) -> None:
        """The header of a P-DATA-TF PDU."""
        if self.state is not State.ESTABLISHED:
            self._apply(Event.P_DATA_TF, "PDU_UNEXPECTED", AbortReason.UNEXPECTED_PDU)

    def fragment_started(self, context_id: int, control: int, length: int) -> Sink:
        """The header of a PDV: say where its bytes go."""
        if self.state is not State.ESTABLISHED:
            return self._discarded()
        if not length:
            self._empty_fragments += 1
            if self._empty_fragments > _MOST_EMPTY_FRAGMENTS:
                raise ProtocolViolation("FRAGMENTS_EMPTY", AbortReason.INVALID_PARAMETER)
        is_command = bool(control & 1)
        self._is_last_fragment = bool(control & 2)
        if not self.in_message:
            if context_id not in self._accepted:
                raise ProtocolViolation("CONTEXT_UNKNOWN", AbortReason.UNEXPECTED_PARAMETER)
            self._context_id = context_id
            self.in_message = True
        elif context_id != self._context_id:
            raise ProtocolViolation("CONTEXT_CHANGED", AbortReason.UNEXPECTED_PARAMETER)
        if is_command is not (self._command is None):
            raise ProtocolViolation("FRAGMENT_UNEXPECTED", AbortReason.UNEXPECTED_PARAMETER)
        if is_command:
            if self._command_set.size + length > self._command_bytes:
                raise ProtocolViolation("COMMAND_TOO_LONG", AbortReason.INVALID_PARAMETER)
            return self._command_set
        if self._answer is None and self._dataset.size + length > self._instance_bytes:
            self._dataset.drop()
            self._answer = Status.OUT_OF_RESOURCES, "DATASET_TOO_LARGE"
        return self._dataset if self._answer is None else self._discarded()

    def fragment_ended(self) -> None:
        """All bytes of the PDV are there."""
        if not self._is_last_fragment or self.state is not State.ESTABLISHED:
            return
        if self._command is None:
            try:
                command = decode_command(self._command_set.take())
            except CommandUnreadable:
                raise ProtocolViolation("COMMAND_UNREADABLE", AbortReason.INVALID_PARAMETER) from None
            self._answer = self._judge(command)
            self._command = command
            if command.has_dataset:
                return
        self._message_ended()

    def violated(self, violation: ProtocolViolation) -> None:
        """The bytes cannot be understood any more."""
        self._apply(Event.INVALID_PDU, violation.code, violation.reason)

    # -- messages ------------------------------------------------------------------------------------------------------

    def _judge(self, command: Command) -> tuple[int, str] | None:
        """Return status and comment where a request is answered at once; None where its dataset is wanted."""
        context = self._accepted[self._context_id]
        if not command.is_request:
            raise ProtocolViolation("RESPONSE_UNEXPECTED", AbortReason.UNEXPECTED_PARAMETER)
        if command.field == CommandField.C_ECHO_RQ and context.abstract_syntax == VERIFICATION:
            return Status.SUCCESS, ""
        if command.field != CommandField.C_STORE_RQ:
            return Status.UNRECOGNIZED_OPERATION, ""
        if not context.stores_images:
            return Status.SOP_CLASS_NOT_SUPPORTED, "SOP_CLASS_NOT_SUPPORTED"
        if command.sop_class_uid != context.abstract_syntax:
            return Status.DATASET_DOES_NOT_MATCH_SOP_CLASS, "UID_MISMATCH"
        if not command.sop_instance_uid:
            return Status.INVALID_SOP_INSTANCE, "UID_INVALID"
        if not command.has_dataset:
            return Status.CANNOT_UNDERSTAND, "DATASET_UNPARSABLE"
        return None

    def _message_ended(self) -> None:
        command, answer, context_id = self._command, self._answer, self._context_id
        assert command is not None
        self._command = self._answer = None
        self._empty_fragments = 0
        self.in_message = False
        if answer is None:
            self._pending = command, context_id
            self._stream.held = True
            self.events.append(StoreReceived(command, self._accepted[context_id], self._dataset.take()))
        elif command.field == CommandField.C_CANCEL_RQ:
            self.answered += 1  # there is nothing to cancel, and C-CANCEL has no response (PS3.7 9.3.2.3)
        else:
            status, code = answer
            self._send_response(command, context_id, status, code)
            self.events.append(Answered(command, status, code))

    def _send_response(self, command: Command, context_id: int, status: int, comment: str) -> None:
        response = encode_response(command, status, comment)
        self._outgoing.append(fragment_command(response, context_id, self._peer_pdu_bytes))
        self.answered += 1

    def _discarded(self) -> Discard:
        if self._discard is None:
            self._discard = Discard()
        return self._discard

    # -- state ---------------------------------------------------------------------------------------------------------

    def _apply(self, event: Event, code: str = "", reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """Carry out the action of PS3.8 table 9-10."""
        action, self.state = TRANSITIONS[self.state, event]
        if self.state is State.IDLE:
            self._stream.close()
        match action:
            case Action.INDICATE_ASSOCIATE:
                self._indicate_associate()
            case Action.SEND_RELEASE_RQ:
                self._outgoing.append(A_RELEASE_RQ().encode())
            case Action.INDICATE_RELEASE | Action.CONFIRM_RELEASE:
                self._apply(Event.LOCAL_RELEASE_RESPONSE)
            case Action.SEND_RELEASE_RP:
                self._outgoing.append(A_RELEASE_RP().encode())
                self._end(Outcome.RELEASED, "")
            case Action.CONFIRM_RELEASE_AND_CLOSE:
                self._end(Outcome.RELEASED, "STOPPED")
            case Action.SEND_ABORT_AS_USER:
                self._send_abort(0, 0)
                self._end(Outcome.ABORTED, code)
            case Action.SEND_ABORT_AS_PROVIDER:
                self._send_abort(2, reason)
                self._end(Outcome.ABORTED, code)
            case Action.SEND_ABORT_AGAIN:
                self._send_abort(2, AbortReason.UNEXPECTED_PDU)
            case Action.INDICATE_ABORT_AND_CLOSE:
                self._end(Outcome.ABORTED_BY_PEER, "")
            case Action.CLOSE if code:
                self._end(Outcome.ABORTED, code)
            case Action.CLOSE | Action.STOP_ARTIM | Action.INDICATE_PROVIDER_ABORT:
                self._end(Outcome.LOST, "")
            case _:
                pass  # P-DATA goes on in `fragment_started`; the timers are the owner's; some PDUs are ignored

    def _indicate_associate(self) -> None:
        assert self._request is not None
        self._stream.held = True
        rejection = self._request.rejection
        if rejection is None:
            self.events.append(AssociateRequested(self._request))
        else:
            self.reject(rejection, f"REJECTED_{rejection.name}")

    def _send_abort(self, source: int, reason: int) -> None:
        pdu = A_ABORT_RQ()
        pdu.source, pdu.reason_diagnostic = source, reason
        self._outgoing.append(pdu.encode())

    def _go_on(self) -> None:
        self._stream.held = False
        self._stream.resume()

    def _end(self, outcome: Outcome, code: str) -> None:
        """Tell the end, and drop what is incomplete."""
        if self._ended:
            return
        self._ended = True
        self._pending = None
        self.in_message = False
        self._command_set.drop()
        self._dataset.drop()
        self.events.append(Ended(outcome, code))
