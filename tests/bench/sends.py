"""Whether each of many sends gets its own response: our SCU to dcmtk's storescp.

::

    python -m tests.bench.sends [--sends 10000] [--at-once 200]

pynetdicom's association has a reactor that looks for requests of the peer, and now and then takes a response away from
the one who waits for it; then the peer has the object, and the sender knows nothing of it until a timeout. Ours parks
the reactor while it sends. A small structure set is sent over and over, so many times over one association; told is how
many responses came, how long the slowest association took for each of its sends, and how many sends had no answer.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from typing import NamedTuple

from gateway.config import Destination
from gateway.dicom.scu import Scu
from gateway.errors import PeerError
from tests.bench.delivery import storescp, structure_set

RESPONSE_S = 30.0
"""How long one response may take before it counts as lost."""


class Tally(NamedTuple):
    """What came of the sends."""

    statuses: Counter[int]
    failures: Counter[str]
    """Associations that did not come to their end, by code."""
    seconds: float
    slowest_ms: float
    """For one send, in the slowest association."""


async def send(sends: int, at_once: int) -> Tally:
    """Send, and count what is answered."""
    statuses: Counter[int] = Counter()
    failures: Counter[str] = Counter()
    slowest_s, began = 0.0, time.monotonic()
    stream = structure_set(0.01, b"sends")
    with storescp() as port:
        peer = Destination(name="tps", ae_title="TPS", host="127.0.0.1", port=port)
        scu = Scu("CONTOURGATE", response_s=RESPONSE_S)
        left = sends
        while left:
            count = min(at_once, left)
            started = time.monotonic()
            try:
                statuses.update(await scu.store(peer, [stream] * count))
            except PeerError as error:
                failures[error.code] += 1
                if error.code == "PEER_UNREACHABLE":  # nothing was sent: on a busy machine it is tried again
                    continue
            left -= count
            slowest_s = max(slowest_s, (time.monotonic() - started) / count)
        await scu.close()
    return Tally(statuses, failures, time.monotonic() - began, slowest_s * 1000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sends", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=200, help="sends over one association")
    arguments = parser.parse_args()
    tally = asyncio.run(send(arguments.sends, arguments.at_once))
    answered = tally.statuses.total()
    print(
        f"{arguments.sends} sends, {answered} answered, {arguments.sends - answered} not, in {tally.seconds:.0f} s"
    )
    for status, count in sorted(tally.statuses.items()):
        print(f"  status 0x{status:04X}: {count}")
    for code, count in tally.failures.items():
        print(f"  associations {code}: {count}")
    print(f"  slowest association: {tally.slowest_ms:.1f} ms a send")


if __name__ == "__main__":
    main()
