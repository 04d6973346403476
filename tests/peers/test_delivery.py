"""Delivery to programs that nobody here wrote: dcmtk, Orthanc; and what validators say of what is delivered (R6)."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from gateway.config import TLS, Destination
from gateway.dicom.find import Finder
from gateway.dicom.part10 import Part10
from gateway.dicom.scu import Scu
from gateway.dicom.store_status import Verdict
from gateway.dicom.tls import client_context
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.restore import restore
from gateway.flow.store import Deliveries, Patience
from gateway.metrics import Metrics
from tests import toy
from tests.pki import Authority
from tests.toy import Toy


def restored(passage: Toy | None = None, *, seed: bytes = bytes(32)) -> bytes:
    passage = passage or Toy(6)
    return restore(
        inspect(toy.part10(passage.structure_set()), passage.expectation),
        passage.identity,
        OutputProfile("tps"),
        originals=passage.originals,
        seed=seed,
        model="ct-v1",
        at=datetime(2024, 3, 1, 9, 30, tzinfo=UTC),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    """A program that listens; ended with the block."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail(f"{command[0]} does not listen")
        yield
    finally:
        process.terminate()
        process.wait(10)


def tps(port: int, **keys: object) -> Destination:
    return Destination(**{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": port, **keys})


def lines(scu: Scu, *destinations: Destination) -> Deliveries:
    patience = Patience(first_s=0.1, longest_s=0.5, confirm_s=5)
    return Deliveries(destinations, scu, Finder(scu), Metrics(), patience=patience)


@pytest.mark.peer("storescp")
@pytest.mark.parametrize("accepted", ["+xa", "+xi", "+xe"])
async def test_storescp_gets_it_in_the_transfer_syntax_that_it_takes(tmp_path: Path, accepted: str) -> None:
    port, stream = free_port(), restored()
    scu = Scu("CONTOURGATE")
    with running(["storescp", "-aet", "TPS", accepted, "-od", str(tmp_path), str(port)], port):
        await scu.echo(tps(port))
        assert await scu.store(tps(port), [stream, restored(seed=b"2")]) == [0, 0]
        done = await lines(scu, tps(port)).deliver("p", "tps", stream)
    await scu.close()
    assert not done.is_confirmed  # it takes no queries
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    part = Part10.of(stream)
    [mine] = [file for file in files if part.sop_instance_uid in file.name]
    stored, sent = dcmread(mine), dcmread(io.BytesIO(stream))
    assert stored == sent
    if accepted != "+xi":
        assert bytes(Part10.of(mine.read_bytes()).dataset) == bytes(part.dataset)


@pytest.mark.peer("storescp")
async def test_storescp_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("GATEWAY")
    authority.issue("TPS")
    folder, port = tmp_path / "stored", free_port()
    folder.mkdir()
    files = [str(authority.folder / name) for name in ("TPS.key", "TPS.pem")]
    ours = TLS(
        certificate_file=authority.folder / "GATEWAY.pem",
        key_file=authority.folder / "GATEWAY.key",
        ca_file=authority.ca_file,
    )
    command = ["storescp", "+tls", *files, "+cf", str(authority.ca_file), "-od", str(folder), str(port)]
    scu = Scu("CONTOURGATE", tls=client_context(ours))
    with running(command, port):
        done = await lines(scu, tps(port, tls=True)).deliver("p", "tps", restored())
    await scu.close()
    assert done.verdict is Verdict.DELIVERED
    assert len(list(folder.iterdir())) == 1


@contextmanager
def orthanc(folder: Path) -> Iterator[tuple[int, int]]:
    """An empty Orthanc: its DICOM and its HTTP port."""
    port, http = free_port(), free_port()
    configuration = {
        "DicomAet": "TPS",
        "DicomPort": port,
        "HttpPort": http,
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    with running(["Orthanc", str(file)], port):
        yield port, http


def asked(http: int, path: str) -> object:
    with urllib.request.urlopen(f"http://127.0.0.1:{http}{path}", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.peer("Orthanc")
async def test_orthanc_has_it_once_and_says_so(tmp_path: Path) -> None:
    scu = Scu("CONTOURGATE")
    with orthanc(tmp_path) as (port, http):
        deliveries = lines(scu, tps(port))
        for _ in range(2):
            done = await deliveries.deliver("p", "tps", restored())
            assert done.is_confirmed
        unknown = Part10.of(restored(seed=b"never sent"))
        assert await Finder(scu).has(tps(port), unknown) is False
        [instance] = asked(http, "/instances")
        tags = asked(http, f"/instances/{instance}/simplified-tags")
        assert isinstance(tags, dict)
        assert (tags["PatientName"], tags["PatientID"]) == ("Müller^Zoë", "4711")
        assert tags["StudyInstanceUID"] == toy.STUDY
        assert tags["ApprovalStatus"] == "UNAPPROVED"
    await scu.close()


@pytest.mark.peer("Orthanc")
async def test_orthanc_comes_up_late_and_gets_it_all_the_same(tmp_path: Path) -> None:
    scu = Scu("CONTOURGATE")
    port = free_port()
    deliveries = lines(scu, tps(port))
    waiting = asyncio.create_task(deliveries.deliver("p", "tps", restored()))
    await asyncio.sleep(0.5)
    with orthanc(tmp_path) as (moved, _):
        deliveries.update([tps(moved)])
        async with asyncio.timeout(10):
            assert (await waiting).is_confirmed
    await scu.close()


@pytest.mark.peer("dcmqrscp")
async def test_dcmqrscp_has_it_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "db").mkdir()
    configuration = tmp_path / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nTPS {tmp_path / 'db'} RW (200, 1024mb) ANY\nAETable END\n"
    )
    scu = Scu("CONTOURGATE")
    with running(["dcmqrscp", "-c", str(configuration), str(port)], port):
        done = await lines(scu, tps(port)).deliver("p", "tps", restored())
        assert done.is_confirmed
        assert await Finder(scu).has(tps(port), Part10.of(restored(seed=b"never sent"))) is False
    await scu.close()


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("kind", ["toy", "bare", "odd names", "implicit"])
def test_the_validator_finds_no_error(tmp_path: Path, kind: str) -> None:
    passages = {
        "toy": Toy(6),
        "bare": Toy(
            images=[
                toy.image(
                    index,
                    **dict.fromkeys(["StudyDate", "StudyTime", "StudyID", "ReferringPhysicianName"], ""),
                )
                for index in range(3)
            ]
        ),
        "odd names": Toy(3),
        "implicit": Toy(1),
    }
    passage = passages[kind]
    contours = [toy.circle(0, points=4000)] if kind == "implicit" else None
    names = ["Leber rechts größer", "LEBER RECHTS GRÖSSER", ""] if kind == "odd names" else ["Liver"]
    stream = restore(
        inspect(toy.part10(passage.structure_set(names, contours), implicit=True), passage.expectation),
        passage.identity,
        OutputProfile("tps"),
        originals=passage.originals,
        seed=bytes(32),
        model="ct-v1",
        at=datetime(2024, 3, 1, 9, 30, tzinfo=UTC),
    )
    assert errors(tmp_path, stream) == []
    broken = stream.replace(b"CLOSED_PLANAR ", b"CLOSED-PLANAR!")
    assert errors(tmp_path, broken), "the validator must see a broken one"


def errors(folder: Path, stream: bytes) -> list[str]:
    file = folder / "structure_set.dcm"
    file.write_bytes(stream)
    said = subprocess.run(
        ["dciodvfy", str(file)], capture_output=True, text=True, errors="replace", check=False
    )
    return [line for line in (said.stdout + said.stderr).splitlines() if line.startswith(("Error", "Abort"))]
