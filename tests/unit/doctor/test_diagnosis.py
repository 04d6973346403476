"""When the page is green."""

from __future__ import annotations

import pytest

from gateway.doctor.diagnosis import Diagnosis, Finding, is_green


@pytest.mark.parametrize(
    ("finding", "green"), [(Finding.WELL, True), (Finding.CAUTION, True), (Finding.ILL, False)]
)
def test_only_an_illness_is_red(finding: Finding, green: bool) -> None:
    well = Diagnosis(Finding.WELL, "disk", "made up")
    assert is_green([well, Diagnosis(finding, "clock", "made up")]) is green
