"""Orthanc as the PACS that stores to us, and Orthanc as the TPS that gets the structure set."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.running import Gateway, answers, free_ports, until

pytestmark = pytest.mark.peer("Orthanc")


class Orthanc:
    """One Orthanc with a folder of its own; it knows the gateway as `gateway`."""

    def __init__(self, folder: Path, ae_title: str, port: int, gateway_port: int) -> None:
        folder.mkdir()
        (self.web,) = free_ports(1)
        configuration = {
            "Name": ae_title,
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": self.web,
            "DicomPort": port,
            "DicomAet": ae_title,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowFind": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {"gateway": ["CONTOURGATE", "127.0.0.1", gateway_port]},
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self.process = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: answers(self.web), 30, "Orthanc")

    def ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", body, timeout=60) as answer:
            return json.loads(answer.read())

    def file(self, instance: str) -> bytes:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.web}/instances/{instance}/file", timeout=60
        ) as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[Orthanc, Gateway, Orthanc]]:
    pacs_port, tps_port = free_ports(2)
    gateway = Gateway(tmp_path, tps=tps_port)
    with contextlib.ExitStack() as stack:
        tps = Orthanc(tmp_path / "tps", "TPS", tps_port, gateway.port)
        stack.callback(tps.stop)
        pacs = Orthanc(tmp_path / "pacs", "PACS", pacs_port, gateway.port)
        stack.callback(pacs.stop)
        gateway.start()
        stack.callback(gateway.stop)
        yield pacs, gateway, tps


def test_orthanc_sends_a_study_and_orthanc_gets_the_structure_set(
    chain: tuple[Orthanc, Gateway, Orthanc], data: Path
) -> None:
    pacs, gateway, tps = chain
    source = None
    for path in sorted((data / "samples" / "rt_pairs" / "ibsi_pat_2").iterdir()):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "CT":
            source = dataset
            pacs.ask("/instances", path.read_bytes())
    assert source is not None
    (study,) = pacs.ask("/studies")
    pacs.ask("/modalities/gateway/store", json.dumps(study).encode())
    (passage,) = gateway.until_state("delivered", "held", "failed")
    assert passage["state"] == "delivered", passage
    (instance,) = tps.ask("/instances")
    structure_set = pydicom.dcmread(pydicom.filebase.DicomBytesIO(tps.file(instance)))
    assert structure_set.Modality == "RTSTRUCT"
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate"):
        assert structure_set[keyword].value == source[keyword].value, keyword
