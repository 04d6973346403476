"""`gateway doctor` prints every diagnosis; its exit code and last line say whether one is ill."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

import gateway.doctor
from gateway.commands.doctor import doctor
from gateway.doctor import Diagnosis, Finding


@pytest.fixture(params=[(Finding.WELL, 0), (Finding.CAUTION, 0), (Finding.ILL, 1)])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Finding, int]:
    finding, code = request.param
    diagnosis = Diagnosis(finding, "disk", "made up")
    monkeypatch.setattr(gateway.doctor, "examine", lambda config: iter([diagnosis]))
    return finding, code


def test_only_an_illness_fails(configuration: Any, found: tuple[Finding, int]) -> None:
    finding, code = found
    result = CliRunner().invoke(doctor, ["-c", str(configuration.path)])
    verdict = "red" if code else "green"
    assert result.output.split() == [finding.value, "disk:", "made", "up", verdict]
    assert result.exit_code == code


def test_a_program_gets_the_same_as_json(configuration: Any, found: tuple[Finding, int]) -> None:
    finding, code = found
    result = CliRunner().invoke(doctor, ["-c", str(configuration.path), "--json"])
    assert json.loads(result.output) == {
        "verdict": "red" if code else "green",
        "diagnoses": [{"finding": finding.value, "subject": "disk", "text": "made up"}],
    }
    assert result.exit_code == code
