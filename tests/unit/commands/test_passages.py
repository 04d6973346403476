"""How `gateway passages` shows passages; the API itself is asked in tests/peers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.commands.passages import Console, cancel, passages, pause, ready, release, resume
from gateway.console.views import passage_view
from gateway.errors import PassageUnfit
from gateway.passage import Passage, State


def view(state: State, *, minutes: int = 1) -> dict[str, Any]:
    now = datetime.now(UTC)
    passage = Passage(source="PACS", called="CONTOURGATE", modality="CT", pseudonym="P-7K3M9QXD", received=90)
    if state is State.HELD:
        error = PassageUnfit("SLICE_MISSING", position=12.5)
        passage.move(State.HELD, error=error, at=now - timedelta(minutes=minutes))
    return {**passage_view(passage, deadline_s=1800)}


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found = [view(State.RECEIVING), view(State.HELD, minutes=5)]
    monkeypatch.setattr(Console, "passages", lambda self: found)
    return found


def test_the_table_shows_state_and_reason(configuration: Any, board: list[dict[str, Any]]) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(passages, ["-c", str(configuration.path)])
    assert result.exit_code == 0
    header, receiving, held = result.output.splitlines()
    assert header.split() == ["passage", "patient", "from", "slices", "state", "for", "reason"]
    assert receiving.split()[:5] == [board[0]["id"][:8], "P-7K3M9QXD", "PACS", "90", "receiving"]
    assert held.split()[4:7] == ["held", "5", "min"]
    assert "SLICE_MISSING: A slice is missing" in held


def test_json_is_what_the_api_answers(configuration: Any, board: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(passages, ["-c", str(configuration.path), "--json"])
    assert json.loads(result.output) == board


@pytest.mark.parametrize("command", [release, cancel])
def test_a_decision_takes_the_beginning_of_one_id(
    configuration: Any, board: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, command: Any
) -> None:
    decided: list[tuple[str, str]] = []
    monkeypatch.setattr(Console, "decide", lambda self, *what: decided.append(what))
    yes = ["--yes"] if command is cancel else []
    options = ["-c", str(configuration.path), *yes]
    assert CliRunner().invoke(command, [board[1]["id"][:12], *options]).exit_code == 0
    assert decided == [(board[1]["id"], command.name)]

    assert CliRunner().invoke(command, ["", *options]).exit_code == 1  # both begin so
    assert CliRunner().invoke(command, ["x", *options]).exit_code == 1
    assert len(decided) == 1


@pytest.mark.parametrize(
    ("reasons", "exit_code", "said"),
    [
        ([], 0, "ready"),
        (
            [{"code": "DRAINING", "meaning": "It is being stopped.", "hint": "Wait."}],
            1,
            "DRAINING: It is being stopped. Wait.",
        ),
    ],
)
def test_ready_says_what_stands_in_the_way(
    configuration: Any,
    monkeypatch: pytest.MonkeyPatch,
    reasons: list[dict[str, str]],
    exit_code: int,
    said: str,
) -> None:
    status = {"is_ready": not reasons, "reasons": reasons, "alarms": []}
    monkeypatch.setattr(Console, "status", lambda self: status)
    result = CliRunner().invoke(ready, ["-c", str(configuration.path)])
    assert (result.exit_code, result.output.strip()) == (exit_code, said)


def test_ready_tells_of_alarms_and_is_ready_all_the_same(
    configuration: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm = {"code": "CLOCK_JUMPED", "meaning": "It was set.", "hint": "Look."}
    monkeypatch.setattr(Console, "status", lambda self: {"is_ready": True, "reasons": [], "alarms": [alarm]})
    result = CliRunner().invoke(ready, ["-c", str(configuration.path)])
    assert (result.exit_code, result.output) == (0, "CLOCK_JUMPED: It was set. Look.\nready\n")


@pytest.mark.parametrize(("command", "said"), [(pause, "tps: paused"), (resume, "tps: resumed")])
def test_a_queue_is_switched_by_its_destinations_name(
    configuration: Any, monkeypatch: pytest.MonkeyPatch, command: Any, said: str
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(Console, "switch", lambda self, name, how: asked.append((name, how)))
    result = CliRunner().invoke(command, ["tps", "-c", str(configuration.path)])
    assert (result.exit_code, result.output.strip()) == (0, said)
    assert asked == [("tps", command.name)]


def test_without_a_gateway_it_says_where_it_looked(configuration: Any) -> None:
    file = configuration.but("port: 8743", "port: 1")
    result = CliRunner().invoke(passages, ["-c", str(file)])
    assert result.exit_code == 1
    assert "no answer from http://127.0.0.1:1/" in result.stderr
