"""A journal or ledger that somebody changed is told on the console, in the metrics and to the alarm system (56)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.clerk.lines import scan
from tests.peers.test_alarm import webhook
from tests.running import Gateway, running, until


def alarms(gateway: Gateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gateway.get("/api/status"))["alarms"]
    return found


def _change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[scan(bytes(content)).lines[0].offset + 90] ^= 1
    path.write_bytes(content)


def _put_nonsense(path: Path) -> None:
    path.write_bytes(b"nonsense\n" + path.read_bytes())


@pytest.mark.parametrize(
    ("file", "tamper", "code"),
    [("ledger", _change_a_byte, "LEDGER_DAMAGED"), ("journal", _put_nonsense, "JOURNAL_DAMAGED")],
    ids=["ledger", "journal"],
)
def test_what_was_changed_while_the_gateway_was_down_is_told(
    tmp_path: Path, file: str, tamper: Any, code: str
) -> None:
    with webhook() as (url, told):
        changes = {"alarm": {"webhook_url": url}}
        with running(tmp_path, changes, tps=False) as (gateway, _):
            assert alarms(gateway) == []  # control: an untouched file raises none
        tamper(tmp_path / "var" / "clerk" / file)
        gateway.start()
        try:
            (alarm,) = until(lambda: alarms(gateway) or None, 20, "the alarm")
            assert alarm["code"] == code
            assert {fact["name"] for fact in alarm["facts"]} >= {"fault", "offset"}
            assert f'contourgate_alarms{{code="{code}"}} 1.0' in gateway.get("/metrics").decode()
            until(lambda: told or None, 20, "the alarm system's message")
        finally:
            gateway.stop()
    assert told[0]["code"] == code
    assert "damaged" in (tmp_path / "var" / "clerk" / "ledger").read_text()
