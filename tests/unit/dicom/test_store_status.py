"""Every C-STORE status has a meaning for the delivery."""

import pytest

from gateway.dicom.store_status import Verdict, judge


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([0x0000], Verdict.DELIVERED),
        ([0xB000, 0xB006, 0xB007, 0x0107, 0x0116, 0x0001], Verdict.WARNED),
        ([0x0111], Verdict.DUPLICATE),
        ([0xA700, 0xA7FF, 0x0110, 0x0124, 0x0213, 0xFE00], Verdict.LATER),
        ([0xA800, 0xA900, 0xA9FF, 0xC000, 0xCFFF, 0x0117, 0x0122, 0x1234], Verdict.REFUSED),
    ],
)
def test_a_status_means(statuses: list[int], verdict: Verdict) -> None:
    assert {judge(status) for status in statuses} == {verdict}
