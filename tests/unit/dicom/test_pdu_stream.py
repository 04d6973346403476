"""Bytes in any chunking give the same PDUs, fragments and refusals."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.message_buffer import Discard, MessageBuffer
from gateway.dicom.pdu_stream import (
    ASSOCIATE_RQ_BYTES,
    AbortReason,
    PduStream,
    PduType,
    ProtocolViolation,
    Sink,
)
from tests import wire

PDU_BYTES = 16384


class Recorder:
    """A receiver that notes what it is told."""

    def __init__(self, *, discard: bool = False) -> None:
        self.told: list[object] = []
        self._sink: Sink = Discard() if discard else MessageBuffer(16, 64)

    def pdu_received(self, pdu_type: PduType, pdu: bytes) -> None:
        self.told.append((pdu_type, pdu))

    def pdata_started(self) -> None:
        self.told.append("P-DATA-TF")

    def fragment_started(self, context_id: int, control: int, length: int) -> Sink:
        self.told.append((context_id, control, length))
        return self._sink

    def fragment_ended(self) -> None:
        if isinstance(self._sink, MessageBuffer):
            self.told.append(bytes(self._sink.take()))

    def violated(self, violation: ProtocolViolation) -> None:
        self.told.append((violation.code, violation.reason))


def told(data: bytes, chunks: list[int], *, discard: bool = False) -> list[object]:
    recorder = Recorder(discard=discard)
    stream = PduStream(recorder, PDU_BYTES)
    sizes = iter(chunks)
    while data:
        window = stream.buffer()
        count = min(len(window), len(data), next(sizes, 10**9))
        window[:count] = data[:count]
        stream.received(count)
        data = data[count:]
    return recorder.told


def several_pdvs(*values: bytes) -> bytes:
    items = b"".join(struct.pack(">IBB", len(value) + 2, 1, 0) + value for value in values)
    return struct.pack(">BBI", 4, 0, len(items)) + items


PDU = st.one_of(
    st.binary(max_size=300).map(lambda value: wire.p_data(1, 0, value)),
    st.integers(0, PDU_BYTES - 6).map(lambda size: wire.p_data(1, 2, bytes(i % 253 for i in range(size)))),
    st.lists(st.binary(max_size=40), min_size=1, max_size=5).map(lambda values: several_pdvs(*values)),
    st.sampled_from(
        [
            wire.RELEASE_RQ,
            wire.RELEASE_RP,
            wire.ABORT,
            wire.associate_rq(),
            wire.raw_associate_rq(bytes(9000)),
        ]
    ),
)
CHUNKS = st.lists(st.one_of(st.integers(1, 20), st.integers(1, 20_000)), max_size=400)


@given(pdus=st.lists(PDU, max_size=6), rest=st.binary(max_size=30), chunks=CHUNKS, discard=st.booleans())
def test_any_chunking_of_the_bytes_tells_the_same(
    pdus: list[bytes], rest: bytes, chunks: list[int], discard: bool
) -> None:
    data = b"".join(pdus) + rest
    assert told(data, chunks, discard=discard) == told(data, [], discard=discard)


@given(pdus=st.lists(PDU, min_size=1, max_size=6), chunks=CHUNKS)
def test_what_was_sent_is_told(pdus: list[bytes], chunks: list[int]) -> None:
    fragments = [entry for entry in told(b"".join(pdus), chunks) if isinstance(entry, bytes)]
    sent = b"".join(pdu for pdu in pdus if pdu[0] == 4)
    expected = []
    for pdu in wire.split(sent):
        position = 6
        while position < len(pdu):
            length = int.from_bytes(pdu[position : position + 4], "big")
            expected.append(pdu[position + 6 : position + 4 + length])
            position += 4 + length
    assert fragments == expected


@given(data=st.binary(max_size=2000), chunks=CHUNKS)
def test_no_bytes_raise(data: bytes, chunks: list[int]) -> None:
    told(data, chunks)


@pytest.mark.parametrize("pdu_type", [1, 2, 4])
def test_nothing_is_allocated_for_a_pdu_of_4_gib(pdu_type: int) -> None:
    header = struct.pack(">BBI", pdu_type, 0, 0xFFFFFFFF)
    tracemalloc.start()
    try:
        result = told(header + bytes(100), [])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result == [("PDU_TOO_LONG", AbortReason.INVALID_PARAMETER)]
    assert peak < 100_000


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "PDU_UNKNOWN", AbortReason.UNRECOGNIZED_PDU),
        (b"\x00" * 20, "PDU_UNKNOWN", AbortReason.UNRECOGNIZED_PDU),
        (b"\x08\x00\x00\x00\x00\x04\x00\x00\x00\x00", "PDU_UNKNOWN", AbortReason.UNRECOGNIZED_PDU),
        (struct.pack(">BBI", 4, 0, PDU_BYTES + 1), "PDU_TOO_LONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBI", 1, 0, ASSOCIATE_RQ_BYTES + 1), "PDU_TOO_LONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBI", 5, 0, 5), "PDU_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBI", 7, 0, 0), "PDU_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBI", 4, 0, 0), "PDU_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBI", 4, 0, 5), "PDU_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBIIBB", 4, 0, 10, 1, 1, 0), "PDV_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
        (struct.pack(">BBIIBB", 4, 0, 10, 7, 1, 0), "PDV_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
        (
            struct.pack(">BBIIBB", 4, 0, 10, 0xFFFFFFFF, 1, 0),
            "PDV_LENGTH_WRONG",
            AbortReason.INVALID_PARAMETER,
        ),
        (struct.pack(">BBIIBB", 4, 0, 10, 3, 1, 0), "PDV_LENGTH_WRONG", AbortReason.INVALID_PARAMETER),
    ],
)
def test_lengths_that_cannot_be_are_refused(data: bytes, code: str, reason: AbortReason) -> None:
    assert told(data, [])[-1] == (code, reason)


def test_after_a_violation_nothing_more_is_told() -> None:
    assert told(b"\xff" * 10 + wire.RELEASE_RQ + wire.p_data(1, 0, bytes(9000)), []) == [
        ("PDU_UNKNOWN", AbortReason.UNRECOGNIZED_PDU)
    ]


def test_while_held_only_an_abort_is_looked_at() -> None:
    recorder = Recorder()
    stream = PduStream(recorder, PDU_BYTES)
    stream.held = True
    for pdu in (wire.p_data(1, 0, b"ab"), wire.ABORT):
        window = stream.buffer()
        window[: len(pdu)] = pdu
        stream.received(len(pdu))
    assert recorder.told == []
    stream.held = False
    stream.resume()
    assert recorder.told == ["P-DATA-TF", (1, 0, 2), b"ab", (PduType.ABORT, wire.ABORT)]


def test_a_held_stream_says_when_no_more_should_come() -> None:
    stream = PduStream(Recorder(), PDU_BYTES)
    stream.held = True
    data = wire.p_data(1, 0, bytes(10_000))
    while not stream.is_full:
        window = stream.buffer()
        count = min(len(window), len(data))
        window[:count] = data[:count]
        stream.received(count)
        data = data[count:]
    assert 0 < len(data) < 10_000


def test_a_long_fragment_is_received_in_place() -> None:
    recorder = Recorder()
    stream = PduStream(recorder, PDU_BYTES)
    header, value = wire.p_data(1, 0, bytes(10_000))[:12], bytes(10_000)
    stream.buffer()[:12] = header
    stream.received(12)
    window = stream.buffer()
    assert len(window) == len(value) + 12  # the fragment, and the header behind it
