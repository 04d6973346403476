"""What the doctor says of what the gateway keeps."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.clerk.journal import Journal
from gateway.clerk.ledger import Ledger
from gateway.doctor import Finding, state
from gateway.supervisor import prepare_state
from tests.unit.clerk.made_records import entries, opened
from tests.unit.doctor.made_site import findings, made_config


def test_before_the_first_start_nothing_is_ill_and_nothing_is_made(tmp_path: Path) -> None:
    config = made_config(tmp_path)
    for examination in (state.folder, state.disk_is_fast, state.key_and_files):
        assert Finding.ILL not in set().union(*findings(examination(config)).values(), set())
    assert not (tmp_path / "var").exists()


def test_what_the_gateway_keeps_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    config = made_config(tmp_path)
    folder = prepare_state(config)
    for file in (Ledger(folder), Journal(folder)):
        file.write(entries(opened(1), opened(2)))
        file.close()
    found = findings([*state.folder(config), *state.disk_is_fast(config), *state.key_and_files(config)])
    assert found["clinic key"] == found["ledger"] == found["journal"] == {Finding.WELL}
    assert found["state folder"] == {Finding.WELL}
    assert sorted(path.name for path in folder.iterdir()) == ["journal", "ledger"]


@pytest.mark.parametrize("file", ["ledger", "journal"])
def test_a_spoilt_file_is_ill(tmp_path: Path, file: str) -> None:
    config = made_config(tmp_path)
    (prepare_state(config) / file).write_bytes(b"nonsense\n")
    found = findings(state.key_and_files(config))
    assert found[file] == {Finding.ILL}
    assert found["clinic key"] == {Finding.WELL}


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_that_others_may_read_is_ill(tmp_path: Path, mode: int) -> None:
    config = made_config(tmp_path)
    prepare_state(config)
    config.clinic_key_file.chmod(mode)
    assert findings(state.key_and_files(config))["clinic key"] == {Finding.ILL}


def test_a_folder_that_others_may_read_is_a_caution(tmp_path: Path) -> None:
    config = made_config(tmp_path)
    prepare_state(config).chmod(0o755)
    assert Finding.CAUTION in findings(state.folder(config))["state folder"]


@pytest.mark.parametrize(
    ("free_bytes", "finding"), [(2**34, Finding.WELL), (2**28, Finding.CAUTION), (2**20, Finding.ILL)]
)
def test_a_disk_that_runs_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, finding: Finding
) -> None:
    config = made_config(tmp_path)
    prepare_state(config)
    monkeypatch.setattr(
        os, "statvfs", lambda path: SimpleNamespace(f_bavail=free_bytes, f_frsize=1, f_flag=0)
    )
    assert findings(state.folder(config))["disk"] == {finding}


def test_a_disk_that_is_read_only_is_ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = made_config(tmp_path)
    prepare_state(config)
    flags = SimpleNamespace(f_bavail=2**34, f_frsize=1, f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda path: flags)
    assert Finding.ILL in findings(state.folder(config))["disk"]


def test_a_disk_that_cannot_be_written_is_ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> float:
        raise OSError(30, "read-only")

    config = made_config(tmp_path)
    prepare_state(config)
    monkeypatch.setattr(state, "seconds_to_reach", fails)
    assert findings(state.disk_is_fast(config))["disk"] == {Finding.ILL}
