from __future__ import annotations

import io

import pydicom
import pytest

from gateway.deid.codes import Option
from gateway.deid.statement import COMPUTED, statement


def read(options: tuple[Option, ...], *, text_gate: bool = True) -> pydicom.Dataset:
    encoded = b"".join(said.encoded for said in statement("site-ct", options, text_gate=text_gate))
    return pydicom.filereader.read_dataset(io.BytesIO(encoded), False, True)


def test_it_claims_no_more_than_the_basic_profile_by_default() -> None:
    said = read(())
    assert said.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in said.DeidentificationMethodCodeSequence] == ["113100"]
    assert said.DeidentificationMethodCodeSequence[0].CodingSchemeDesignator == "DCM"
    assert said.LongitudinalTemporalInformationModified == "REMOVED"
    assert said.BurnedInAnnotation == "NO"
    assert "Contourgate profile site-ct" in said.DeidentificationMethod
    assert any("not defaced" in line for line in said.DeidentificationMethod)
    assert not any("anonym" in line.lower() for line in said.DeidentificationMethod)


def test_every_line_fits_its_vr() -> None:
    method = next(one for one in statement("x" * 32, (), text_gate=True) if one.tag == 0x00120063)
    assert all(len(line) <= 64 for line in method.text.split("; "))


@pytest.mark.parametrize("option", Option)
def test_a_declared_option_is_told_by_its_code(option: Option) -> None:
    codes = [code.CodeValue for code in read((option,)).DeidentificationMethodCodeSequence]
    assert codes == ["113100", option.code.value]


def test_retained_dates_are_not_said_to_be_removed() -> None:
    assert (
        read((Option.RETAIN_LONGITUDINAL_FULL_DATES,)).LongitudinalTemporalInformationModified == "UNMODIFIED"
    )


def test_nothing_is_said_about_text_that_nobody_looked_for() -> None:
    assert "BurnedInAnnotation" not in read((), text_gate=False)


def test_the_computed_attributes_are_those_of_the_standard() -> None:
    for said in statement("x", (), text_gate=True):
        assert pydicom.datadict.keyword_for_tag(said.tag) == said.keyword == COMPUTED[said.tag]
