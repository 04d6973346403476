"""What each action writes for what it finds."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deid.declared import Action, Attribute
from gateway.deid.recipe import compiled
from gateway.deid.statement import statement
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import DeidentificationError
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms
from tests import made
from tests.raw import element, inserted

PLAIN = made.encoded(made.image())
PSEUDONYMS = Pseudonyms(ClinicKey(b"k" * 32), b"scope")


def received(*elements: bytes, signed: bool = True) -> Instance:
    data = PLAIN
    for one in elements:
        data = inserted(data, one)
    if not signed:
        data = inserted(data, element(0x00280103, b"US", b"\0\0"))
    return parse_instance(data, "1.2.840.10008.1.2.1", limits=WalkLimits())


def written(instance: Instance, *attributes: Attribute) -> dict[int, bytes]:
    """Value fields by tag; a value that is left out is absent."""
    steps = compiled(attributes, ())
    header = b"".join(step if isinstance(step, bytes) else step(instance, PSEUDONYMS) for step in steps)
    return {
        tag: header[a:b] for tag, (_, a, b) in walk(header, implicit=False, limits=WalkLimits()).spans.items()
    }


def number(tag: int = 0x00181100, vr: str = "DS", type_: str = "3", **details: object) -> Attribute:
    return Attribute(tag, f"N{tag:x}", vr, type_, Action.NUMBER, "a reason", **details)  # type: ignore[arg-type]


def code(tag: int = 0x00185100, type_: str = "3", vr: str = "CS", **details: object) -> Attribute:
    return Attribute(tag, f"C{tag:x}", vr, type_, Action.CODE, "a reason", **details)  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"1.500000000000 ", b"+0005.0 ", b"1E2 ", b" 1.5", b".5", b"5."])
def test_a_number_is_copied_byte_for_byte(raw: bytes) -> None:
    raw += b" " * (len(raw) % 2)
    assert written(received(element(0x00181100, b"DS", raw)), number())[0x00181100] == raw


@given(st.floats(-1e9, 1e9).map(lambda x: f"{x:.10g}"[:16]))
def test_no_precision_is_lost(text: str) -> None:
    raw = text.encode()
    out = written(received(element(0x00181100, b"DS", raw + b" " * (len(raw) % 2))), number())
    assert out[0x00181100].rstrip() == raw


def test_padding_of_the_wrong_kind_is_not_copied() -> None:
    assert written(received(element(0x00181100, b"DS", b"500\0")), number())[0x00181100] == b"500 "


@pytest.mark.parametrize(
    "raw", [b"SMITH^JO", b"5 SMITH ", b"5\\6 ", b"nan ", b"5;6 ", b"", b"5e999 ", b"19330405\\1 "]
)
@pytest.mark.parametrize(("type_", "out"), [("3", None), ("1C", None), ("2", b"")])
def test_text_in_a_number_is_left_behind(raw: bytes, type_: str, out: bytes | None) -> None:
    assert written(received(element(0x00181100, b"DS", raw)), number(type_=type_)).get(0x00181100) == out


@pytest.mark.parametrize("raw", [b"SMITH^JO", b"", b"9999"])
def test_without_a_believable_number_of_type_1_nothing_leaves(raw: bytes) -> None:
    instance = received(element(0x00181100, b"DS", raw))
    with pytest.raises(DeidentificationError) as caught:
        written(instance, number(type_="1", bounds=(0, 100)))
    assert caught.value.code == "DEID_NOT_UNDERSTOOD"
    assert caught.value.facts == {"tag": 0x00181100}


@pytest.mark.parametrize(
    ("raw", "leaves"), [(b"0 ", True), (b"100 ", True), (b"101 ", False), (b"-1", False)]
)
def test_a_number_outside_its_range_is_left_behind(raw: bytes, leaves: bool) -> None:
    out = written(received(element(0x00181100, b"DS", raw)), number(bounds=(0, 100)))
    assert (0x00181100 in out) is leaves


@pytest.mark.parametrize("raw", [b"2147483648", b"-2147483649 ", b"1.5 ", b"1e3 "])
def test_an_integer_string_out_of_range_is_left_behind(raw: bytes) -> None:
    assert written(received(element(0x00200012, b"IS", raw)), number(0x00200012, "IS")) == {}
    assert written(received(element(0x00200012, b"IS", b"-7")), number(0x00200012, "IS")) == {
        0x00200012: b"-7"
    }


@pytest.mark.parametrize("vr", [b"LO", b"UN", b"IS", b"SH"])
def test_a_number_in_another_vr_is_left_behind(vr: bytes) -> None:
    assert written(received(element(0x00181100, vr, b"500 ")), number()) == {}


@pytest.mark.parametrize(
    ("raw", "leaves"), [(b"1", False), (b"1\\2 ", True), (b"1\\2\\3\\4 ", True), (b"1\\2\\3\\4\\5 ", False)]
)
def test_the_count_of_numbers_is_bounded(raw: bytes, leaves: bool) -> None:
    raw += b" " * (len(raw) % 2)
    out = written(received(element(0x00282112, b"DS", raw)), number(0x00282112, fewest=2, most=4))
    assert bool(out) is leaves


def test_a_long_value_is_not_even_looked_at() -> None:
    assert written(received(element(0x00181100, b"DS", b"1" * 1000)), number()) == {}


@pytest.mark.parametrize("signed", [False, True])
def test_padding_values_have_the_sign_of_the_pixels(signed: bool) -> None:
    attribute = number(0x00280120, "US or SS")
    instance = received(element(0x00280120, b"SS", b"\x30\xf8"), signed=signed)
    header = compiled([attribute], ())[0](instance, PSEUDONYMS)  # type: ignore[operator]
    assert header[4:6] == (b"SS" if signed else b"US")
    assert header[8:] == b"\x30\xf8"


@pytest.mark.parametrize(
    ("vr", "form", "good"), [("UL", "I", 7), ("SL", "i", -7), ("FL", "f", 1.5), ("FD", "d", 1.5)]
)
def test_binary_numbers_are_copied_whole_or_not_at_all(vr: str, form: str, good: float) -> None:
    attribute = number(0x00189073, vr, bounds=(-100, 100))
    raw = struct.pack("<" + form, good)
    assert written(received(element(0x00189073, vr.encode(), raw)), attribute) == {0x00189073: raw}
    for bad in (raw + raw, raw[:-1], raw + b"\0", struct.pack("<" + form, 101)):
        assert written(received(element(0x00189073, vr.encode(), bad)), attribute) == {}
    if form in "fd":
        for bad in (math.nan, math.inf):
            assert (
                written(received(element(0x00189073, vr.encode(), struct.pack("<" + form, bad))), attribute)
                == {}
            )


@pytest.mark.parametrize(
    ("raw", "leaves"), [(b"045Y", True), (b"089Y", True), (b"090Y", False), (b"999W", True)]
)
def test_ages_over_89_never_leave(raw: bytes, leaves: bool) -> None:
    out = written(received(element(0x00101010, b"AS", raw)), number(0x00101010, "AS"))
    assert bool(out) is leaves
    assert written(received(element(0x00101010, b"AS", b"45YR")), number(0x00101010, "AS")) == {}


@pytest.mark.parametrize("raw", [b"HFS ", b"HFS\0", b" HFS"])
def test_a_known_word_leaves_without_its_padding(raw: bytes) -> None:
    attribute = code(values=frozenset({"HFS", "FFS"}))
    assert written(received(element(0x00185100, b"CS", raw)), attribute) == {0x00185100: b"HFS "}


@pytest.mark.parametrize("raw", [b"SMITH ", b"hfs ", b"HFS SMITH ", b"", b"HFS^"])
def test_an_unknown_word_is_left_behind(raw: bytes) -> None:
    instance = received(element(0x00185100, b"CS", raw))
    words = frozenset({"HFS"})
    assert written(instance, code(values=words)) == {}
    assert written(instance, code(type_="2", values=words)) == {0x00185100: b""}
    with pytest.raises(DeidentificationError):
        written(instance, code(type_="1", values=words))


def test_unknown_words_among_known_ones_are_left_behind() -> None:
    attribute = code(0x00180020, values=frozenset({"SE", "EP"}), most=8)
    assert written(received(element(0x00180020, b"CS", b"SE\\SMITH\\EP ")), attribute) == {
        0x00180020: b"SE\\EP "
    }


POSITIONS = (frozenset({"ORIGINAL", "DERIVED"}), frozenset({"PRIMARY"}), frozenset({"AXIAL", "LOCALIZER"}))


@pytest.mark.parametrize(
    ("raw", "out"),
    [
        (b"ORIGINAL\\PRIMARY\\AXIAL\\SMITH ", b"ORIGINAL\\PRIMARY\\AXIAL"),
        (b"ORIGINAL\\PRIMARY\\SMITH ", b"ORIGINAL\\PRIMARY\\AXIAL"),
        (b"ORIGINAL\\PRIMARY\\LOCALIZER ", b"ORIGINAL\\PRIMARY\\LOCALIZER"),
        (b"DERIVED\\PRIMARY ", b"DERIVED\\PRIMARY\\AXIAL"),
        (b"PRIMARY\\ORIGINAL ", None),
        (b"ORIGINAL\\SMITH\\AXIAL ", None),
    ],
)
def test_positions_are_kept_up_to_the_first_unknown_word(raw: bytes, out: bytes | None) -> None:
    attribute = code(0x00080008, positions=POSITIONS, at_least=2, fill="AXIAL")
    raw = raw.rstrip() + b" " * (len(raw.rstrip()) % 2)
    found = written(received(element(0x00080008, b"CS", raw)), attribute).get(0x00080008)
    assert (found.rstrip() if found else found) == out


@pytest.mark.parametrize(
    ("raw", "out"),
    [
        (b"", b"NONE"),
        (b"  ", b"NONE"),
        (b"\0\0", b"NONE"),
        (b"SK", b"SK"),
        (b"SMITH ", None),
        (b"\\SMITH", None),
    ],
)
def test_an_element_without_a_value_can_stand_for_a_word(raw: bytes, out: bytes | None) -> None:
    attribute = code(0x00180021, values=frozenset({"SK", "NONE"}), if_empty="NONE")
    assert written(received(element(0x00180021, b"CS", raw)), attribute).get(0x00180021) == out


def test_an_absent_element_stands_for_nothing() -> None:
    assert written(received(), code(0x00180021, values=frozenset({"NONE"}), if_empty="NONE")) == {}


def test_uids_are_replaced_everywhere_alike() -> None:
    attribute = Attribute(0x00200052, "F", "UI", "1", Action.UID, "a reason")
    instance = received()
    out = written(instance, attribute)[0x00200052].rstrip(b"\0").decode()
    assert out == PSEUDONYMS.uid(instance.frame_of_reference_uid)


@pytest.mark.parametrize("raw", [b"1.2\\1.3 ", b"SMITH ", b"1.2.0123 ", b""])
def test_a_uid_that_is_none_is_left_behind(raw: bytes) -> None:
    instance = received(element(0x00080014, b"UI", raw))
    assert written(instance, Attribute(0x00080014, "U", "UI", "3", Action.UID, "a reason")) == {}
    with pytest.raises(DeidentificationError):
        written(instance, Attribute(0x00080014, "U", "UI", "1", Action.UID, "a reason"))


def test_constants_and_empty_values_are_encoded_once() -> None:
    attributes = [
        Attribute(0x00080070, "M", "LO", "2", Action.EMPTY, "a reason"),
        Attribute(0x00080060, "Y", "CS", "1", Action.CONSTANT, "a reason", value="CT"),
    ]
    (only,) = compiled(attributes, statement("name", (), text_gate=True)[-1:])
    assert isinstance(only, bytes)
    assert only.startswith(element(0x00080060, b"CS", b"CT") + element(0x00080070, b"LO"))


def test_conditions_look_at_what_goes_out() -> None:
    part = code(0x00180015, values=frozenset({"HEAD"}))
    side = Attribute(0x00200060, "L", "CS", "2C", Action.EMPTY, "a reason", unless=part.keyword)
    with_part, without = (
        received(element(0x00180015, b"CS", b"HEAD")),
        received(element(0x00180015, b"CS", b"SMITH ")),
    )
    assert set(written(with_part, part, side)) == {0x00180015}
    assert set(written(without, part, side)) == {0x00200060}

    sequence = code(0x00180020, values=frozenset({"SE", "IR"}), most=2)
    time = number(0x00180082, type_="2C", when=(sequence.keyword, "IR"))
    inversion = element(0x00180082, b"DS", b"100 ")
    assert set(written(received(element(0x00180020, b"CS", b"SE\\IR "), inversion), sequence, time)) == {
        0x00180020,
        0x00180082,
    }
    assert set(written(received(element(0x00180020, b"CS", b"SE"), inversion), sequence, time)) == {
        0x00180020
    }
    assert written(received(element(0x00180020, b"CS", b"IR")), sequence, time)[0x00180082] == b""
