"""Bytes at an association, from its first one and after it is open.

The input's first byte decides in which chunks the rest arrives.
"""

from __future__ import annotations

import random

from gateway.dicom.association import Association
from gateway.dicom.association_events import AssociateRequested, Ended, StoreReceived
from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.state_machine import State
from tests import wire

PDU_BYTES, COMMAND_BYTES, INSTANCE_BYTES = 16384, 1024, 60_000
SUPPORTED = SupportedContexts(accept_lossy=False)


def fuzz_one(data: bytes) -> None:
    """Feed bytes, in chunks that the first byte decides, and check what must hold whatever they are.

    Raises
    ------
    AssertionError
        If something that must hold does not.
    """
    chunks = random.Random(data[:1])
    association = Association(pdu_bytes=PDU_BYTES, command_bytes=COMMAND_BYTES, instance_bytes=INSTANCE_BYTES)
    ended = 0
    sent = b""
    data = data[1:]
    while data:
        window = association.buffer()
        assert 0 < len(window) <= max(PDU_BYTES, 2 * 256 * 1024) + 12
        count = min(len(window), len(data), chunks.choice((1, 7, 100, 10**6)))
        window[:count] = data[:count]
        association.received(count)
        data = data[count:]
        while association.events:
            event = association.events.popleft()
            if isinstance(event, AssociateRequested):
                association.accept(SUPPORTED.negotiate(event.request.contexts, event.request.roles))
            elif isinstance(event, StoreReceived):
                assert len(event.dataset) <= INSTANCE_BYTES
                association.respond(0)
            elif isinstance(event, Ended):
                ended += 1
        sent += association.data_to_send()
        assert ended == association.has_ended <= 1
        assert association.state is not State.ESTABLISHED or not ended
    for pdu in wire.split(sent):
        assert pdu[0] in (2, 3, 4, 5, 6, 7)
