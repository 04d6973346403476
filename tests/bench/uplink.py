"""What a slow uplink costs beyond the bytes: the whole gateway beside sending its compressed bytes alone.

::

    python -m tests.bench.uplink [--slices 300] [--runs 3] [--megabits 50] [--read-text]

Between the gateway and a contourer in a process of its own lies a proxy that lets so many bits a second through, of all
connections together. First storescu sends a phantom CT as fast as it can: time runs from its start to the commit, with
the quiet time, which is over long before the bytes are up. Beside it the very number of bytes that went up is sent
through the same proxy over as many plain connections as the gateway uses, by a program that does nothing else; both
take turns. Then a sender that is slower than the uplink: how long after the last C-STORE response the last byte is up.

Text in the pixels is looked for only with `--read-text`: it takes seconds of a processor beside the upload, and hides
what the way up costs wherever processors are scarce.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.cloud.exchange import UPLOADS_AT_ONCE
from tests.bench.passage import entered, phantom_series_of, send, write
from tests.chaos.peers import Contourer
from tests.made import encoded
from tests.running import Gateway, Storescp, free_ports
from tests.soak.senders import read_pdu
from tests.wire import CT, EXPLICIT_LE, RELEASE_RQ, associate_rq, read_response, store_message

QUIET_S = 0.5
SLOW_QUIET_S = 3.0
"""Long enough to tell the slices' last byte from the commit's."""
WITHIN = 1.1
WITHIN_S = 0.5
SHARE = 0.5
"""How much of the uplink the slow sender's slices would fill."""
CHUNK_BYTES = 16 * 1024
BUFFER_BYTES = 64 * 1024
"""Of the kernel on the proxy's side: what is in there has not passed."""


class Bottleneck:
    """A TCP proxy whose upstream bytes of all connections share one rate.

    Parameters
    ----------
    port : int
        Of loopback, to which it leads.
    bytes_per_s : float
    """

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self._target, self._bytes_per_s = port, bytes_per_s
        self._free_at = 0.0
        self.passed: list[tuple[float, int]] = []
        """When, since the epoch, how many bytes were let through upstream."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Bottleneck:
        self._thread.start()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        listening.bind(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connected, sock=listening, limit=CHUNK_BYTES), self._loop
        ).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def upstream_bytes(self, since: float) -> int:
        """What was let through since a moment."""
        return sum(size for at, size in self.passed if at >= since)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(
                self._pump(reader, there_writer, is_upstream=True),
                self._pump(there_reader, writer, is_upstream=False),
            )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_upstream: bool
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                if is_upstream:
                    now = time.monotonic()
                    self._free_at = max(now, self._free_at) + len(chunk) / self._bytes_per_s
                    await asyncio.sleep(self._free_at - now)
                    self.passed.append((time.time(), len(chunk)))
                writer.write(chunk)
                await writer.drain()
        finally:
            writer.close()


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """A port that swallows everything and answers each connection's end with one byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def swallow(connection: socket.socket) -> None:
            with connection:
                while connection.recv(1 << 16):
                    pass
                connection.sendall(b"!")

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=swallow, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def alone(size: int, port: int) -> float:
    """Seconds to send so many bytes over as many connections as the gateway uses."""
    share = bytes(size // UPLOADS_AT_ONCE)

    def one() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(share)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    senders = [threading.Thread(target=one) for _ in range(UPLOADS_AT_ONCE)]
    began = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return time.perf_counter() - began


class Bench:
    """A contourer behind a bottleneck, a gateway and its TPS."""

    def __init__(self, folder: Path, bytes_per_s: float, quiet_s: float, *, reads_text: bool) -> None:
        self._folder, self._bytes_per_s, self._quiet_s = folder, bytes_per_s, quiet_s
        self._profile = f"extends: contouring-ct\nname: bench-ct\ntext_gate: {str(reads_text).lower()}\n"

    def __enter__(self) -> Bench:
        folder = self._folder
        folder.mkdir()
        (folder / "ct.yaml").write_text(self._profile)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            (port,) = free_ports(1)
            contourer = Contourer(folder / "contourer", port)
            contourer.start()
            stack.callback(contourer.kill)
            self.proxy = stack.enter_context(Bottleneck(port, self._bytes_per_s))
            self.gateway = Gateway(
                folder,
                {
                    "passage": {"quiet_time_s": self._quiet_s, "review_s": 0},
                    "contourer": contourer.configuration(self.proxy.port),
                    "deid": {"profiles": [str(folder / "ct.yaml")]},
                },
            )
            tps = Storescp(folder / "tps", self.gateway.tps)
            stack.callback(tps.stop)
            self.gateway.start()
            stack.callback(self.gateway.stop, 60)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def committed(self, count: int) -> tuple[float, float]:
        """When the latest of so many passages passed its checks and was committed, since the epoch."""
        self.gateway.until_state("delivered", count=count, limit_s=600)
        latest = self.gateway.passages()[0]
        return entered(latest, "checked"), entered(latest, "committed")


def fast_sender(folder: Path, slices: int, runs: int, bytes_per_s: float, *, reads_text: bool) -> None:
    """Print what the gateway takes beside the bytes alone."""
    series = phantom_series_of(slices)
    whole: list[float] = []
    checks: list[float] = []
    bare: list[float] = []
    sizes: list[int] = []
    with (
        Bench(folder / "fast", bytes_per_s, QUIET_S, reads_text=reads_text) as bench,
        sink() as swallowing,
        Bottleneck(swallowing, bytes_per_s) as way,
    ):
        for run in range(runs + 1):
            write(series, folder / "series")
            began = time.time()
            send(folder / "series", bench.gateway.port, "CONTOURGATE")
            checked, committed = bench.committed(run + 1)
            shutil.rmtree(folder / "series")
            size = bench.proxy.upstream_bytes(began)
            took = alone(size, way.port)
            if run:  # the first one warms up; in it the rate of the uplink is not known yet
                whole.append(committed - began)
                checks.append(checked - began)
                bare.append(took)
                sizes.append(size)
    ratio = statistics.median(one / other for one, other in zip(whole, bare, strict=True))
    print(f"{slices} phantom slices of 512 x 512 x 16 bit, medians of {runs} runs")
    print(f"  up                             {statistics.median(sizes) / 2**20:7.1f} MiB")
    print(f"  these bytes alone              {statistics.median(bare):7.2f} s")
    print(f"  storescu's start to the commit {statistics.median(whole):7.2f} s")
    print(
        f"  ratio                          {ratio:7.2f}   {'within' if ratio <= WITHIN else 'OVER'} {WITHIN}"
    )


def slow_sender(folder: Path, slices: int, runs: int, bytes_per_s: float, *, reads_text: bool) -> None:
    """Print when the last byte is up after the last response."""
    lags: list[float] = []
    with Bench(folder / "slow", bytes_per_s, SLOW_QUIET_S, reads_text=reads_text) as bench:
        for run in range(runs + 1):
            series = phantom_series_of(slices)
            write(series, folder / "series")
            shutil.rmtree(folder / "series")
            messages = [
                store_message(
                    encoded(dataset), number, sop_instance=dataset.SOPInstanceUID, fragment_bytes=131066
                )
                for number, dataset in enumerate(series)
            ]
            every_s = len(messages[0]) / 2.5 / (SHARE * bytes_per_s)
            with socket.create_connection(("127.0.0.1", bench.gateway.port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(
                    associate_rq([(1, CT, (EXPLICIT_LE,))], called="CONTOURGATE", calling="PACS")
                )
                read_pdu(connection)
                for message in messages:
                    due = time.monotonic() + every_s
                    connection.sendall(message)
                    if read_response(read_pdu(connection)).Status != 0:
                        raise RuntimeError("an instance was refused")
                    last = time.time()
                    time.sleep(max(0.0, due - time.monotonic()))
                connection.sendall(RELEASE_RQ)
                read_pdu(connection)
            bench.committed(run + 1)
            up = max(at for at, _ in bench.proxy.passed if at < last + 0.8 * SLOW_QUIET_S)
            if run:
                lags.append(up - last)
    median = statistics.median(lags)
    print(f"{slices} slices, one every {1e3 * every_s:.0f} ms, which fills {SHARE:.0%} of the uplink")
    print(
        f"  last response to last byte up  {median:7.3f} s (most {max(lags):.3f}) "
        f"  {'within' if median <= WITHIN_S else 'OVER'} {WITHIN_S} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--slow-slices", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--megabits", type=float, default=50)
    parser.add_argument("--read-text", action="store_true")
    options = parser.parse_args()
    bytes_per_s = options.megabits * 1e6 / 8
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="bench-"))
    print(f"uplink {options.megabits:g} Mbit/s, shaped")
    try:
        fast_sender(folder, options.slices, options.runs, bytes_per_s, reads_text=options.read_text)
        slow_sender(folder, options.slow_slices, options.runs, bytes_per_s, reads_text=options.read_text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
