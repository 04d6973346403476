"""What the first start makes, and what a later one never replaces (fault 57)."""

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.supervisor import prepare_state
from gateway.vault.keys import ClinicKey


def _config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "dicom": {"ae_title": "GATE", "port": 11112},
            "sources": [{"ae_title": "CTSIM", "addresses": ["127.0.0.1"]}],
            "destinations": [{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": 104}],
            "rules": [{"model": "pelvis", "deliver_to": ["tps"]}],
            "contourer": {"kind": "embedded"},
            "console": {"port": 8080},
            "state_dir": folder / "var",
            "clinic_key_file": folder / "var" / "clinic.key",
        }
    )


def test_the_first_start_makes_folder_and_key_for_their_owner_only(tmp_path: Path) -> None:
    folder = prepare_state(_config(tmp_path))
    assert folder == tmp_path / "var" / "clerk"
    for made in (folder, folder.parent):
        assert made.stat().st_mode & 0o777 == 0o700
    ClinicKey.load(tmp_path / "var" / "clinic.key")


def test_a_later_start_changes_nothing(tmp_path: Path) -> None:
    prepare_state(_config(tmp_path))
    key = (tmp_path / "var" / "clinic.key").read_bytes()
    (tmp_path / "var" / "clerk" / "journal").touch()
    prepare_state(_config(tmp_path))
    assert (tmp_path / "var" / "clinic.key").read_bytes() == key


def test_a_key_that_is_gone_is_not_replaced_beside_a_journal(tmp_path: Path) -> None:
    prepare_state(_config(tmp_path))
    (tmp_path / "var" / "clerk" / "journal").touch()
    (tmp_path / "var" / "clinic.key").unlink()
    with pytest.raises(ConfigError) as caught:
        prepare_state(_config(tmp_path))
    assert caught.value.code == "CLINIC_KEY_UNFIT"
    assert not (tmp_path / "var" / "clinic.key").exists()


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_bytes(b"a file is in its place")
    with pytest.raises(ConfigError) as caught:
        prepare_state(_config(tmp_path))
    assert caught.value.code == "STATE_DIR_UNFIT"
