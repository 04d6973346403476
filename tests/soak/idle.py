"""An event loop that has nothing to do: how late the machine makes it. Prints the 99th percentile, s, on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import statistics

EVERY_S = 0.1


async def main() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    late = [0.0]
    while not stopped.is_set():
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        late.append(max(0.0, loop.time() - due))
    print(statistics.quantiles(late, n=100)[98])


if __name__ == "__main__":
    asyncio.run(main())
