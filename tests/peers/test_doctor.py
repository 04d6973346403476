"""`gateway doctor` and the console's page beside a running gateway: green, and red when the TPS is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running import Gateway, running, until

pytestmark = pytest.mark.peer("storescp")

SUBJECTS = {
    *("landlock", "core", "dumpable", "mlock", "swap"),
    *("clock", "state folder", "disk", "clinic key", "journal", "ledger"),
    *("destination tps", "contourer"),
}


def ill(document: dict[str, Any]) -> set[str]:
    return {one["subject"] for one in document["diagnoses"] if one["finding"] == "ill"}


def asked(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "doctor", "--json", "-c", str(gateway.config)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_it_is_green_beside_a_running_gateway_and_red_without_its_tps(tmp_path: Path) -> None:
    with running(tmp_path) as (gateway, tps):
        assert tps is not None
        shown = json.loads(gateway.get("/api/doctor"))
        assert (shown["verdict"], ill(shown)) == ("green", set())
        assert {one["subject"] for one in shown["diagnoses"]} >= SUBJECTS
        (contourer,) = (one for one in shown["diagnoses"] if one["subject"] == "contourer")
        assert "region LOCAL" in contourer["text"]
        code, told = asked(gateway)
        assert (code, told["verdict"], ill(told)) == (0, "green", set())
        assert {one["subject"] for one in told["diagnoses"]} >= SUBJECTS | {"memory", "open files"}
        tps.stop()
        code, told = asked(gateway)
        assert (code, told["verdict"], ill(told)) == (1, "red", {"destination tps"})
        until(
            lambda: json.loads(gateway.get("/api/doctor"))["verdict"] == "red" or None, 60, "the page is red"
        )
