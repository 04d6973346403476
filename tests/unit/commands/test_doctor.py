"""`gateway doctor` prints every diagnosis, and its exit code says whether one is ill."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

import gateway.doctor
from gateway.commands.doctor import doctor
from gateway.doctor import Diagnosis, Finding


@pytest.mark.parametrize(("finding", "code"), [(Finding.WELL, 0), (Finding.CAUTION, 0), (Finding.ILL, 1)])
def test_only_an_illness_fails(
    configuration: Any, monkeypatch: pytest.MonkeyPatch, finding: Finding, code: int
) -> None:
    monkeypatch.setattr(
        gateway.doctor, "examine", lambda config: iter([Diagnosis(finding, "disk", "made up")])
    )
    result = CliRunner().invoke(doctor, ["-c", str(configuration.path)])
    assert result.output.split() == [finding.value, "disk:", "made", "up"]
    assert result.exit_code == code
