"""The contourer's keys stay its own."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cloud.protocol import ContourerIdentity
from gateway.contourer.commands import contourer
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.records import Records
from gateway.errors import ConfigError


def test_keys_come_back_as_they_were() -> None:
    keys = ContourerKeys.generate("DE")
    assert ContourerKeys.from_bytes(keys.to_bytes()) == keys
    assert ContourerKeys.from_bytes(keys.to_bytes()).public == keys.public


def test_two_contourers_have_nothing_in_common() -> None:
    one, other = ContourerKeys.generate("DE").public, ContourerKeys.generate("DE").public
    for field in ("hpke_public_key", "receipt_public_key", "certificate_sha256"):
        assert getattr(one, field) != getattr(other, field)


def test_a_repr_shows_no_key() -> None:
    keys = ContourerKeys.generate("DE")
    assert repr(keys) == "ContourerKeys(region='DE')"


def test_what_is_public_holds_nothing_secret() -> None:
    keys = ContourerKeys.generate("DE")
    public = keys.public.model_dump_json()
    for secret in (keys.seed, keys.signing_seed):
        assert secret.hex() not in public


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"region": "DE"}'])
def test_what_are_no_keys_are_refused_without_being_shown(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a contourer's keys"):
        ContourerKeys.from_bytes(data)


def test_keys_are_made_once_and_kept_for_their_owner_only(tmp_path: Path) -> None:
    first = ContourerKeys.kept_in(tmp_path / "state", "DE")
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ContourerKeys.kept_in(tmp_path / "state", "DE") == first


def test_keys_that_others_may_read_or_of_another_region_are_refused(tmp_path: Path) -> None:
    ContourerKeys.kept_in(tmp_path, "DE")
    (file,) = tmp_path.iterdir()
    with pytest.raises(ConfigError, match="another region"):
        ContourerKeys.kept_in(tmp_path, "CH")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="readable by others"):
        ContourerKeys.kept_in(tmp_path, "DE")
    file.chmod(0o600)
    file.write_bytes(b"{}")
    with pytest.raises(ConfigError, match="damaged"):
        ContourerKeys.kept_in(tmp_path, "DE")


def test_the_command_prints_what_a_clinic_pins(tmp_path: Path) -> None:
    arguments = ["identity", "--region", "DE", "--state", str(tmp_path)]
    first, second = (CliRunner().invoke(contourer, arguments) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert ContourerIdentity.model_validate_json(first.output).region == "DE"
    assert first.output == second.output


def test_a_contourer_without_clients_does_not_start_beyond_loopback(tmp_path: Path) -> None:
    """R20."""
    for arguments in (["--host", "0.0.0.0", "--anyone"], ["--host", "127.0.0.1"]):
        result = CliRunner().invoke(contourer, ["run", "--region", "DE", "--port", "0", *arguments])
        assert result.exit_code == 2
        assert "--anyone" in result.output


def test_a_clinic_gets_its_certificate_and_keeps_its_key(tmp_path: Path) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    arguments = ["client", "clinic", "--certificate", str(certificate), "--key", str(key)]
    result = CliRunner().invoke(contourer, arguments)
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in certificate.read_bytes()
    assert CliRunner().invoke(contourer, arguments).exit_code == 1, "an existing key was overwritten"


def test_records_are_appended_with_their_time(tmp_path: Path) -> None:
    for _ in range(2):
        records = Records(tmp_path)
        records({"event": "deleted", "parts": 3})
        records.close()
        records.close()
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["event"], line["parts"]) for line in lines] == [("deleted", 3)] * 2
    assert lines[0]["at"].endswith("Z")
