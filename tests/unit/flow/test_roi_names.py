"""ROI names (deid-cases 36): what a TPS cannot take is mended, and no two names become one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flow.roi_names import clean, encode, fit, read

CHARACTER_SETS = [
    b"",
    b"ISO_IR 100",
    b"ISO_IR 192",
    b"ISO_IR 144",
    b"GB18030 ",
    b"\\ISO 2022 IR 87",
    b"ISO_IR 13",
]


@given(
    st.lists(st.text(max_size=24) | st.sampled_from(["Liver", "LIVER", "liver_2", "Liver_2"]), max_size=30),
    st.integers(4, 64),
    st.sampled_from(CHARACTER_SETS),
)
def test_fitted_names_are_short_distinct_and_writable(names, limit, character_set):
    fitted = fit(names, limit=limit, character_set=character_set)
    assert len(fitted) == len(names)
    assert len({name.casefold() for name in fitted}) == len(names)
    for name in fitted:
        assert 0 < len(name) <= limit
        assert name == name.strip()
        encoded = encode(name, character_set)
        assert len(encoded) % 2 == 0
        assert b"\\" not in encoded
        assert b"\x1b" not in encoded


@given(st.text(max_size=40))
def test_nothing_invisible_survives_cleaning(name):
    cleaned = clean(name)
    assert not any(unicodedata.category(character).startswith("C") for character in cleaned)
    assert "\\" not in cleaned
    assert clean(cleaned) == cleaned


def test_names_that_fit_stay_as_they_are():
    names = ["Liver", "Kidney_L", "Kidney_R", "PTV 60 Gy"]
    assert fit(names, limit=16, character_set=b"ISO_IR 100") == tuple(names)


def test_long_names_that_begin_alike_do_not_become_one():
    fitted = fit(["Parotid_Gland_Left", "Parotid_Gland_Lower"], limit=16, character_set=b"")
    assert fitted == ("Parotid_Gland_Le", "Parotid_Gland_Lo")
    fitted = fit(["Parotid_Gland_Left", "Parotid_Gland_Lef"], limit=16, character_set=b"")
    assert fitted == ("Parotid_Gland_Le", "Parotid_Gland__2")


def test_a_cut_name_does_not_take_another_rois_own_name():
    fitted = fit(["Lung_Left_Upper_Lobe", "Lung_Left_Upper_"], limit=16, character_set=b"")
    assert fitted[1] == "Lung_Left_Upper_"
    assert fitted[0] != fitted[1]


def test_names_alike_but_for_case_are_numbered():
    assert fit(["Liver", "LIVER", "liver"], limit=16, character_set=b"") == ("Liver", "LIVER_2", "liver_3")


def test_a_bidirectional_override_is_removed():
    assert clean("Liver\u202egnuL\u2066") == "LivergnuL"


def test_backslashes_and_control_characters_become_blanks():
    assert clean("a\\b\r\n\tc\x00d\x1b") == "a b c d"


def test_letters_that_the_character_set_lacks_are_transliterated():
    assert fit(["Groß Hörner", "Łuk"], limit=16, character_set=b"") == ("Gross Horner", "Luk")
    assert fit(["Groß Hörner"], limit=16, character_set=b"ISO_IR 100") == ("Groß Hörner",)
    assert fit(["肝臓"], limit=16, character_set=b"\\ISO 2022 IR 87") == ("ROI",)


def test_a_name_with_nothing_in_it_is_called_roi():
    assert fit(["", "\u202e"], limit=16, character_set=b"") == ("ROI", "ROI_2")


@pytest.mark.parametrize(
    ("octets", "character_set", "name"),
    [
        (b"H\xf6rner ", b"ISO_IR 100", "Hörner"),
        ("Hörner".encode(), b"ISO_IR 192", "Hörner"),
        (b"H\xf6rner", b"ISO_IR 192", "Hrner"),
        (b"H\xf6rner", b"", "Hrner"),
        (b"\x1b$Bliver", b"\\ISO 2022 IR 87", "$Bliver"),
    ],
)
def test_a_name_is_read_in_its_character_set_or_as_its_ascii_part(octets, character_set, name):
    assert read(octets, character_set) == name
