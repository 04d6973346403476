"""Bytes at an association, from its first one and after it is open.

::

    python -m tests.fuzz.pdu --seconds 60            random changes of valid sessions
    python -m tests.fuzz.pdu --atheris [options]     guided by coverage, where atheris is installed
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator

from gateway.dicom.association import Association
from gateway.dicom.association_events import AssociateRequested, Ended, StoreReceived
from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.state_machine import State
from tests import wire

PDU_BYTES, COMMAND_BYTES, INSTANCE_BYTES = 16384, 1024, 60_000
SUPPORTED = SupportedContexts(accept_lossy=False)
SEEDS = [
    wire.associate_rq(),
    wire.associate_rq() + wire.p_data(3, 3, wire.echo_rq()) + wire.RELEASE_RQ,
    wire.associate_rq() + wire.store_message(wire.made_dataset(), fragment_bytes=700) * 2 + wire.RELEASE_RQ,
    wire.associate_rq() + wire.p_data(1, 3, wire.find_rq()) + wire.p_data(1, 2, b"x") + wire.ABORT,
]


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


def changed(seconds: float, seed: int) -> Iterator[bytes]:
    """Valid sessions with random changes, for so long."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(data))
            match chance.randrange(5):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    data[place] ^= 1 << chance.randrange(8)
                case 2:
                    data[place : place + chance.randrange(1, 40)] = b""
                case 3:
                    data[place:place] = chance.randbytes(chance.randrange(1, 40))
                case _:
                    data[place : place + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            data = data or bytearray(1)
        yield bytes([chance.randrange(256)]) + bytes(data)


def main() -> None:
    """Run what the arguments say."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--atheris", action="store_true")
    given, rest = arguments.parse_known_args()
    if given.atheris:
        import atheris

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *rest], fuzz_one)
        atheris.Fuzz()
        return
    number = 0
    for data in changed(given.seconds, given.seed):
        try:
            fuzz_one(data)
        except BaseException:
            print(f"failed on: {data.hex()}", file=sys.stderr)
            raise
        number += 1
    print(f"{number} inputs, no failure")


if __name__ == "__main__":
    main()
