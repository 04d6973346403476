"""`gateway ledger`."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.clerk.chain import sealed_text
from gateway.clerk.commands import MEANINGS, ledger
from gateway.clerk.ledger import Ledger
from gateway.clerk.records import LedgerFault, LedgerSealed
from gateway.config import load
from gateway.supervisor import prepare_state
from gateway.vault.keys import ClinicKey
from gateway.vault.ledger_key import ledger_key
from tests.unit.clerk.made_records import NOON, entries, opened


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration whose ledger holds two entries and a signature."""
    file = tmp_path / "gateway.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "dicom": {"ae_title": "GATE", "port": 11112},
                "sources": [{"ae_title": "CTSIM", "addresses": ["127.0.0.1"]}],
                "destinations": [{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": 104}],
                "rules": [{"model": "pelvis", "deliver_to": ["tps"]}],
                "contourer": {"kind": "embedded"},
                "console": {"port": 8080},
                "state_dir": "var",
                "clinic_key_file": "var/clinic.key",
            }
        )
    )
    folder = prepare_state(load(file))
    key = ledger_key(ClinicKey.load(tmp_path / "var" / "clinic.key"))
    made = Ledger(folder)
    made.write(entries(opened(1), opened(2)))
    signature = key.sign(sealed_text(2, made.head.digest, NOON)).hex()
    made.write(entries(LedgerSealed(at=NOON, entries=2, head=made.head.digest, signature=signature), first=3))
    made.close()
    return file


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(ledger, [str(argument) for argument in arguments])


def test_every_fault_has_a_meaning() -> None:
    assert set(MEANINGS) == set(LedgerFault)


def test_a_sound_ledger(config_file: Path) -> None:
    result = _run("verify", "-c", config_file)
    assert result.exit_code == 0
    assert "entries 3, signed 2" in result.output


def test_a_cut_ledger_is_told_with_its_place(config_file: Path) -> None:
    path = config_file.parent / "var" / "clerk" / "ledger"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    result = _run("verify", "-c", config_file)
    assert result.exit_code == 1
    assert result.output.startswith("entry 2 ")


def test_a_copy_is_verified_with_the_public_key_alone(config_file: Path) -> None:
    key = _run("key", "-c", config_file).output.strip()
    folder = config_file.parent / "var" / "clerk"
    (config_file.parent / "var" / "clinic.key").unlink()
    assert _run("verify", "--folder", folder, "--key", key).exit_code == 0
    foreign = "00" * 31 + "01"
    assert _run("verify", "--folder", folder, "--key", foreign).exit_code == 1


def test_a_noted_head_must_still_be_there(config_file: Path) -> None:
    head = _run("verify", "-c", config_file).output.split("head ")[1].split()[0]
    assert _run("verify", "-c", config_file, "--noted", f"3:{head}").exit_code == 0
    assert _run("verify", "-c", config_file, "--noted", f"2:{head}").exit_code == 1
    assert _run("verify", "-c", config_file, "--noted", "nonsense").exit_code == 2
