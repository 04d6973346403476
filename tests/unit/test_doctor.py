"""What the doctor says of a machine and of what the gateway keeps."""

from pathlib import Path

import pytest

from gateway import doctor
from gateway.clerk.ledger import Ledger
from gateway.config import Config, Protection
from gateway.doctor import Finding, examine
from gateway.supervisor import prepare_state
from tests.unit.clerk.made_records import entries, opened


def _config(folder: Path, **more: object) -> Config:
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
            **more,
        }
    )


def _found(config: Config) -> dict[str, set[Finding]]:
    found: dict[str, set[Finding]] = {}
    for diagnosis in examine(config):
        found.setdefault(diagnosis.subject, set()).add(diagnosis.finding)
    return found


@pytest.fixture(autouse=True)
def has_every_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "missing_protections", lambda: ())


def test_before_the_first_start_nothing_is_ill(tmp_path: Path) -> None:
    found = _found(_config(tmp_path))
    assert found["clinic key"] == found["state folder"] == {Finding.WELL}
    assert Finding.ILL not in set().union(*found.values())
    assert not (tmp_path / "var").exists()


def test_what_the_gateway_keeps_is_looked_at(tmp_path: Path) -> None:
    config = _config(tmp_path)
    ledger = Ledger(prepare_state(config))
    ledger.write(entries(opened(1), opened(2)))
    ledger.close()
    found = _found(config)
    assert found["clinic key"] == found["ledger"] == {Finding.WELL}
    assert sorted(path.name for path in (tmp_path / "var" / "clerk").iterdir()) == ["ledger"]


def test_a_spoilt_ledger_and_an_unfit_key_are_ill(tmp_path: Path) -> None:
    config = _config(tmp_path)
    folder = prepare_state(config)
    (folder / "ledger").write_bytes(b"nonsense\n")
    assert _found(config)["ledger"] == {Finding.ILL}
    config.clinic_key_file.chmod(0o644)
    assert _found(config)["clinic key"] == {Finding.ILL}


@pytest.mark.parametrize(
    ("waivers", "finding"),
    [
        ((), Finding.ILL),
        (({"protection": "mlock", "until": "2099-01-01", "reason": "no right to it"},), Finding.CAUTION),
    ],
)
def test_a_missing_protection_is_ill_unless_waived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waivers: tuple[dict[str, str], ...], finding: Finding
) -> None:
    monkeypatch.setattr(doctor, "missing_protections", lambda: (Protection.MLOCK,))
    found = _found(_config(tmp_path, lockdown={"waivers": waivers}))
    assert found["mlock"] == {finding}
    assert found["core"] == {Finding.WELL}


def test_a_budget_beyond_the_memory_is_a_caution(tmp_path: Path) -> None:
    assert _found(_config(tmp_path, limits={"memory_bytes": 2**50}))["memory"] == {Finding.CAUTION}


def test_a_folder_that_others_may_read_is_a_caution(tmp_path: Path) -> None:
    config = _config(tmp_path)
    prepare_state(config).chmod(0o755)
    assert Finding.CAUTION in _found(config)["state folder"]
