from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword

from gateway.deid.profile import SHIPPED, load_profile
from gateway.deid.safe_harbor import IDENTIFIERS, Fate, judge


def test_there_are_eighteen_identifiers_in_the_regulations_order() -> None:
    assert "".join(one.letter for one in IDENTIFIERS) == "ABCDEFGHIJKLMNOPQR"


def test_every_attribute_named_is_one_of_the_standard() -> None:
    for one in IDENTIFIERS:
        for keyword in one.keywords:
            assert tag_for_keyword(keyword) is not None, keyword


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_retains_none_of_them(name: str) -> None:
    """R27."""
    judgements = judge(load_profile(name))
    assert {one.fate for one in judgements} == {Fate.REMOVED, Fate.REPLACED, Fate.IN_PIXELS}
    assert {one.identifier.letter for one in judgements if one.fate is Fate.REPLACED} == set("AHR")


def test_a_face_is_not_claimed_to_be_removed() -> None:
    (face,) = [one for one in judge(load_profile("contouring-ct")) if one.identifier.letter == "Q"]
    assert face.fate is Fate.IN_PIXELS
    assert "NOT covered" in face.identifier.remark


def test_a_profile_that_retains_one_is_told_so(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        "name: site\nextends: contouring-ct\noptions: [retain-patient-characteristics]\n"
        "attributes:\n  PatientAge: {type: 3, action: number, reason: A model for children}\n"
    )
    (dates,) = [one for one in judge(load_profile(site)) if one.identifier.letter == "C"]
    assert (dates.fate, dates.leaving) == (Fate.RETAINED, ("PatientAge",))
