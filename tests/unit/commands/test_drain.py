"""`gateway drain` tells what it waits for and how it ended."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from gateway.commands import drain as module
from gateway.commands.drain import drain, waits_for
from gateway.commands.passages import Console


def view(state: str, group: str, code: str = "") -> dict[str, Any]:
    return {"id": "ab" * 16, "state": state, "group": group, "reason": {"code": code} if code else None}


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """What the console lists, look by look, until it does not answer."""
    looks: list[list[dict[str, Any]]] = []

    def passages(self: Console) -> list[dict[str, Any]]:
        if not looks:
            raise click.ClickException("no answer")
        return looks.pop(0)

    monkeypatch.setattr(Console, "passages", passages)
    monkeypatch.setattr(Console, "drain", lambda self: None)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0)
    return looks


def test_it_tells_each_change_once(configuration: Any, stopping: list[list[dict[str, Any]]]) -> None:
    working, done = view("contouring", "active"), view("delivered", "done")
    stopping += [[working], [working], [done]]
    result = CliRunner().invoke(drain, ["-c", str(configuration.path)])
    assert result.output.splitlines() == [
        "draining: nothing new is taken",
        "  waits for abababab contouring",
        "stopped",
    ]


def test_it_tells_what_is_left_for_the_next_start(
    configuration: Any, stopping: list[list[dict[str, Any]]]
) -> None:
    stopping += [[view("held", "held", "REVIEW_WANTED")]]
    result = CliRunner().invoke(drain, ["-c", str(configuration.path)])
    assert result.output.splitlines()[-1] == "stopped; 1 to be brought back after the next start"


def test_what_has_ended_is_not_waited_for() -> None:
    assert list(waits_for([view("delivered", "done")])) == []
    assert list(waits_for([view("held", "held", "INCOMPLETE")])) == [
        "  waits for a person abababab held: INCOMPLETE"
    ]
