"""Bytes of a transport connection -> PDUs (PS3.8 section 9.3).

In: bytes, in any chunking, written into the buffer that `PduStream.buffer` offers. Out: calls of a `PduReceiver`, one
for each whole PDU, and for each fragment (PDV, PS3.8 annex E) of a P-DATA-TF PDU. Refused: a length beyond the cap,
before anything is allocated for it; an unknown PDU type; lengths that contradict each other.

The fragments' bytes are not copied on their way. As soon as a PDV's header is known, the buffer offered *is* the place
where the message is put together, and a little longer than the fragment: the next header lands right behind the data,
is looked at, and is overwritten by the fragment that follows it. So a P-DATA-TF PDU costs one system call and no copy.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, Protocol

_PDU_HEADER = Struct(">BxI")
"""Type and length, PS3.8 table 9-11 and the others."""
_PDV_HEADER = Struct(">IBB")
"""Item length, presentation context id and message control header, PS3.8 table 9-23 and annex E.2."""
_LOOK_AHEAD = _PDU_HEADER.size + _PDV_HEADER.size
_STAGING_BYTES = 4096
"""For headers and short PDUs; larger would gather pixels here that then have to be moved."""

ASSOCIATE_RQ_BYTES: Final = 256 * 1024
"""The longest A-ASSOCIATE-RQ: 128 presentation contexts with 45 transfer syntaxes each still fit."""
_SHORT_PDU_BYTES = 4
"""The length of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT, PS3.8 tables 9-21 to 9-26."""


class PduType(IntEnum):
    """PS3.8 section 9.3.1."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortReason(IntEnum):
    """Reason of an A-ABORT whose source is the service provider, PS3.8 table 9-26."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class ProtocolViolation(Exception):
    """The peer's bytes are not what the protocol allows at this place.

    Parameters
    ----------
    code : str
        A short word for metrics, logs and alerts.
    reason : AbortReason
        What the A-ABORT says.
    """

    def __init__(self, code: str, reason: AbortReason) -> None:
        super().__init__(code)
        self.code: Final = code
        self.reason: Final = reason


class Sink(Protocol):
    """Where the bytes of a fragment go."""

    def window(self, wanted: int) -> memoryview:
        """A writable view of at least one and at most `wanted` bytes."""

    def advance(self, count: int) -> None:
        """`count` bytes at the beginning of the last window are there."""


class PduReceiver(Protocol):
    """What a stream tells. Each method may raise `ProtocolViolation`."""

    def pdu_received(self, pdu_type: PduType, pdu: bytes) -> None:
        """A whole PDU but P-DATA-TF, header included."""

    def pdata_started(self) -> None:
        """The header of a P-DATA-TF PDU."""

    def fragment_started(self, context_id: int, control: int, length: int) -> Sink:
        """The header of a PDV with `length` bytes of a message; says where they go."""

    def fragment_ended(self) -> None:
        """All bytes of the fragment are in the sink."""

    def violated(self, violation: ProtocolViolation) -> None:
        """The stream cannot be understood any more: nothing else will be told."""


class PduStream:
    """Takes the bytes of one connection apart.

    Parameters
    ----------
    receiver : PduReceiver
    pdu_bytes : int
        The longest P-DATA-TF PDU, as announced in the A-ASSOCIATE-AC.
    """

    def __init__(self, receiver: PduReceiver, pdu_bytes: int) -> None:
        self._receiver = receiver
        self._pdu_bytes = pdu_bytes
        self._staging = bytearray(_STAGING_BYTES)
        self._start = 0
        """First byte of `_staging` that nobody has looked at."""
        self._stop = 0
        """Behind the last byte received into `_staging`."""
        self._pdu_left = 0
        """Bytes of the current P-DATA-TF PDU that belong to PDVs not begun yet."""
        self._fragment_left = 0
        self._in_fragment = False
        self._sink: Sink | None = None
        self._window: memoryview | None = None
        self._dead = False
        self.held = False
        """While set, nothing but an A-ABORT is taken out of what has arrived: back-pressure."""
        self.bytes_received = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be received before `held` ends."""
        return self.held and self._stop - self._start >= _STAGING_BYTES

    def buffer(self) -> memoryview:
        """Where the next bytes are to be received.

        The view is valid until `received` is called.
        """
        if self._fragment_left:
            assert self._sink is not None
            window = self._sink.window(self._fragment_left + _LOOK_AHEAD)
        else:
            if self._dead or self._start == self._stop:
                self._start = self._stop = 0
                if len(self._staging) > _STAGING_BYTES:
                    self._staging = bytearray(_STAGING_BYTES)
            elif self._stop == len(self._staging):
                self._make_room()
            window = memoryview(self._staging)[self._stop :]
        self._window = window
        return window

    def received(self, count: int) -> None:
        """Look at the `count` bytes that were put at the beginning of the buffer.

        Parameters
        ----------
        count : int
            At most the length of the buffer.
        """
        self.bytes_received += count
        left = self._fragment_left
        window = self._window
        assert window is not None
        self._window = None
        if not left:
            self._stop += count
        elif count < left:
            assert self._sink is not None
            self._fragment_left = left - count
            self._sink.advance(count)
            window.release()
            return
        else:
            assert self._sink is not None
            behind = count - left
            self._staging[:behind] = window[left:count]
            self._start, self._stop = 0, behind
            self._fragment_left = 0
            self._sink.advance(left)
        # The event loop still holds the view; a buffer with a living view can be neither grown nor trimmed.
        window.release()
        self.resume()

    def resume(self) -> None:
        """Take apart what has arrived, as far as it is whole and `held` allows."""
        if self._dead:
            return
        try:
            while not self._dead and self._step():
                pass
        except ProtocolViolation as violation:
            self.close()
            self._receiver.violated(violation)

    def close(self) -> None:
        """Look at nothing more; what still arrives is received and forgotten."""
        self._dead = True
        self._sink = None
        self._fragment_left = 0

    def _step(self) -> bool:
        if self._in_fragment:
            return self._fragment_goes_on()
        if self._pdu_left:
            return self._pdv_begins()
        return self._pdu_begins()

    def _pdu_begins(self) -> bool:
        available = self._stop - self._start
        if available < _PDU_HEADER.size:
            return False
        code, length = _PDU_HEADER.unpack_from(self._staging, self._start)
        if code == PduType.P_DATA_TF:
            if self.held:
                return False
            if length > self._pdu_bytes:
                raise ProtocolViolation("PDU_TOO_LONG", AbortReason.INVALID_PARAMETER)
            if length < _PDV_HEADER.size:
                raise ProtocolViolation("PDU_LENGTH_WRONG", AbortReason.INVALID_PARAMETER)
            self._receiver.pdata_started()
            self._pdu_left = length
            self._start += _PDU_HEADER.size
            return self._pdv_begins()
        pdu_type = _check_pdu(code, length)
        size = _PDU_HEADER.size + length
        if available < size or (self.held and pdu_type is not PduType.ABORT):
            return False
        pdu = bytes(memoryview(self._staging)[self._start : self._start + size])
        self._start += size
        self._receiver.pdu_received(pdu_type, pdu)
        return True

    def _pdv_begins(self) -> bool:
        if self._stop - self._start < _PDV_HEADER.size or self.held:
            return False
        length, context_id, control = _PDV_HEADER.unpack_from(self._staging, self._start)
        if not 2 <= length <= self._pdu_left - 4:
            raise ProtocolViolation("PDV_LENGTH_WRONG", AbortReason.INVALID_PARAMETER)
        self._start += _PDV_HEADER.size
        self._pdu_left -= 4 + length
        if 0 < self._pdu_left < _PDV_HEADER.size:
            raise ProtocolViolation("PDV_LENGTH_WRONG", AbortReason.INVALID_PARAMETER)
        self._sink = self._receiver.fragment_started(context_id, control, length - 2)
        self._fragment_left = length - 2
        self._in_fragment = True
        return self._fragment_goes_on()

    def _fragment_goes_on(self) -> bool:
        """Move what was received too early for the sink; at the fragment's end tell so."""
        while self._fragment_left:
            count = min(self._fragment_left, self._stop - self._start)
            if not count:
                return False
            assert self._sink is not None
            window = self._sink.window(count)
            count = len(window)
            window[:] = memoryview(self._staging)[self._start : self._start + count]
            window.release()
            self._sink.advance(count)
            self._start += count
            self._fragment_left -= count
        self._in_fragment = False
        self._sink = None
        self._receiver.fragment_ended()
        return True

    def _make_room(self) -> None:
        """Move what is left to the front; grow for a PDU that is longer than the buffer, as its bytes arrive."""
        rest = self._staging[self._start : self._stop]
        size = _STAGING_BYTES if len(rest) < _STAGING_BYTES else 2 * len(rest)
        self._staging = bytearray(size)
        self._staging[: len(rest)] = rest
        self._start, self._stop = 0, len(rest)


def _check_pdu(code: int, length: int) -> PduType:
    """Return the type of a PDU that is not P-DATA-TF, if its length is possible."""
    try:
        pdu_type = PduType(code)
    except ValueError:
        raise ProtocolViolation("PDU_UNKNOWN", AbortReason.UNRECOGNIZED_PDU) from None
    if pdu_type in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
        if length > ASSOCIATE_RQ_BYTES:
            raise ProtocolViolation("PDU_TOO_LONG", AbortReason.INVALID_PARAMETER)
    elif length != _SHORT_PDU_BYTES:
        raise ProtocolViolation("PDU_LENGTH_WRONG", AbortReason.INVALID_PARAMETER)
    return pdu_type
