"""The configuration chooses the contourer; what its files lack is told before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cloud.dicomweb import DicomwebContourer
from gateway.cloud.factory import make_contourer
from gateway.cloud.payload import Codec
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.tls import Certificate
from gateway.config import load
from gateway.contourer.identity import ContourerKeys
from gateway.errors import ConfigError
from gateway.metrics import Metrics

SHIPPED = Path(__file__).parents[3] / "conf" / "gateway.yaml"


def made(folder: Path, **contourer: Any) -> Any:
    document = yaml.safe_load(SHIPPED.read_text("utf-8"))
    document["contourer"] = contourer
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    return make_contourer(load(file), lambda passage_id: bytes(96), Metrics())


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    file = tmp_path / "contourer.identity"
    file.write_text(ContourerKeys.generate("DE").public.model_dump_json(indent=2))
    return file


async def test_a_sealed_contourer_is_made_from_its_identity(tmp_path: Path, identity: Path) -> None:
    contourer = made(
        tmp_path, kind="sealed", url="https://contourer.example", identity_file=str(identity), region="DE"
    )
    assert isinstance(contourer, SealedContourer)
    assert contourer.codec is Codec.JPEGXL


async def test_an_embedded_contourer_is_made_without_being_started(tmp_path: Path) -> None:
    contourer = made(tmp_path, kind="embedded")
    assert isinstance(contourer, SealedContourer)
    await contourer.close()


async def test_a_dicomweb_store_is_made(tmp_path: Path) -> None:
    assert isinstance(
        made(tmp_path, kind="dicomweb", url="http://127.0.0.1:8042/dicom-web"), DicomwebContourer
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_an_identity_that_cannot_be_used_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "identity"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="identity_file"):
        made(tmp_path, kind="sealed", url="https://contourer.example", identity_file=str(file))


def test_a_key_of_another_certificate_is_told(tmp_path: Path, identity: Path) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    certificate.write_bytes(Certificate.self_signed("one").certificate)
    key.write_bytes(Certificate.self_signed("other").key)
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="client_certificate_file"):
        made(
            tmp_path,
            kind="sealed",
            url="https://contourer.example",
            identity_file=str(identity),
            client_certificate_file=str(certificate),
            client_key_file=str(key),
        )


def test_an_authority_file_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ConfigError, match="ca_file"):
        made(tmp_path, kind="dicomweb", url="https://store.example", ca_file=str(file))
