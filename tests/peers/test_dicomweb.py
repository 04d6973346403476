"""The DICOMweb client against Orthanc with its DICOMweb plugin."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from gateway.cloud import multipart
from gateway.cloud.dicomweb import DicomwebContourer, DicomwebExchange
from gateway.config import DicomwebContourer as Settings
from gateway.errors import ConfigError, ContourerRefused, ContourerUnavailable
from gateway.metrics import Metrics
from tests.contourer_stand import PASSAGE, QUICK, made_payload, made_slice, order, uid

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
pytestmark = [
    pytest.mark.peer("Orthanc"),
    pytest.mark.skipif(not PLUGIN.exists(), reason="Orthanc's DICOMweb plugin is not installed"),
]
STUDY, SERIES = uid(1), uid(2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an Orthanc that asks for a password."""
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    configuration = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"contourgate": "secret"},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration))
    process = subprocess.Popen(["Orthanc", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(url + "/system")
            except urllib.error.HTTPError:
                break  # it asks for the password: it is up
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


@contextlib.asynccontextmanager
async def client(
    url: str, folder: Path, *, password: str = "secret", orthanc: bool = True
) -> AsyncIterator[DicomwebContourer]:
    secret = folder / "password"
    secret.write_text(password + "\n")
    settings = Settings(
        kind="dicomweb",
        url=url + "/dicom-web",
        username="contourgate",
        password_file=secret,
        poll_s=0.1,
        orthanc_url=url if orthanc else None,
    )
    contourer = DicomwebContourer(settings, Metrics(), replace(QUICK, request_s=10))
    await contourer.start()
    try:
        yield contourer
    finally:
        await contourer.close()


def structure_set(number: int, study: str, series: str) -> bytes:
    """What an engine behind the store would write: it refers to a series."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = RTStructureSetStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid(number)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, uid(number + 1)
    dataset.Modality, dataset.PatientID, dataset.PatientName = "RTSTRUCT", "P-7K3M9QXD", "P-7K3M9QXD"
    referenced = Dataset()
    referenced.SeriesInstanceUID = series
    dataset.ReferencedSeriesSequence = [referenced]
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


async def engine_writes(contourer: DicomwebContourer, part10: bytes) -> None:
    content_type, body = multipart.join([part10], "application/dicom")
    await contourer._transport.request("POST", "/studies", body=body, headers={"Content-Type": content_type})


async def instances_at(contourer: DicomwebContourer, series: str) -> int:
    answer = await contourer._transport.request(
        "GET", f"/studies/{STUDY}/series/{series}/instances", headers={"Accept": "application/dicom+json"}
    )
    return len(json.loads(answer.body or b"[]"))


async def stored(contourer: DicomwebContourer, count: int = 3) -> DicomwebExchange:
    exchange = await contourer.begin(order())
    for index in range(count):
        assert await exchange.add(index, made_payload(index)) == 0
    return exchange


async def test_a_series_is_stored_at_commit_and_its_structure_set_fetched(
    orthanc: str, tmp_path: Path
) -> None:
    async with client(orthanc, tmp_path) as contourer:
        assert (await contourer.describe())["region"] == ""
        exchange = await stored(contourer)
        await exchange.commit()
        await exchange.commit()
        assert await instances_at(contourer, SERIES) == 3
        waiting = asyncio.create_task(exchange.result())
        await engine_writes(contourer, structure_set(10, STUDY, uid(999)))
        await asyncio.sleep(0.3)
        assert not waiting.done(), "a structure set of another series was taken"
        await engine_writes(contourer, structure_set(20, STUDY, SERIES))
        result = await asyncio.wait_for(waiting, 10)
        assert result[128:132] == b"DICM"
        assert SERIES.encode() in result
        assert uid(20).encode() in result
        receipt = await exchange.delete()
        assert (receipt.passage_id, receipt.parts, receipt.signature) == (PASSAGE, 3, b"")
        assert await instances_at(contourer, SERIES) == 0
        assert await instances_at(contourer, uid(21)) == 0
        assert await instances_at(contourer, uid(11)) == 1, "what is not ours was deleted"


async def test_nothing_reaches_the_store_before_the_commit(orthanc: str, tmp_path: Path) -> None:
    async with client(orthanc, tmp_path) as contourer:
        exchange = await stored(contourer)
        exchange.seal()
        assert await instances_at(contourer, SERIES) == 0
        receipt = await exchange.delete()
        assert receipt.parts == 0


async def test_the_stored_instances_are_those_that_were_packed(orthanc: str, tmp_path: Path) -> None:
    async with client(orthanc, tmp_path) as contourer:
        exchange = await stored(contourer, count=1)
        await exchange.commit()
        back = await exchange._retrieved(SERIES, uid(100))
        assert made_slice(0).dataset() in back
        await exchange.delete()


async def test_storing_again_after_a_restart_is_no_error(orthanc: str, tmp_path: Path) -> None:
    async with client(orthanc, tmp_path) as contourer:
        for _ in range(2):
            exchange = await stored(contourer)
            await exchange.commit()
        await exchange.delete()
        with pytest.raises(ContourerRefused) as refused:
            await contourer.join(order(), exchange.seal())
        assert refused.value.code == "CONTOURER_LOST"


async def test_a_store_that_cannot_delete_gives_no_receipt(orthanc: str, tmp_path: Path) -> None:
    """Orthanc's plugin of this version has no DELETE under DICOMweb."""
    async with client(orthanc, tmp_path, orthanc=False) as contourer:
        exchange = await stored(contourer)
        await exchange.commit()
        with pytest.raises(ContourerRefused) as refused:
            await exchange.delete()
        assert refused.value.code == "RECEIPT_INVALID"
        assert await instances_at(contourer, SERIES) == 3
    async with client(orthanc, tmp_path) as contourer:
        exchange = await stored(contourer)
        await exchange.commit()
        await exchange.delete()


async def test_a_wrong_password_is_refused_without_another_try(orthanc: str, tmp_path: Path) -> None:
    async with client(orthanc, tmp_path, password="wrong") as contourer:
        with pytest.raises(ContourerRefused) as refused:
            await contourer.describe()
        assert refused.value.facts["status"] == 401


async def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with client(f"http://127.0.0.1:{free_port()}", tmp_path) as contourer:
        with pytest.raises(ContourerUnavailable):
            await contourer.describe()


def test_a_password_file_that_is_not_there_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    settings = Settings(
        kind="dicomweb", url="http://127.0.0.1:1", username="x", password_file=tmp_path / "absent"
    )
    with pytest.raises(ConfigError, match="password_file"):
        DicomwebContourer(settings, Metrics())
