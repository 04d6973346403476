"""The machine's clock jumps by a day while a series is on its way: nothing hangs on it, and it is told (55)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.peers.pacs import made_series
from tests.running import Gateway, running, until, without_text_gate
from tests.shim import Shim

pytestmark = pytest.mark.peer("storescu", "storescp")

DAY_S = 86400


def jumps(gateway: Gateway) -> list[str]:
    """By how many seconds the clock was set, as the console's alarms tell."""
    alarms = json.loads(gateway.get("/api/status"))["alarms"]
    return [fact["value"] for alarm in alarms if alarm["code"] == "CLOCK_JUMPED" for fact in alarm["facts"]]


def test_a_clock_that_jumps_by_a_day_and_back_is_told_and_moves_no_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = Shim(tmp_path)
    for name, value in shim.environment.items():
        monkeypatch.setenv(name, value)
    files = made_series(tmp_path / "images", 5)
    changes = {"passage": {"quiet_time_s": 8, "deadline_s": 3600}, **without_text_gate(tmp_path)}
    with running(tmp_path, changes) as (gateway, tps):
        assert tps is not None
        gateway.send(*files[:3])
        (before,) = gateway.passages()
        assert jumps(gateway) == []
        shim.set_clock(DAY_S)
        until(lambda: jumps(gateway) == [str(DAY_S)] or None, 30, "the alarm")
        gateway.send(*files[3:])  # the rest joins: same pseudonyms, same passage
        (passage,) = gateway.passages()
        # Control: by the wall clock it is late by hours.
        now = datetime.now(UTC).timestamp() + DAY_S
        assert now > datetime.fromisoformat(passage["deadline"]).timestamp()
        assert not passage["is_late"]
        shim.set_clock(-DAY_S)
        until(lambda: jumps(gateway) == [str(-2 * DAY_S)] or None, 30, "the second alarm")
        (passage,) = gateway.until_state("delivered", limit_s=280)
        assert (passage["id"], passage["received"]) == (before["id"], 5)
        assert passage["pseudonym"] == before["pseudonym"]
        assert not passage["is_late"]
        assert len(tps.received()) == 1
        metrics = gateway.get("/metrics").decode()
        assert 'contourgate_alarms{code="CLOCK_JUMPED"} 1.0' in metrics
        assert "contourgate_deadline_passed_total 0.0" in metrics
    assert gateway.process.returncode == 0
    ledger = (tmp_path / "var" / "clerk" / "ledger").read_text()
    for seconds in (DAY_S, -2 * DAY_S):
        assert f'"kind":"clock","seconds":{seconds}' in ledger
