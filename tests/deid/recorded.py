"""A whole gateway, and everything that leaves it, that it tells and that it leaves behind.

Between the gateway and the contourer stands a relay with the contourer's keys: what it records is opened again, so that
the exact bytes are searched that were sealed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cloud.envelope import EnvelopeError, Manifest
from gateway.cloud.payload import SlicePayload, unpack
from tests import wire
from tests.contourer_stand import CLIENT, KEYS, contourer
from tests.relay import Asked, Relay, relay
from tests.running import Gateway, Storescp

__all__ = ["PATIENCE_S", "Recorded", "recorded", "stored"]

PATIENCE_S = 300
"""How long a gateway may take for a start or a passage: on an idle machine it is seconds."""


@dataclass
class Recorded:
    """A gateway under observation."""

    folder: Path
    gateway: Gateway
    tps: Storescp
    between: Relay

    def left(self) -> bytes:
        """What left for the contourer: addresses, headers, bodies, manifests, and the slices as they were sealed."""
        requests = (
            f"{asked.method} {asked.path} {asked.query} {asked.headers}\n".encode() + asked.body
            for asked in self.between.asked
        )
        return b"\n".join([*requests, *self.slices()])

    def slices(self) -> Iterator[bytes]:
        """Every slice whose key was released, as it was sealed and as the contourer has it."""
        for asked in self.between.asked:
            if asked.path.endswith("/commit"):
                yield from _opened(asked, self.between.asked)

    def told(self) -> bytes:
        """What it tells people and machines: the log, metrics, every page and interface of the console."""
        passages = [passage["id"] for passage in self.gateway.passages()]
        paths = ["/", "/metrics", "/api/status", "/api/passages", "/health/live"]
        paths += [f"/passages/{id_}{page}" for id_ in passages for page in ("", "/pictures")]
        paths += [f"/api/passages/{id_}" for id_ in passages]
        pages = [self.gateway.get(path) for path in paths]
        with urllib.request.urlopen(f"http://127.0.0.1:{self.gateway.web}/events", timeout=10) as events:
            pages.append(events.read1(1 << 20))
        return b"\n".join([self.gateway.log.read_bytes(), *pages])

    def left_behind(self) -> bytes:
        """What is on the disk: journal, ledger, whatever else the state folder has, temporary files and cores."""
        found = [
            path.name.encode() + b"\n" + path.read_bytes()
            for folder in ("var", "tmp", "cwd")
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file()
        ]
        return b"\n".join(found)


def _opened(commit: Asked, asked: Sequence[Asked]) -> Iterator[bytes]:
    told = json.loads(commit.body)
    manifest = Manifest.from_bytes(told["manifest"].encode())
    key = KEYS.recipient.open_content_key(base64.b64decode(told["sealed_key"]), manifest)
    for one in asked:
        if f"/{manifest.passage_id}/parts/" in one.path:
            with contextlib.suppress(EnvelopeError):  # of an earlier key of the passage
                sealed = key.open(int(one.path.rsplit("/", 1)[1]), one.body)
                yield sealed + unpack(SlicePayload.from_bytes(sealed), 2**24).part10()


@contextlib.asynccontextmanager
async def recorded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any] | None = None
) -> AsyncIterator[Recorded]:
    """A gateway at its most verbose, its TPS, and a contourer of ours behind a recording relay."""
    for name in ("tmp", "cwd"):
        (folder / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.chdir(folder / "cwd")
    (folder / "identity.json").write_text(KEYS.public.model_dump_json())
    (folder / "client.pem").write_bytes(CLIENT.certificate)
    (folder / "client.key").write_bytes(CLIENT.key)
    (folder / "client.key").chmod(0o600)
    async with (
        contourer(models=("default",), engine="gateway.contourer.engine") as stand,
        relay(stand) as between,
    ):
        settings = {
            "kind": "sealed",
            "url": between.endpoint.url,
            "identity_file": str(folder / "identity.json"),
            "client_certificate_file": str(folder / "client.pem"),
            "client_key_file": str(folder / "client.key"),
        }
        gateway = Gateway(folder, {"contourer": settings, "log": {"level": "DEBUG"}, **(changes or {})})
        tps = Storescp(folder / "tps", gateway.tps, "--unique-filenames")
        try:
            await asyncio.to_thread(gateway.start, PATIENCE_S)
            yield Recorded(folder, gateway, tps, between)
        finally:
            await asyncio.to_thread(gateway.stop)
            tps.stop()


def stored(port: int, datasets: Sequence[tuple[bytes, str]], calling: str = "PACS") -> list[int]:
    """Store encoded datasets as they are, whatever is wrong with them.

    Parameters
    ----------
    port : int
    datasets : sequence of (bytes, str)
        Explicit VR little endian, and the SOP instance UID of the command.

    Returns
    -------
    list of int
        The status of each.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(wire.associate_rq(called="CONTOURGATE", calling=calling))
        assert _pdu(connection)[0] == 2
        statuses = []
        for number, (data, uid) in enumerate(datasets, 1):
            connection.sendall(wire.store_message(data, number, sop_instance=uid))
            statuses.append(int(wire.read_response(_pdu(connection)).Status))
        connection.sendall(wire.RELEASE_RQ)
        assert _pdu(connection) == wire.RELEASE_RP
    return statuses


def _pdu(connection: socket.socket) -> bytes:
    head = _exactly(connection, 6)
    return head + _exactly(connection, int.from_bytes(head[2:], "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        received = connection.recv(count - len(data))
        if not received:
            raise EOFError("the gateway closed the connection")
        data += received
    return data
