"""What the doctor says of a machine."""

from __future__ import annotations

import resource
from datetime import date
from pathlib import Path

import pytest

from gateway.config import Protection, Waiver
from gateway.doctor import Finding, machine
from gateway.vault.lockdown import Lockdown
from tests.unit.doctor.made_site import findings, made_config

MLOCK = Waiver(protection=Protection.MLOCK, until=date(2099, 1, 1), reason="no right to it")


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
    monkeypatch.setattr(machine, "missing_protections", lambda: (Protection.MLOCK,))
    found = findings(machine.protections(made_config(tmp_path, lockdown={"waivers": waivers})))
    assert found["mlock"] == {finding}
    assert found["core"] == {Finding.WELL}
    assert found["swap"]


def test_a_running_vault_says_what_is_in_force_and_what_is_waived(monkeypatch: pytest.MonkeyPatch) -> None:
    lockdown = Lockdown((Protection.CORE, Protection.LANDLOCK), (MLOCK,))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
    found = findings(machine.lockdown_in_force(lockdown))
    assert Finding.WELL in found["landlock"]
    assert found["core"] == {Finding.WELL}
    assert found["mlock"] == {Finding.CAUTION}


def test_a_core_dump_that_somebody_allowed_again_is_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1, 1))
    assert Finding.ILL in findings(machine.lockdown_in_force(Lockdown((Protection.CORE,), ())))["core"]


def test_a_budget_beyond_the_memory_is_a_caution(tmp_path: Path) -> None:
    config = made_config(tmp_path, limits={"memory_bytes": 2**50})
    assert findings(machine.memory(config))["memory"] == {Finding.CAUTION}
    assert findings(machine.memory(made_config(tmp_path, limits={"memory_bytes": 2**26})))["memory"] == {
        Finding.WELL
    }


def test_too_few_open_files_are_a_caution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 64))
    assert findings(machine.descriptors(made_config(tmp_path)))["open files"] == {Finding.CAUTION}
