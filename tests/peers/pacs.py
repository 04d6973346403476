"""Two PACS that we did not write: dcmtk's dcmqrscp and Orthanc, both with C-FIND, C-MOVE and C-GET."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests import made
from tests.running import answers, free_ports, until


class Pacs(Protocol):
    """A PACS of the AE title PACS that sends to the gateway."""

    port: int

    def stop(self) -> None: ...

    def start(self) -> None: ...


class Dcmqrscp:
    """dcmtk's image archive on a folder of its own."""

    def __init__(self, folder: Path, port: int, gateway_port: int) -> None:
        self.folder, self.port = folder, port
        (folder / "store").mkdir(parents=True)
        self.configuration = folder / "dcmqrscp.cfg"
        self.configuration.write_text(
            f"""NetworkTCPPort = {port}
MaxPDUSize = 131072
MaxAssociations = 16
HostTable BEGIN
gateway = (CONTOURGATE, 127.0.0.1, {gateway_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
PACS {folder / "store"} RW (200, 1024mb) ANY
AETable END
"""
        )

    def fill(self, files: Sequence[Path]) -> None:
        """Index some files as if they had been stored."""
        for path in files:
            (self.folder / "store" / path.name).write_bytes(path.read_bytes())
        names = [str(path) for path in sorted((self.folder / "store").glob("*.dcm"))]
        subprocess.run(["dcmqridx", str(self.folder / "store"), *names], check=True, capture_output=True)

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["dcmqrscp", "-c", str(self.configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: answers(self.port), 10, "dcmqrscp")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Orthanc:
    """One Orthanc, its database on a folder of its own; it knows the gateway as `gateway`."""

    def __init__(
        self, folder: Path, port: int, gateway_port: int, ae_title: str = "PACS", **settings: Any
    ) -> None:
        folder.mkdir()
        self.folder, self.port = folder, port
        (self.web,) = free_ports(1)
        configuration = {
            "Name": ae_title,
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": self.web,
            "DicomPort": port,
            "DicomAet": ae_title,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "DicomAlwaysAllowGet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "OverwriteInstances": True,
            "DicomModalities": {"gateway": ["CONTOURGATE", "127.0.0.1", gateway_port]},
            **settings,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["Orthanc", str(self.folder / "orthanc.json")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: answers(self.web), 30, "Orthanc")

    def fill(self, files: Sequence[Path]) -> None:
        for path in files:
            self.ask("/instances", path.read_bytes())

    def ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", body, timeout=60) as answer:
            return json.loads(answer.read())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def made_series(folder: Path, count: int = 6, *, side: int = 64, **details: Any) -> list[Path]:
    """A made series of today, as files."""
    from datetime import UTC, datetime

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        dataset = made.image(index, side=side, **details)
        dataset.StudyDate = f"{datetime.now(UTC):%Y%m%d}"
        path = folder / f"{details.get('study', 1)}-{details.get('series', 1)}-{index}.dcm"
        path.write_bytes(made.part10(dataset))
        paths.append(path)
    return paths


def sources(port: int, **query: Any) -> list[dict[str, Any]]:
    """The configuration of a source that can be asked."""
    return [
        {
            "ae_title": "PACS",
            "addresses": ["127.0.0.1"],
            "query": {"ae_title": "PACS", "host": "127.0.0.1", "port": port, **query},
        }
    ]


@contextlib.contextmanager
def running_pacs(pacs: Any) -> Iterator[Any]:
    """Started, and stopped at the end."""
    pacs.start()
    try:
        yield pacs
    finally:
        pacs.stop()
