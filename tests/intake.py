"""An acceptor with a recording service, and senders to set at it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from gateway.config import Config
from gateway.dicom.acceptor import Acceptor, SecurityAlert, StoreRequest
from gateway.metrics import Metrics
from tests import wire


class RecordingService:
    """A storage service that keeps what it gets."""

    def __init__(self) -> None:
        self.requests: list[StoreRequest] = []
        self.ended: list[tuple[int, bool]] = []
        self.keeps = True
        self.told = asyncio.Event()
        """Set by every call."""

    async def store(self, request: StoreRequest) -> int:
        if self.keeps:
            self.requests.append(request)
        self.told.set()
        return 0

    def association_ended(self, association: int, calling_ae_title: str, *, released: bool) -> None:
        self.ended.append((association, released))
        self.told.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a call after which the condition holds."""
        async with asyncio.timeout(10):
            while not condition():
                self.told.clear()
                await self.told.wait()


class Intake:
    """A running acceptor.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.service = RecordingService()
        self.metrics = Metrics()
        self.alerts: list[SecurityAlert] = []
        self.acceptor = Acceptor(config, self.service, self.metrics, self.alerts.append)

    async def __aenter__(self) -> Self:
        await self.acceptor.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.acceptor.stop(0)
        assert len(self.service.ended) == len({number for number, _ in self.service.ended})

    def count(self, name: str, *labels: str) -> float:
        """A counter's value."""
        return float(getattr(self.metrics, name).labels(*labels)._value.get())

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self.acceptor._all())


class Peer:
    """A requestor on a real socket that sends whatever it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def pdu(self) -> bytes:
        """The next PDU."""
        header = await self.reader.readexactly(6)
        return header + await self.reader.readexactly(int.from_bytes(header[2:], "big"))

    async def rest(self, within_s: float = 4) -> bytes:
        """Everything up to the end of the connection, which must come in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read()
        except TimeoutError:
            raise AssertionError("the connection is still open") from None
        except ConnectionError:
            return b""

    async def associate(self, **request: object) -> Peer:
        """Associate and expect to be accepted."""
        await self.send(wire.associate_rq(**request))  # type: ignore[arg-type]
        assert (await self.pdu())[0] == 2
        return self

    async def store(self, dataset: bytes, message_id: int = 1, sop_instance: str = wire.SOP_INSTANCE) -> int:
        """Store and return the status."""
        await self.send(wire.store_message(dataset, message_id, sop_instance=sop_instance))
        return int(wire.read_response(await self.pdu()).Status)

    def reset(self) -> None:
        """Vanish with a TCP reset."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(
    port: int, *, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    """A peer connected from an address of loopback."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(address, 0), ssl=tls, server_hostname="gateway" if tls else None
    )
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


class SteadySender:
    """A valid sender at work, which must not notice what happens beside it.

    It keeps one association open over which it stores all the time, and opens another one now and then.

    Parameters
    ----------
    port : int
    tls : ssl.SSLContext, optional
    slowest_s : float
        How long an answer may take.
    dataset, sop_instance : bytes, str
        What it stores.
    calling, called : str
        AE titles.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        slowest_s: float = 1.0,
        dataset: bytes = b"",
        sop_instance: str = wire.SOP_INSTANCE,
        calling: str = "STORESCU",
        called: str = "GATEWAY",
    ) -> None:
        self._titles = {"calling": calling, "called": called}
        self._port, self._tls, self._slowest_s = port, tls, slowest_s
        self._dataset, self._sop_instance = dataset or _DATASET, sop_instance
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._progress = asyncio.Event()
        self.stored = 0

    async def __aenter__(self) -> SteadySender:
        self._task = asyncio.create_task(self._work())
        self._task.add_done_callback(lambda task: self._progress.set())
        await self._stores(1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        await self._stores(5)  # also after what happened beside it
        self._stopped = True
        await self._task

    async def _stores(self, more: int) -> None:
        goal = self.stored + more
        while self.stored < goal and not self._task_is_done:
            self._progress.clear()
            await self._progress.wait()

    @property
    def _task_is_done(self) -> bool:
        return self._task is not None and self._task.done()

    async def _work(self) -> None:
        async with connected(self._port, tls=self._tls) as peer:
            await peer.associate(**self._titles)
            while not self._stopped:
                await self._store(peer)
                if self.stored % 20 == 0:
                    async with connected(self._port, tls=self._tls) as another:
                        await another.associate(**self._titles)
                        await self._store(another)
                        await another.send(wire.RELEASE_RQ)
                        assert await another.pdu() == wire.RELEASE_RP
                await asyncio.sleep(0.01)
            await peer.send(wire.RELEASE_RQ)
            assert await peer.pdu() == wire.RELEASE_RP

    async def _store(self, peer: Peer) -> None:
        began = time.monotonic()
        assert await peer.store(self._dataset, self.stored % 60000, self._sop_instance) == 0
        assert time.monotonic() - began < self._slowest_s
        self.stored += 1
        self._progress.set()


_DATASET = wire.made_dataset(30_000)
