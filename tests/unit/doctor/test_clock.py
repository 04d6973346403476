"""What the doctor says of the clock (faults 55)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.clerk.ledger import Ledger
from gateway.doctor import Finding, clock
from gateway.supervisor import prepare_state
from tests.unit.clerk.made_records import NOON, entries, opened
from tests.unit.doctor.made_site import findings, made_config


@pytest.mark.parametrize(
    ("ahead", "finding"),
    [
        (timedelta(days=1), Finding.WELL),
        (timedelta(seconds=-30), Finding.WELL),
        (timedelta(days=-1), Finding.ILL),
    ],
)
def test_a_clock_behind_the_ledger_is_ill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, finding: Finding
) -> None:
    monkeypatch.setattr(clock, "is_synchronised", lambda: None)
    config = made_config(tmp_path)
    ledger = Ledger(prepare_state(config))
    ledger.write(entries(*(opened(number) for number in range(100))))
    ledger.close()
    assert clock.last_entry_at(config.state_dir / "clerk") == NOON
    assert findings(clock.examine(config, NOON + ahead))["clock"] == {finding}


def test_without_a_ledger_there_is_nothing_to_be_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "is_synchronised", lambda: True)
    assert clock.last_entry_at(tmp_path) is None
    assert findings(clock.examine(made_config(tmp_path)))["clock"] == {Finding.WELL}


def test_a_torn_last_line_leaves_the_one_before(tmp_path: Path) -> None:
    folder = prepare_state(made_config(tmp_path))
    ledger = Ledger(folder)
    ledger.write(entries(opened(1), opened(2)))
    ledger.close()
    path = folder / "ledger"
    path.write_bytes(path.read_bytes()[:-40])
    assert clock.last_entry_at(folder) == NOON


@pytest.mark.parametrize(("is_kept", "finding"), [(True, Finding.WELL), (False, Finding.CAUTION)])
def test_a_clock_that_nothing_keeps_is_a_caution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool, finding: Finding
) -> None:
    monkeypatch.setattr(clock, "is_synchronised", lambda: is_kept)
    assert finding in findings(clock.examine(made_config(tmp_path)))["clock"]


def test_the_kernel_is_asked() -> None:
    assert clock.is_synchronised() in (True, False, None)
