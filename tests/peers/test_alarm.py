"""A webhook of ours gets the alarm of a late passage; one that is out of order harms nothing; review and drain."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.passages import Console
from tests.peers.pacs import made_series
from tests.running import Storescp, running, until, without_text_gate

pytestmark = pytest.mark.peer("storescu", "storescp")


@contextlib.contextmanager
def webhook(status: int = 204) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server and what it was told."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alarm", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [204, 500])
def test_a_late_passage_is_told_once_and_again_and_is_delivered_all_the_same(
    tmp_path: Path, status: int
) -> None:
    files = made_series(tmp_path / "images")
    with webhook(status) as (url, told):
        changes = {
            "alarm": {"webhook_url": url, "repeat_s": 1},
            "passage": {"quiet_time_s": 4, "deadline_s": 0.5},
        }
        with running(tmp_path, changes) as (gateway, _):
            gateway.send(*files)
            (passage,) = gateway.passages()
            until(lambda: told or None, 20, "the alarm")
            gateway.until_state("delivered", "held")
    assert told[0]["passage"] == passage["id"]
    assert told[0]["code"] == "DEADLINE_PASSED"
    if status == 204:
        assert len(told) >= 2
    text = json.dumps(told)
    assert "INVENTED" not in text
    assert "Invented" not in text


def test_contours_wait_for_a_persons_look_where_the_rule_wants_it(tmp_path: Path) -> None:
    rule = {"match": {}, "model": "default", "deliver_to": ["tps"], "deliver": "after_review"}
    with running(tmp_path, {"rules": [rule]}) as (gateway, tps):
        assert tps is not None
        for series in (1, 2):
            gateway.send(*made_series(tmp_path / f"images{series}", series=series))
        held = gateway.until_state("held", count=2)
        assert {one["reason"]["code"] for one in held} == {"REVIEW_WANTED"}
        assert tps.received() == []
        console = Console("127.0.0.1", gateway.web)
        console.decide(held[0]["id"], "release")
        console.decide(held[1]["id"], "cancel")
        (delivered,) = gateway.until_state("delivered")
        (cancelled,) = gateway.until_state("cancelled")
        assert (delivered["id"], cancelled["id"]) == (held[0]["id"], held[1]["id"])
        assert len(tps.received()) == 1
        ledger = (tmp_path / "var" / "clerk" / "ledger").read_text()
        assert '"deed":"release"' in ledger
        assert '"deed":"cancel"' in ledger


def test_a_passage_says_that_it_waits_for_the_tps_and_a_paused_one_gets_nothing(tmp_path: Path) -> None:
    with running(tmp_path, without_text_gate(tmp_path), tps=False) as (gateway, _):
        console = Console("127.0.0.1", gateway.web)
        gateway.send(*made_series(tmp_path / "images"))
        (passage,) = gateway.until_state("restored")

        def waits() -> str | None:
            (now,) = gateway.passages()
            return now["waiting"]["code"] if now["waiting"] else None

        assert until(waits, 30, "that it waits") == "PEER_UNREACHABLE"
        (queue,) = console.status()["queues"]
        assert (queue["waiting"], queue["reason"]["code"]) == (1, "PEER_UNREACHABLE")
        console.switch("tps", "pause")
        tps = Storescp(tmp_path / "tps", gateway.tps)
        try:
            time.sleep(6)  # longer than the pause between two tries
            assert tps.received() == []
            assert gateway.passages()[0]["state"] == "restored"
            console.switch("tps", "resume")
            (delivered,) = gateway.until_state("delivered", limit_s=30)
            assert (delivered["id"], delivered["waiting"]) == (passage["id"], None)
            assert len(tps.received()) == 1
        finally:
            tps.stop()
    ledger = (tmp_path / "var" / "clerk" / "ledger").read_text()
    assert '"deed":"pause","destination":"tps"' in ledger
    assert '"deed":"resume","destination":"tps"' in ledger


def test_drain_says_what_it_waits_for_and_ends_when_the_gateway_has_stopped(tmp_path: Path) -> None:
    changes = {"passage": {"quiet_time_s": 60, "drain_s": 2}}
    with running(tmp_path, changes) as (gateway, _):
        gateway.send(*made_series(tmp_path / "images"))
        (passage,) = gateway.passages()
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "drain", "-c", str(gateway.config)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"waits for {passage['id'][:8]} receiving" in done.stdout
        assert done.stdout.splitlines()[-1] == "stopped; 1 to be brought back after the next start"
        assert gateway.process.wait(20) == 0
