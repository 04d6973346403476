"""`gateway check` without peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.commands.check import check


def checked(file: Path) -> Result:
    return CliRunner().invoke(check, ["-c", str(file)])


def test_a_sound_file_passes(configuration: Any) -> None:
    result = checked(configuration.path)
    assert result.exit_code == 0
    assert result.output == f"{configuration.path}: no mistake\n"


def test_each_mistake_is_one_line_that_starts_with_file_and_line(configuration: Any) -> None:
    result = checked(configuration.but("ae_title: TPS", "ae_title: ON, colour: red"))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{configuration.path}:5: destinations[0].") for line in lines)


def test_a_clinic_key_that_is_unfit_is_a_mistake(configuration: Any, tmp_path: Path) -> None:
    key = tmp_path / "var" / "clinic.key"
    key.parent.mkdir()
    for content, mode in ((b"short", 0o600), (bytes(32), 0o644)):
        key.write_bytes(content)
        key.chmod(mode)
        result = checked(configuration.path)
        assert result.exit_code == 1
        assert result.output.startswith(f"{configuration.path}:11: clinic_key_file: CLINIC_KEY_UNFIT")
    key.chmod(0o600)
    assert checked(configuration.path).exit_code == 0


def test_what_is_knowingly_done_without_is_noted(configuration: Any) -> None:
    text = configuration.text.replace("port: 11112", "host: 0.0.0.0, port: 11112, tls: off")
    waiver = "lockdown: {waivers: [{protection: mlock, until: 9999-01-01, reason: a test}]}"
    result = checked(configuration.write(f"{text}{waiver}\n"))
    assert result.exit_code == 0
    assert "note: dicom.tls is off" in result.output
    assert "note: mlock is waived until 9999-01-01: a test" in result.output
