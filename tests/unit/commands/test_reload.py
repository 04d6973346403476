"""`gateway reload` tells what is in force, and asks nobody while the file has a mistake."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import EX_CONFIG
from gateway.commands.passages import Console
from gateway.commands.reload import reload


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"taken": [], "restart": []}, ["taken over: nothing has changed"]),
        (
            {"taken": ["rules", "destinations"], "restart": ["limits"]},
            ["taken over: rules, destinations", "only after a restart: limits"],
        ),
    ],
)
def test_it_tells_what_was_taken_over_and_what_waits(
    configuration: Any, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], told: list[str]
) -> None:
    monkeypatch.setattr(Console, "reload", lambda self: answer)
    result = CliRunner().invoke(reload, ["-c", str(configuration.path)])
    assert result.output.splitlines() == told


def test_a_mistake_is_told_with_its_line_and_nobody_is_asked(
    configuration: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "reload", lambda self: pytest.fail("it was asked"))
    with configuration.path.open("a") as file:
        file.write("\ncolour: red\n")
    result = CliRunner().invoke(reload, ["-c", str(configuration.path)])
    assert result.exit_code == EX_CONFIG
    assert "gateway.yaml:" in result.output
