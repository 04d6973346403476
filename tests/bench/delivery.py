"""How fast structure sets are delivered: our SCU beside dcmtk's storescu, to the same storescp, in one run.

::

    python -m tests.bench.delivery [--rounds 7] [--objects 20] [--megabytes 10]

Wall seconds to deliver one large structure set, and many small ones over one association; the contenders take turns
within a round. storescp keeps nothing (`--ignore`) and, like storescu, has TCP_NODELAY=1 in its environment. storescu
is a process that starts and reads files; what starting it costs is shown by a C-ECHO of both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.config import Destination
from gateway.dicom.scu import Scu
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.restore import restore
from tests.bench.restore import large
from tests.toy import Toy

ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


def structure_set(megabytes: float, seed: bytes) -> bytes:
    """A restored structure set of about that size."""
    passage = Toy(100)
    rois = max(1, round(megabytes * 1e6 / 100 / 1400))
    return restore(
        inspect(large(passage, rois=rois, points=60), passage.expectation),
        passage.identity,
        OutputProfile("tps", roi_name_limit=64),
        originals=passage.originals,
        seed=seed,
        model="m",
        at=datetime.now(UTC),
    )


@contextlib.contextmanager
def storescp() -> Iterator[int]:
    """dcmtk's Storage SCP, which throws away what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(["storescp", "--ignore", "+xa", "-pdu", "131072", str(port)], env=ENVIRONMENT)
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


async def dcmtk(program: str, port: int, *files: Path) -> None:
    """Run one of dcmtk's SCUs."""
    arguments = ["127.0.0.1", str(port), *map(str, files)]
    if program == "storescu":
        arguments = ["-xe", "-R", "-pdu", "131072", *arguments]
    process = await asyncio.create_subprocess_exec(program, *arguments, env=ENVIRONMENT)
    if await process.wait():
        raise RuntimeError(program)


async def measure(
    rounds: int, objects: int, megabytes: float, folder: Path
) -> dict[str, dict[str, list[float]]]:
    """Wall seconds by task and contender."""
    big = structure_set(megabytes, b"big")
    small = [structure_set(0.2, b"%d" % number) for number in range(objects)]
    files = [folder / f"{number}.dcm" for number in range(objects + 1)]
    for file, stream in zip(files, [big, *small], strict=True):
        file.write_bytes(stream)
    taken: dict[str, dict[str, list[float]]] = {}
    with storescp() as port:
        peer = Destination(name="tps", ae_title="TPS", host="127.0.0.1", port=port)
        scu = Scu("CONTOURGATE")
        tasks: dict[str, dict[str, Callable[[], Awaitable[object]]]] = {
            "C-ECHO": {"ours": lambda: scu.echo(peer), "dcmtk": lambda: dcmtk("echoscu", port)},
            f"one of {len(big) / 1e6:.1f} MB": {
                "ours": lambda: scu.store(peer, [big]),
                "dcmtk": lambda: dcmtk("storescu", port, files[0]),
            },
            f"{objects} of {len(small[0]) / 1e6:.2f} MB": {
                "ours": lambda: scu.store(peer, small),
                "dcmtk": lambda: dcmtk("storescu", port, *files[1:]),
            },
        }
        for _ in range(rounds):
            for task, contenders in tasks.items():
                for contender, deliver in contenders.items():
                    started = time.perf_counter()
                    await deliver()
                    taken.setdefault(task, {}).setdefault(contender, []).append(time.perf_counter() - started)
        await scu.close()
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--megabytes", type=float, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        taken = asyncio.run(measure(arguments.rounds, arguments.objects, arguments.megabytes, Path(folder)))
    table = Table("wall s, median", "ours", "dcmtk", "ratio")
    for task, contenders in taken.items():
        ours, theirs = (statistics.median(contenders[name]) for name in ("ours", "dcmtk"))
        table.add_row(task, f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
