from __future__ import annotations

from importlib.resources import files

import pytest
from pydicom.datadict import tag_for_keyword

from gateway.deid.codes import Option
from gateway.deid.table import CREDIT, EDITION, load_table
from gateway.errors import ConfigError

LINES = files("gateway.deid").joinpath("data", f"ps315_e1_1_{EDITION}.csv").read_text("utf-8").splitlines()
NAME = next(n for n, line in enumerate(LINES) if line.startswith('"(0010,0010)"'))


def test_the_shipped_table_is_whole() -> None:
    table = load_table()
    assert len(table) == len(list(table)) == 657
    assert CREDIT == "DICOM PS3.15 2026d, NEMA"


@pytest.mark.parametrize(
    ("keyword", "basic"),
    [
        ("PatientName", {"Z"}),
        ("PatientID", {"Z", "D"}),
        ("StudyInstanceUID", {"U"}),
        ("SeriesDescription", {"X"}),
        ("ContentDate", {"Z", "D"}),
    ],
)
def test_rows_say_what_the_standard_prints(keyword: str, basic: set[str]) -> None:
    row = load_table().row(tag_for_keyword(keyword) or 0)
    assert row is not None
    assert (row.keyword, row.basic) == (keyword, basic)


def test_options_come_from_their_columns() -> None:
    table = load_table()
    sex, uid = table.row(0x00100040), table.row(0x00080018)
    assert sex is not None
    assert uid is not None
    assert sex.options == {Option.RETAIN_PATIENT_CHARACTERISTICS: "K"}
    assert uid.options == {Option.RETAIN_UIDS: "K"}


@pytest.mark.parametrize(
    "tag", [0x50001234, 0x501E0010, 0x60003000, 0x60FE4000, 0x00091001, 0x000910FF, 0x7FE11010]
)
def test_curves_overlays_and_private_attributes_are_covered(tag: int) -> None:
    row = load_table().row(tag)
    assert row is not None
    assert row.basic == {"X"}


@pytest.mark.parametrize("tag", [0x00080060, 0x00280010, 0x60000010])
def test_what_the_table_does_not_name_has_no_row(tag: int) -> None:
    assert load_table().row(tag) is None


def mistake(lines: list[str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_table(lines)
    assert caught.value.code == "CONFIG_INVALID"
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"(0010,0010)"', '"(0010,001)"', "tag"),
        ('"(0010,0010)"', '"0010,0010"', "tag"),
        (",PatientName,", ",PatientID,", "keyword of another tag"),
        (",PatientName,", ",Patient Name,", "keyword"),
        (",Z,", ",K,", "basic profile"),
        (",Z,", ",,", "basic profile"),
        (",2026d,", ",2025a,", "edition"),
        (",Z,,", ",Z,Q,", "retain safe private"),
        (",2026d,", ",2026d,,,", "number of cells"),
        (",PatientName,", ",", "number of cells"),
    ],
)
def test_a_malformed_row_is_found_and_located(old: str, new: str, what: str) -> None:
    assert old in LINES[NAME]
    error = mistake([*LINES[:NAME], LINES[NAME].replace(old, new, 1), *LINES[NAME + 1 :]])
    assert error.facts["line"] == NAME + 1
    assert what in str(error.facts["mistake"])


def test_a_row_twice_is_found() -> None:
    assert mistake([*LINES, LINES[NAME]]).facts["mistake"] == "tag twice"


def test_a_table_that_lost_its_end_is_found() -> None:
    assert mistake(LINES[:500]).facts["mistake"] == "incomplete"


def test_a_table_that_lost_its_private_row_is_found() -> None:
    assert mistake([line for line in LINES if "is odd" not in line]).facts["mistake"] == "incomplete"


def test_other_columns_are_found() -> None:
    assert mistake(["tag,keyword", *LINES[1:]]).facts["mistake"] == "columns"
    assert mistake([]).facts["mistake"] == "columns"


def test_every_option_has_its_own_code_of_cid_7050() -> None:
    codes = [option.code.value for option in Option]
    assert codes == [str(113101 + n) for n in range(12)]
    assert all(option.code.meaning.endswith("Option") for option in Option)
    assert Option.labelled("retain-uids") is Option.RETAIN_UIDS
    with pytest.raises(ValueError, match="not an option"):
        Option.labelled("retain-everything")
