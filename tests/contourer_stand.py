"""A contourer for tests: the real service on loopback with the fake engine, and slices to send to it."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gateway.cloud.contourer import Order
from gateway.cloud.payload import Codec, DeidentifiedSlice, SlicePayload, pack
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.tls import Certificate
from gateway.cloud.transport import Endpoint, Patience
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.service import Service, Settings
from gateway.dicom.encode import element, item_sequence
from gateway.metrics import Metrics

CT = "1.2.840.10008.5.1.4.1.1.2"
PASSAGE = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
FAKE_ENGINE = str(Path(__file__).with_name("fake_engine.py"))
QUICK = Patience(connect_s=1, request_s=2, silence_s=2, first_pause_s=0.02, longest_pause_s=0.2, give_up_s=4)


def uid(number: int) -> str:
    """A pseudonymous UID: 2.25 and a UUID of version 8."""
    bits = int.from_bytes(hashlib.sha256(number.to_bytes(4, "big")).digest()[:16], "big")
    return f"2.25.{bits & ~((0xF << 76) | (0x3 << 62)) | (0x8 << 76) | (0x2 << 62)}"


METHOD = item_sequence(
    0x00120064,
    [
        element(0x00080100, b"SH", b"113100")
        + element(0x00080102, b"SH", b"DCM")
        + element(0x00080104, b"LO", b"Basic Application Confidentiality Profile")
    ],
)


def made_header(index: int = 0, changes: Mapping[int, bytes] | None = None) -> bytes:
    """The header of a de-identified CT slice; `changes` replaces or adds whole elements by tag, empty removes."""
    elements = {
        0x00080008: element(0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
        0x00080016: element(0x00080016, b"UI", CT.encode()),
        0x00080018: element(0x00080018, b"UI", uid(100 + index).encode()),
        0x00080020: element(0x00080020, b"DA"),
        0x00080060: element(0x00080060, b"CS", b"CT"),
        0x00100010: element(0x00100010, b"PN", b"P-7K3M9QXD"),
        0x00100020: element(0x00100020, b"LO", b"P-7K3M9QXD"),
        0x00120062: element(0x00120062, b"CS", b"YES"),
        0x00120064: METHOD,
        0x00180050: element(0x00180050, b"DS", b"3"),
        0x0020000D: element(0x0020000D, b"UI", uid(1).encode()),
        0x0020000E: element(0x0020000E, b"UI", uid(2).encode()),
        0x00200032: element(0x00200032, b"DS", f"-8\\-8\\{3 * index}".encode()),
        0x00200052: element(0x00200052, b"UI", uid(3).encode()),
        0x00280010: element(0x00280010, b"US", b"\x10\0"),
        0x00280011: element(0x00280011, b"US", b"\x10\0"),
        **(changes or {}),
    }
    return b"".join(elements[tag] for tag in sorted(elements))


def made_slice(
    index: int = 0, side: int = 16, changes: Mapping[int, bytes] | None = None
) -> DeidentifiedSlice:
    """A de-identified slice with a little structure in it."""
    words = np.random.default_rng(index).integers(-20, 20, (side, side)).cumsum(axis=1).astype("<i2")
    return DeidentifiedSlice(
        CT, uid(100 + index), made_header(index, changes), words.tobytes(), side, side, 16, 16, True
    )


def made_payload(index: int = 0, side: int = 16, changes: Mapping[int, bytes] | None = None) -> SlicePayload:
    """The same, packed."""
    return pack(made_slice(index, side, changes), Codec.JPEGXL)


def expected_result(count: int, side: int = 16) -> bytes:
    """What the fake engine answers for the first `count` made slices."""
    digests = (hashlib.sha256(made_slice(index, side).part10()).digest() for index in range(count))
    return b"RTSTRUCT" + b"".join(digests)


def order(passage_id: str = PASSAGE, model: str = "echo") -> Order:
    return Order(passage_id, model, "contouring-ct")


def reply_seed(passage_id: str) -> bytes:
    """96 bytes that depend on the passage only, as the vault's do."""
    return b"".join(hashlib.sha256(f"{passage_id} {part}".encode()).digest() for part in range(3))


@dataclass
class Stand:
    """A contourer, and the gateway's way to it."""

    keys: ContourerKeys
    endpoint: Endpoint
    settings: Settings
    port: int
    records: list[dict[str, object]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    @contextlib.asynccontextmanager
    async def gateway(self, **changes: object) -> AsyncIterator[SealedContourer]:
        """A client; `changes` are fields of the endpoint, or `patience`."""
        patience = changes.pop("patience", QUICK)
        client = SealedContourer(
            replace(self.endpoint, **changes), reply_seed, self.metrics, patience=patience
        )
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    def events(self, name: str) -> list[dict[str, object]]:
        return [record for record in self.records if record["event"] == name]

    def failures(self) -> dict[str, float]:
        """How many requests failed, by code."""
        (metric,) = self.metrics.contourer_errors_total.collect()
        return {
            sample.labels["code"]: sample.value for sample in metric.samples if sample.name.endswith("_total")
        }


@contextlib.asynccontextmanager
async def contourer(
    keys: ContourerKeys | None = None, port: int = 0, *, is_mutual: bool = True, **settings: object
) -> AsyncIterator[Stand]:
    """A contourer on a free port; two with the same keys and port are one that restarted."""
    keys = keys or KEYS
    listening = socket.create_server(("127.0.0.1", port))
    usual = {"engine": FAKE_ENGINE, "clients": (CLIENT.certificate,) if is_mutual else ()}
    chosen = Settings(**(usual | settings))
    port = listening.getsockname()[1]
    endpoint = Endpoint(f"https://127.0.0.1:{port}", keys.public, CLIENT if is_mutual else None)
    stand = Stand(keys, endpoint, chosen, port)
    async with Service(keys, chosen, listening, stand.records.append):
        yield stand


KEYS = ContourerKeys.generate("DE")
CLIENT = Certificate.self_signed("clinic")
