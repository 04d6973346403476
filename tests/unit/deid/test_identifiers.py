from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deid.identifiers import IDENTIFYING_VRS, Needles, needles_of, words_in

LATIN, UTF8, JAPANESE = ("ISO_IR 100",), ("ISO_IR 192",), ("", "ISO 2022 IR 87")


def needles(vr: bytes, raw: bytes | str, *sets: tuple[str, ...]) -> Needles:
    return needles_of(vr, raw.encode() if isinstance(raw, str) else raw, sets or (UTF8,))


def finds(needles: Needles, text: str | bytes) -> bool:
    """Whether a text with these needles in it would be found."""
    lowered = (text.encode() if isinstance(text, str) else text).lower()
    return any(part in lowered for part in needles.parts) or not words_in(lowered).isdisjoint(needles.words)


@pytest.mark.parametrize("vr", sorted(IDENTIFYING_VRS - {b"UI", b"DA", b"DT", b"TM"}))
@pytest.mark.parametrize("written", ["Zquex77", "ZQUEX77", "zquex77", "xxZquex77xx"])
def test_every_text_is_found_in_any_case(vr: bytes, written: str) -> None:
    assert finds(needles(vr, "Zquex77"), written)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("written", ["Müller", "MÜLLER", "müller"])
def test_a_name_is_found_in_every_encoding_and_case(codec: str, written: str) -> None:
    assert finds(needles(b"PN", "Müller^Jörg".encode("latin-1"), LATIN), b"..." + written.encode(codec))
    assert finds(needles(b"PN", "Müller^Jörg"), written.encode(codec))


def test_a_name_is_found_without_its_accents() -> None:
    assert finds(needles(b"PN", "Müller^Jörg"), "MULLER")


def test_a_name_in_another_writing_is_found_in_its_own_bytes_and_in_utf8() -> None:
    raw = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    found = needles(b"PN", raw, JAPANESE)
    for text in ("山田".encode(), "太郎".encode("utf-16-be"), b"\x1b$B;3ED\x1b(B", "YAMADA", "tarou"):
        assert finds(found, text)
    assert not finds(found, "鈴木")


@pytest.mark.parametrize(
    "written", ["SMITH", "john smith", "Smith, John", "Smith^John", "jsmith", "JohnSmith", "JOHN"]
)
def test_a_name_is_found_in_any_order(written: str) -> None:
    assert finds(needles(b"PN", "Smith^John^^Dr"), written)


@pytest.mark.parametrize("written", ["Li Bo", "BO LI", "li^bo", "Bo, Li", "bo_li", "LiBo", "xx Li xx"])
def test_a_short_name_is_found_joined_or_alone(written: str) -> None:
    assert finds(needles(b"PN", "Li^Bo"), written)


@pytest.mark.parametrize("written", ["limited", "Bolivia", "reliable"])
def test_a_short_name_is_not_found_inside_a_word(written: str) -> None:
    assert not finds(needles(b"PN", "Li^Q"), written)


DATES = """
19470312|1947-03-12|1947/03/12|12.03.1947|12/03/1947|03/12/1947|12-03-1947|12031947|470312|12.03.47|12.3.1947|3/12/1947
12 Mar 1947|12-MAR-1947|March 12, 1947|12mar1947
"""


@pytest.mark.parametrize("written", DATES.strip().replace("\n", "|").split("|"))
@pytest.mark.parametrize(
    ("vr", "raw"), [(b"DA", "19470312"), (b"DA", "1947.03.12"), (b"DT", "19470312101530.00+0100")]
)
def test_a_date_is_found_as_people_write_it(written: str, vr: bytes, raw: str) -> None:
    assert finds(needles(vr, raw), f"born {written} in")


@pytest.mark.parametrize("written", ["19470313", "1947", "12 Mar 1948"])
def test_another_date_is_not_found(written: str) -> None:
    assert not finds(needles(b"DA", "19470312"), written)


@pytest.mark.parametrize("written", ["101530", "10:15:30", "101530.123456"])
def test_a_time_is_found(written: str) -> None:
    assert finds(needles(b"TM", "101530.123456"), written)


@pytest.mark.parametrize("raw", ["99999999", "00000000", "not a date", "20250230", "&&&", "-1"])
def test_what_is_no_date_is_looked_for_as_it_is(raw: str) -> None:
    assert finds(needles(b"DA", raw), raw) or len(raw) < 3


def test_a_uid_is_found_and_one_of_the_standard_is_not_looked_for() -> None:
    found = needles(b"UI", "1.2.276.0.99.1\\1.2.840.10008.5.1.4.1.1.2\\1.3.6.1.4.1.9.2\0")
    assert finds(found, "http://x/1.2.276.0.99.1/y")
    assert finds(found, "1.3.6.1.4.1.9.2")
    assert not finds(found, "1.2.840.10008.5.1.4.1.1.2")


def test_an_identifier_with_digits_is_found_without_its_punctuation() -> None:
    assert finds(needles(b"LO", "A-12/34.56"), "a123456")


def test_each_of_several_values_is_found() -> None:
    assert finds(needles(b"LO", "first-id\\second-id"), "SECOND-ID")


def test_a_word_of_a_text_is_found() -> None:
    assert finds(needles(b"LT", "Referred by Dr Zquex, ward 9. " * 50), "see zquex")


def test_text_sent_as_un_is_found_and_binary_is_not_looked_for() -> None:
    assert finds(needles(b"UN", b"Zquex"), "ZQUEX")
    assert finds(needles(b"OB", b"\0\1\2\3Zquex77\0\0"), "zquex77")
    assert not needles(b"OB", bytes(range(32)) * 10).parts
    assert not needles(b"UN", b"Zquex" * 2000).parts


@pytest.mark.parametrize("raw", ["", " ", "A", "\0"])
def test_a_value_of_nothing_or_one_character_is_no_identifier(raw: str) -> None:
    assert not any(needles(b"LO", raw))


def test_two_characters_are_looked_for_as_a_word() -> None:
    assert finds(needles(b"LO", "CT"), "a CT scan")
    assert not finds(needles(b"LO", "CT"), "active")


def test_small_numbers_are_no_words() -> None:
    assert words_in(b"12 345 9999 123456 ab1") == {b"123456", b"ab1"}


@given(st.sampled_from(sorted(IDENTIFYING_VRS)), st.binary(max_size=200))
def test_no_value_makes_it_stumble(vr: bytes, raw: bytes) -> None:
    found = needles_of(vr, raw, (UTF8, JAPANESE, ("ISO 2022 IR 58", "x")))
    for part in found.parts:
        assert part == part.lower()
        assert len(part) >= 3


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=60))
def test_whatever_stands_in_a_text_value_is_found_whole(text: str) -> None:
    assert finds(needles(b"LO", text), "-" + text.upper() + "-")
