"""`gateway support` tells what helps, and nothing that anybody else wrote into the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import gateway.doctor
from gateway.commands.support import lines_of, masked, support
from gateway.doctor import Diagnosis, Finding

CANARY = "CANARY^PETRA"


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosis = Diagnosis(Finding.WELL, "disk", "made up")
    monkeypatch.setattr(gateway.doctor, "examine", lambda config: iter([diagnosis]))


def made(*arguments: str) -> Result:
    return CliRunner().invoke(support, list(arguments))


def test_it_holds_configuration_machine_and_log(configuration: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = {
        "time": "2026-01-02T03:04:05Z",
        "level": "info",
        "event": "passage",
        "state": "held",
        "reason": "NO_RULE",
    }
    log.write_text(json.dumps(line) + "\nTraceback of somebody else\n")
    result = made("-c", str(configuration.path), "--log", str(log))
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert document["configuration"]["dicom"]["ae_title"] == "CONTOURGATE"
    assert document["doctor"] == ["well disk: made up"]
    assert document["metrics"] == "the gateway does not answer"
    assert {"contourgate", "python", "kernel", "pydicom"} <= set(document["versions"])
    assert document["log"] == [line, {"event": "lines of others", "count": 1}]


def test_the_file_is_new_and_only_its_owners(configuration: Any, tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    assert made("-c", str(configuration.path), "--output", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["log"] is None
    assert made("-c", str(configuration.path), "--output", str(file)).exit_code == 1


@pytest.mark.parametrize(
    "event",
    [
        {"event": CANARY},
        {"event": f"patient {CANARY.lower()}", "level": CANARY},
        {"event": "passage", "time": CANARY, "source": CANARY, "patient": CANARY, "state": CANARY},
        {"event": "passage", "reason": [CANARY, {"x": CANARY}], CANARY: 1},
        {"event": "uncaught", "error": [{"kind": CANARY, "places": [CANARY, {"a": CANARY}], "text": CANARY}]},
        {"event": "uncaught", "error": CANARY, "exc_info": CANARY},
        {"event": "uncaught", "error": {"kind": CANARY}},
    ],
)
def test_what_our_log_does_not_write_is_not_told(event: dict[str, Any]) -> None:
    told = json.dumps(list(lines_of([json.dumps(event), CANARY, f'"{CANARY}"', "[]"], ["PACS"])))
    assert "canary" not in told.lower()
    assert "petra" not in told.lower()
    assert '"count": 3' in told


def test_control_what_our_log_writes_is_told() -> None:
    failure = {"kind": "builtins.ValueError", "places": ["gateway/app.py:133"]}
    line = {"event": "uncaught", "level": "error", "time": "2026-01-02T03:04:05.678901Z", "source": "PACS"}
    (told,) = lines_of([json.dumps({**line, "error": [failure]})], ["PACS"])
    assert told == {**line, "error": [failure]}


def test_what_a_url_carries_beside_its_host_is_masked() -> None:
    configuration = {
        "url": "https://anna:secret@contourer.example:8443/hook?token=secret",
        "username": "anna",
        "nested": [{"webhook_url": "https://example.org/secret"}],
        "client_key_file": "/etc/contourgate/client.key",
        "username_of_nobody": None,
    }
    told = json.dumps(masked(configuration))
    assert "secret" not in told
    assert "anna" not in told
    assert "contourer.example:8443" in told
    assert "/etc/contourgate/client.key" in told
