"""Programs that we did not write, sending over DICOM TLS: dcmtk's tools by each of their profiles, and Orthanc."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from gateway.dicom.alerts import AlertKind
from tests import wire
from tests.intake import Intake
from tests.peers.pacs import Dcmqrscp, Orthanc, made_series, running_pacs
from tests.pki import Authority

OURS, SENDER = "CONTOURGATE", "PACS"
SLICES = 3


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki"))
    for name in (OURS, SENDER):
        made.issue(name)
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return made_series(tmp_path_factory.mktemp("series"), SLICES)


@contextlib.asynccontextmanager
async def intake(
    authority: Authority | None, profile: str = "bcp195", **source: object
) -> AsyncIterator[Intake]:
    port = wire.free_port()
    tls = authority and {
        "certificate_file": authority.folder / f"{OURS}.pem",
        "key_file": authority.folder / f"{OURS}.key",
        "ca_file": authority.ca_file,
        "profile": profile,
    }
    sources = [{"ae_title": SENDER, "addresses": ["127.0.0.1"], **source}]
    async with Intake(
        wire.config(port, dicom={"ae_title": OURS, "port": port, "tls": tls}, sources=sources)
    ) as running:
        yield running


def with_tls(authority: Authority, name: str = SENDER) -> list[str]:
    files = [str(authority.folder / f"{name}.{suffix}") for suffix in ("key", "pem")]
    return ["+tls", *files, "+cf", str(authority.ca_file)]


async def run(program: str, scene: Intake, options: Sequence[str], files: Sequence[Path] = ()) -> int:
    process = await asyncio.create_subprocess_exec(
        program, *options, "-aet", SENDER, "-aec", OURS, "127.0.0.1", str(scene.acceptor.port), *map(str, files),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    async with asyncio.timeout(60):
        return await process.wait()


@pytest.mark.peer("storescu")
@pytest.mark.parametrize("profile", ["bcp195", "bcp195-extended"])
@pytest.mark.parametrize("theirs", ["+py", "+px", "+pz"], ids=["non-downgrading", "BCP 195", "extended"])
async def test_storescu_stores_by_every_profile_of_today(
    authority: Authority, files: list[Path], profile: str, theirs: str
) -> None:
    async with intake(authority, profile) as scene:
        assert await run("storescu", scene, ["-R", *with_tls(authority), theirs], files) == 0
        assert len(scene.service.requests) == SLICES
        assert scene.alerts == []


@pytest.mark.peer("storescu")
@pytest.mark.parametrize("retired", ["+pa", "+pn"], ids=["AES", "unencrypted"])
async def test_the_retired_profiles_are_refused(
    authority: Authority, files: list[Path], retired: str
) -> None:
    async with intake(authority) as scene:
        assert await run("storescu", scene, ["-R", *with_tls(authority), retired], files) != 0
        assert scene.service.requests == []
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TLS_REFUSED]


@pytest.mark.peer("storescu", "echoscu", "dcmsend")
@pytest.mark.parametrize("options", [["+tla", "-ic"], []], ids=["no certificate", "no TLS"])
async def test_who_shows_no_certificate_gets_nothing(
    authority: Authority, files: list[Path], options: list[str]
) -> None:
    async with intake(authority) as scene:
        assert await run("storescu", scene, ["-R", *options], files) != 0
        assert await run("echoscu", scene, options) != 0
        assert scene.service.requests == []
        assert [alert.kind for alert in scene.alerts] == [AlertKind.TLS_REFUSED]


@pytest.mark.peer("storescu")
async def test_a_fingerprint_binds_an_ae_title_to_one_certificate(
    authority: Authority, files: list[Path]
) -> None:
    fingerprint = authority.sha256(SENDER)
    options = ["-R", *with_tls(authority)]
    async with intake(authority, certificate_sha256=fingerprint) as scene:
        assert await run("storescu", scene, options, files) == 0
    async with intake(authority, certificate_sha256="0" * 64) as scene:
        assert await run("storescu", scene, options, files) != 0
        assert [alert.kind for alert in scene.alerts] == [AlertKind.CERTIFICATE_OF_ANOTHER]


@pytest.mark.peer("storescu")
async def test_renewed_files_are_taken_up_between_two_senders(
    authority: Authority, files: list[Path], tmp_path: Path
) -> None:
    other = Authority(tmp_path / "pki", "Another CA")
    other.issue(OURS)
    other.issue(SENDER)
    options = ["-R", *with_tls(other)]
    async with intake(authority) as scene:
        assert await run("storescu", scene, options, files) != 0
        kept = {path: path.read_bytes() for path in authority.folder.iterdir()}
        try:
            for path in kept:
                path.write_bytes((other.folder / path.name).read_bytes())
            assert await run("storescu", scene, options, files) == 0
        finally:
            for path, content in kept.items():
                path.write_bytes(content)
        assert len(scene.service.requests) == SLICES


def orthanc_tls(authority: Authority, port: int) -> dict[str, Any]:
    return {
        "DicomTlsCertificate": str(authority.folder / f"{SENDER}.pem"),
        "DicomTlsPrivateKey": str(authority.folder / f"{SENDER}.key"),
        "DicomTlsTrustedCertificates": str(authority.ca_file),
        "DicomModalities": {"gateway": {"AET": OURS, "Host": "127.0.0.1", "Port": port, "UseDicomTls": True}},
    }


@pytest.mark.peer("Orthanc")
async def test_orthanc_stores_over_tls(authority: Authority, files: list[Path], tmp_path: Path) -> None:
    async with intake(authority) as scene:
        port = scene.acceptor.port
        orthanc = Orthanc(
            tmp_path / "orthanc", wire.free_port(), port, SENDER, **orthanc_tls(authority, port)
        )
        with running_pacs(orthanc):

            def store() -> Any:
                orthanc.fill(files)
                orthanc.ask("/modalities/gateway/echo", b"{}")
                return orthanc.ask(
                    "/modalities/gateway/store", json.dumps(orthanc.ask("/instances")).encode()
                )

            told = await asyncio.to_thread(store)
        assert (told["InstancesCount"], told["FailedInstancesCount"]) == (SLICES, 0)
        assert len(scene.service.requests) == SLICES
        assert scene.alerts == []


@pytest.mark.peer("movescu", "dcmqrscp", "dcmqridx")
async def test_movescu_has_an_archive_store_to_us(files: list[Path], tmp_path: Path) -> None:
    async with intake(None) as scene:
        archive = Dcmqrscp(tmp_path / "archive", wire.free_port(), scene.acceptor.port)
        archive.fill(files)
        with running_pacs(archive):
            study = dcmread(files[0]).StudyInstanceUID
            process = await asyncio.create_subprocess_exec(
                "movescu", "-S", "-aet", "MOVESCU", "-aec", "PACS", "-aem", OURS, "127.0.0.1", str(archive.port),
                "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}",
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            async with asyncio.timeout(60):
                assert await process.wait() == 0
        assert len(scene.service.requests) == SLICES
