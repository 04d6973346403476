"""A TCP proxy that spoils a connection the way networks do.

Put it between two programs, then set a toxic: latency, bandwidth, reset, black hole, corruption, half-open. Without
one it only passes on, and records what went by.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Toxics:
    """What the proxy does to new and to open connections; change it at any time."""

    latency_s: float = 0.0
    """Before each chunk, in both directions."""
    bytes_per_s: float | None = None
    """In each direction of each connection."""
    reset_after: int | None = None
    """Upstream bytes of a connection after which it is reset (RST) at both ends."""
    black_hole: bool = False
    """Accept and swallow: nothing is passed on, nothing is closed. A connection that lost bytes so stays dead, because
    TCP never goes on behind a gap."""
    corrupt_after: int | None = None
    """Flip a bit in the chunk that reaches this many bytes of a connection, once; see `corrupt_downstream`."""
    corrupt_downstream: bool = False
    """Whether the answers are corrupted instead of the requests."""
    refuse: bool = False
    """Close every new connection at once."""
    half_open: bool = False
    """The upstream end is closed, the client is not told: as after a firewall forgot the connection."""
    times: int | None = None
    """How often `reset_after` and `corrupt_after` still apply; nothing: always."""

    def spend(self) -> bool:
        """Whether a limited toxic applies once more."""
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass(slots=True)
class ToxicProxy:
    """A listening proxy."""

    host: str
    port: int
    toxics: Toxics = field(default_factory=Toxics)
    connections: int = 0
    upstream: bytearray = field(default_factory=bytearray)
    """Every byte that clients sent, in order of arrival."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Reset every open connection now."""
        for writer in list(self._writers):
            _reset(writer)


@contextlib.asynccontextmanager
async def toxic_proxy(host: str, port: int) -> AsyncIterator[ToxicProxy]:
    """A proxy on a free loopback port in front of `host:port`."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        proxy.connections += 1
        proxy._writers.add(writer)
        try:
            # asyncio of this version logs a connection's task that was cancelled as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await _relay(proxy, reader, writer, host, port)
        finally:
            proxy._writers.discard(writer)
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    proxy = ToxicProxy(address[0], address[1])
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _relay(
    proxy: ToxicProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    if proxy.toxics.refuse:
        _reset(writer)
        return
    try:
        there_reader, there_writer = await asyncio.open_connection(host, port)
    except OSError:
        _reset(writer)
        return
    proxy._writers.add(there_writer)
    dead = asyncio.Event()
    try:
        await asyncio.gather(
            _pump(proxy, reader, there_writer, writer, dead, is_upstream=True),
            _pump(proxy, there_reader, writer, there_writer, dead, is_upstream=False),
        )
    except OSError:
        pass
    finally:
        proxy._writers.discard(there_writer)
        for end in (writer, there_writer):
            end.close()


async def _pump(
    proxy: ToxicProxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    back: asyncio.StreamWriter,
    dead: asyncio.Event,
    *,
    is_upstream: bool,
) -> None:
    """Pass on one direction until its end; `dead` is the connection's, both directions see it."""
    passed = 0
    while chunk := await reader.read(16 * 1024):
        toxics = proxy.toxics
        if is_upstream:
            proxy.upstream += chunk
        before, passed = passed, passed + len(chunk)
        if toxics.latency_s:
            await asyncio.sleep(toxics.latency_s)
        if toxics.bytes_per_s is not None:
            await asyncio.sleep(len(chunk) / toxics.bytes_per_s)
        if proxy.toxics.black_hole:
            dead.set()
        elif toxics.half_open and is_upstream and not dead.is_set():
            dead.set()
            writer.transport.abort()
        if dead.is_set():
            continue
        limit = toxics.reset_after
        if is_upstream and limit is not None and passed >= limit and toxics.spend():
            _reset(writer)
            _reset(back)
            return
        limit = toxics.corrupt_after
        hits = limit is not None and before < limit <= passed
        if hits and is_upstream is not toxics.corrupt_downstream and toxics.spend():
            spoiled = bytearray(chunk)
            spoiled[len(spoiled) // 2] ^= 0x10
            chunk = bytes(spoiled)
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof() and not dead.is_set():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
