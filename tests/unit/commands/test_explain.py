"""`gateway explain`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gateway.commands.explain import explain, version
from gateway.errors import CATALOGUE


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_is_explained_with_what_to_do(code: str) -> None:
    said = CliRunner().invoke(explain, [code.lower()]).output.replace("\n", " ")
    assert said.startswith(code)
    assert CATALOGUE[code].meaning in said
    assert CATALOGUE[code].hint in said


def test_without_a_code_every_code_is_listed() -> None:
    lines = CliRunner().invoke(explain, []).output.splitlines()
    assert set(CATALOGUE) <= set(lines)


def test_an_unknown_code_gets_the_nearest_ones() -> None:
    result = CliRunner().invoke(explain, ["FOREIGN_UID"])
    assert result.exit_code == 2
    assert "did you mean RESULT_FOREIGN_UID" in result.stderr


def test_the_version_is_shown() -> None:
    assert CliRunner().invoke(version).output.startswith("contourgate ")
