"""Programs that we did not write, sending to the acceptor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from gateway.dicom.storage import StoreRequest
from gateway.dicom.tls import client_context
from tests import wire
from tests.intake import Intake, connected
from tests.pki import Authority

SLICES = 5


def write_slice(
    path: Path, number: int, rows: int = 64, transfer_syntax: UID = ExplicitVRLittleEndian
) -> Dataset:
    """Write a made CT slice and return it."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, f"{wire.SOP_INSTANCE}.{number}"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{wire.SOP_INSTANCE}.100", f"{wire.SOP_INSTANCE}.200"
    made.Modality, made.PatientID, made.PatientName, made.InstanceNumber = "CT", "MADE", "Made^Up", number
    made.StudyDate = made.StudyTime = made.AccessionNumber = made.StudyID = ""
    made.Rows = made.Columns = rows
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation, made.SamplesPerPixel = 15, 1, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    pixels = np.random.default_rng(number).integers(-1000, 3000, rows * rows, np.int16)
    made.PixelData = (pixels if transfer_syntax.is_little_endian else pixels.byteswap()).tobytes()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = transfer_syntax
    made.save_as(path, enforce_file_format=True)
    return made


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few made CT slices."""
    folder = tmp_path_factory.mktemp("series")
    for number in range(SLICES):
        write_slice(folder / f"{number}.dcm", number)
    return folder


@contextlib.asynccontextmanager
async def intake(**dicom: object) -> AsyncIterator[Intake]:
    port = wire.free_port()
    sources = [
        {"ae_title": title, "addresses": ["127.0.0.1"]} for title in ("STORESCU", "ORTHANC", "PYNETDICOM")
    ]
    async with Intake(
        wire.config(port, dicom={"ae_title": "GATEWAY", "port": port, **dicom}, sources=sources)
    ) as it:
        yield it


async def run(*command: str | Path, ok: bool | None = True) -> str:
    """Run a program to its end and return what it says."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TCP_NODELAY": "1"},
    )
    async with asyncio.timeout(60):
        said = (await process.communicate())[0].decode(errors="replace")
    assert ok is None or (process.returncode == 0) is ok, said
    return said


def read(request: StoreRequest) -> Dataset:
    """What pydicom reads from a received dataset."""
    syntax = UID(request.transfer_syntax_uid)
    return read_dataset(DicomBytesIO(bytes(request.dataset)), syntax.is_implicit_VR, syntax.is_little_endian)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def assert_all_arrived(scene: Intake, folder: Path) -> None:
    sent = {file.SOPInstanceUID: file for file in map(dcmread, files_of(folder))}
    assert {request.sop_instance_uid for request in scene.service.requests} == set(sent)
    assert len(scene.service.requests) == len(sent)
    for request in scene.service.requests:
        received = read(request)
        assert received == sent[request.sop_instance_uid]
        assert request.sop_class_uid == received.SOPClassUID
    assert all(released for _, released in scene.service.ended)


# -- C-ECHO


@pytest.mark.peer("echoscu")
async def test_echoscu_is_answered() -> None:
    async with intake() as scene:
        said = await run(
            "echoscu", "-v", "-aet", "STORESCU", "-aec", "GATEWAY", "127.0.0.1", str(scene.acceptor.port)
        )
        assert "Received Echo Response (Success)" in said


@pytest.mark.peer("gdcmscu")
async def test_gdcmscu_echoes() -> None:
    async with intake() as scene:
        port = str(scene.acceptor.port)
        # gdcmscu 3.0.21 crashes by itself once it has the A-RELEASE-RP, so its return code says nothing.
        await run(
            "gdcmscu", "--echo", "--aetitle", "STORESCU", "--call", "GATEWAY", "127.0.0.1", port, ok=None
        )
        assert scene.service.ended == [(1, True)]


# -- C-STORE


@pytest.mark.peer("storescu")
@pytest.mark.parametrize(
    "options", [[], ["-pdu", "4096"], ["-pdu", "131072"], ["-xi"], ["-xb"], ["-xv"], ["-R"]], ids=str
)
async def test_storescu_stores(series: Path, options: list[str]) -> None:
    async with intake() as scene:
        await run(
            "storescu", *options, "-aec", "GATEWAY", "+sd", "127.0.0.1", str(scene.acceptor.port), series
        )
        assert_all_arrived(scene, series)


@pytest.mark.peer("dcmsend")
async def test_dcmsend_stores(series: Path) -> None:
    async with intake() as scene:
        port = str(scene.acceptor.port)
        await run("dcmsend", "-aet", "STORESCU", "-aec", "GATEWAY", "+sd", "127.0.0.1", port, series)
        assert_all_arrived(scene, series)


@pytest.mark.peer("gdcmscu")
async def test_gdcmscu_stores(series: Path) -> None:
    async with intake() as scene:
        port = str(scene.acceptor.port)
        command = ["gdcmscu", "--store", "--aetitle", "STORESCU", "--call", "GATEWAY", "127.0.0.1", port]
        await run(*command, *files_of(series), ok=None)  # it crashes after the release
        assert_all_arrived(scene, series)


@pytest.mark.peer("Orthanc")
async def test_orthanc_echoes_and_stores(series: Path, tmp_path: Path) -> None:
    http = wire.free_port()
    async with intake() as scene:
        settings = {
            "Name": "made",
            "StorageDirectory": str(tmp_path / "storage"),
            "IndexDirectory": str(tmp_path / "storage"),
            "HttpPort": http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "DicomAet": "ORTHANC",
            "DicomModalities": {"gateway": ["GATEWAY", "127.0.0.1", scene.acceptor.port]},
            "Plugins": [],
        }
        (tmp_path / "orthanc.json").write_text(json.dumps(settings))
        process = await asyncio.create_subprocess_exec(
            "Orthanc",
            str(tmp_path / "orthanc.json"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{http}") as orthanc:
                await until_it_answers(orthanc)
                uploaded = []
                for file in files_of(series):
                    async with orthanc.post("/instances", data=file.read_bytes()) as answer:
                        uploaded.append((await answer.json())["ID"])
                async with orthanc.post("/modalities/gateway/echo", data="{}") as answer:
                    assert answer.status == 200
                async with orthanc.post("/modalities/gateway/store", data=json.dumps(uploaded)) as answer:
                    told = await answer.json()
            assert (told["InstancesCount"], told["FailedInstancesCount"]) == (SLICES, 0)
            assert len(scene.service.requests) == SLICES
            for request in scene.service.requests:
                number = int(request.sop_instance_uid.rsplit(".")[-1])
                assert read(request).PixelData == dcmread(series / f"{number}.dcm").PixelData
        finally:
            process.terminate()
            await process.wait()


async def until_it_answers(orthanc: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with orthanc.get("/system") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


# -- pynetdicom, with everything it can be told


def pynetdicom_session(
    port: int, *files: Path, contexts: list[object], **options: object
) -> dict[str, object]:
    """Associate, store each file, release; blocking."""
    ae = AE("PYNETDICOM")
    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title="GATEWAY",
        contexts=contexts,
        **options,  # type: ignore[arg-type]
    )
    assert association.is_established
    try:
        statuses = [association.send_c_store(str(file)) for file in files]
        echo = None
        if any(context.abstract_syntax == Verification for context in association.accepted_contexts):
            echo = association.send_c_echo().Status
        return {
            "statuses": [status.Status for status in statuses],
            "comments": [status.get("ErrorComment", "") for status in statuses],
            "echo": echo,
            "accepted": {cx.abstract_syntax: cx.transfer_syntax[0] for cx in association.accepted_contexts},
            "rejected": {cx.abstract_syntax: cx.result for cx in association.rejected_contexts},
            "maximum_length": association.acceptor.maximum_length,
        }
    finally:
        association.release()


async def test_pynetdicom_stores_and_echoes(series: Path) -> None:
    async with intake() as scene:
        told = await asyncio.to_thread(
            pynetdicom_session,
            scene.acceptor.port,
            *files_of(series),
            contexts=[
                build_context(CTImageStorage),
                build_context(Verification),
                build_context(StorageCommitmentPushModel),
            ],
            ext_neg=[build_role(CTImageStorage, scu_role=True)],
        )
        assert told["statuses"] == [0] * SLICES
        assert told["echo"] == 0
        assert told["accepted"][CTImageStorage] == ExplicitVRLittleEndian  # type: ignore[index]
        assert told["rejected"] == {StorageCommitmentPushModel: 3}
        assert told["maximum_length"] == 131072
        assert_all_arrived(scene, series)


@pytest.mark.parametrize(
    "transfer_syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
async def test_each_uncompressed_transfer_syntax_comes_as_it_was_sent(
    tmp_path: Path, transfer_syntax: UID
) -> None:
    file = write_slice(tmp_path / "0.dcm", 0, transfer_syntax=transfer_syntax)
    async with intake() as scene:
        told = await asyncio.to_thread(
            pynetdicom_session,
            scene.acceptor.port,
            tmp_path / "0.dcm",
            contexts=[build_context(CTImageStorage, transfer_syntax)],
        )
        assert told["statuses"] == [0]
        (request,) = scene.service.requests
        assert request.transfer_syntax_uid == transfer_syntax
        if not transfer_syntax.is_deflated:
            assert read(request).PixelData == file.PixelData


COMPRESSED = {".57": True, ".70": True, ".80": True, ".90": True, ".2.5": True} | dict.fromkeys(
    (".50", ".51", ".53", ".55", ".81", ".91"), False
)


@pytest.mark.peer("dcmsend")
@pytest.mark.parametrize("accept_lossy", [False, True])
@pytest.mark.parametrize("suffix", COMPRESSED)
async def test_compressed_images_come_as_they_were_compressed(
    data: Path, suffix: str, accept_lossy: bool
) -> None:
    (path,) = (data / "samples/ct/tsuid_matrix").glob(f"CTImage*{suffix}.dcm")
    async with intake(accept_lossy=accept_lossy) as scene:
        is_taken = COMPRESSED[suffix] or accept_lossy
        await run(
            "dcmsend",
            "-dn",
            "-aet",
            "STORESCU",
            "-aec",
            "GATEWAY",
            "127.0.0.1",
            str(scene.acceptor.port),
            path,
            ok=True if is_taken else None,  # dcmsend 3.6.7 returns 0 all the same
        )
        if not is_taken:
            assert scene.service.requests == []
            return
        (request,) = scene.service.requests
        sent = dcmread(path)
        assert request.transfer_syntax_uid == sent.file_meta.TransferSyntaxUID
        assert read(request).PixelData == sent.PixelData


async def test_another_storage_class_is_refused_for_each_instance_and_the_association_goes_on(
    series: Path, tmp_path: Path
) -> None:
    pdf = Dataset()
    pdf.SOPClassUID, pdf.SOPInstanceUID, pdf.PatientID = (
        EncapsulatedPDFStorage,
        f"{wire.SOP_INSTANCE}.9",
        "MADE",
    )
    pdf.EncapsulatedDocument = bytes(400_000)
    pdf.file_meta = FileMetaDataset()
    pdf.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pdf.save_as(tmp_path / "pdf.dcm", enforce_file_format=True)
    async with intake() as scene:
        told = await asyncio.to_thread(
            pynetdicom_session,
            scene.acceptor.port,
            tmp_path / "pdf.dcm",
            series / "0.dcm",
            contexts=[build_context(EncapsulatedPDFStorage), build_context(CTImageStorage)],
        )
        assert told["statuses"] == [0x0122, 0]
        assert told["comments"] == ["SOP_CLASS_NOT_SUPPORTED", ""]
        assert len(scene.service.requests) == 1


# -- TLS


@pytest.mark.peer("storescu", "echoscu")
async def test_dcmtk_stores_over_tls(series: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.issue("GATEWAY")
    authority.issue("STORESCU")
    authority.issue("ORTHANC")
    tls = {"certificate_file": certificate, "key_file": key, "ca_file": authority.ca_file}
    async with intake(tls=tls) as scene:

        def options(title: str) -> list[str | Path]:
            files = authority.folder / f"{title}.key", authority.folder / f"{title}.pem"
            return [
                "+tls",
                *files,
                "+cf",
                authority.ca_file,
                "-aet",
                "STORESCU",
                "-aec",
                "GATEWAY",
                "127.0.0.1",
            ]

        port = str(scene.acceptor.port)
        await run("storescu", "+sd", *options("STORESCU"), port, series)
        assert_all_arrived(scene, series)
        said = await run("echoscu", *options("ORTHANC"), port, ok=False)
        assert "Calling AE Title Not Recognized" in said


async def test_large_slices_come_whole_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.issue("GATEWAY")
    certificate_, key_ = authority.issue("STORESCU")
    files = {"ca_file": authority.ca_file}
    ours = {"certificate_file": certificate, "key_file": key, **files}
    theirs = wire.config(
        dicom={
            "ae_title": "X",
            "port": 1,
            "tls": {"certificate_file": certificate_, "key_file": key_, **files},
        }
    ).dicom.tls
    assert theirs is not None
    assert theirs != "off"
    datasets = [np.random.default_rng(n).bytes(520_000 + n) for n in range(5)]
    async with intake(tls=ours) as scene, connected(scene.acceptor.port, tls=client_context(theirs)) as peer:
        await peer.associate()
        for dataset in datasets:
            await peer.send(wire.store_message(dataset, fragment_bytes=131066))
            assert wire.read_response(await peer.pdu()).Status == 0
        assert [bytes(request.dataset) for request in scene.service.requests] == datasets


# -- speed that does not depend on the machine


@pytest.mark.peer("storescu")
async def test_a_sender_with_nagles_algorithm_does_not_wait_for_our_acknowledgements(tmp_path: Path) -> None:
    number = 60
    for index in range(number):
        write_slice(tmp_path / f"{index:03}.dcm", index, rows=256)
    command = ["storescu", "-aec", "GATEWAY", "+sd", "127.0.0.1"]
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    async with intake() as scene:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, str(scene.acceptor.port), str(tmp_path), env=environment
        )
        assert await process.wait() == 0
        took = time.monotonic() - began
        assert len(scene.service.requests) == number
    assert took < number * 0.020  # a delayed ACK is 40 ms
