from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dicom.walk import WalkLimits, dictionary_vr, walk
from gateway.errors import IntakeError
from tests.raw import ITEM_END, SEQUENCE_END, UNDEFINED, element, implicit, item, sequence

LIMITS = WalkLimits()
ROWS = element(0x00280010, b"US", b"\x10\0")


def refusal(data: bytes, *, implicit: bool = False, limits: WalkLimits = LIMITS) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        walk(data, implicit=implicit, limits=limits)
    assert caught.value.dimse_status == 0xC000
    return caught.value


def test_values_lie_where_the_walk_says() -> None:
    data = element(0x00080060, b"CS", b"CT") + element(0x00091001, b"OB", b"abcd") + ROWS
    elements = walk(data, implicit=False, limits=LIMITS)
    assert [data[e.start : e.stop] for e in elements.values()] == [b"CT", b"abcd", b"\x10\0"]
    assert [e.vr for e in elements.values()] == [b"CS", b"OB", b"US"]
    assert list(elements) == [0x00080060, 0x00091001, 0x00280010]
    assert 0x00080060 in elements
    assert len(elements) == 3
    assert "CT" not in repr(elements)


def test_implicit_vrs_come_from_the_dictionary() -> None:
    data = implicit(0x00080060, b"CT") + implicit(0x00090010, b"ACME") + implicit(0x00091001, b"ab")
    data += implicit(0x00100013, b"xx") + implicit(0x60000022, b"text")
    vrs = [e.vr for e in walk(data, implicit=True, limits=LIMITS).values()]
    assert vrs == [b"CS", b"LO", b"UN", b"UN", b"LO"]
    assert dictionary_vr(0x00080000) == b"UL"


@pytest.mark.parametrize("delimited", [False, True])
@pytest.mark.parametrize("delimited_items", [False, True])
def test_sequences_are_entered_and_left(delimited: bool, delimited_items: bool) -> None:
    name = element(0x00100010, b"PN", b"A^")
    inner = sequence(0x00081140, item(name, delimited=delimited_items), item(), delimited=delimited)
    data = sequence(0x00081115, item(inner, delimited=delimited_items), delimited=delimited) + ROWS
    elements = walk(data, implicit=False, limits=LIMITS)
    assert list(elements) == [0x00081115, 0x00280010]
    assert [leaf.tag for leaf in elements.leaves()] == [0x00280010, 0x00100010]
    assert data[elements.nested[0][2] : elements.nested[0][3]] == b"A^"


@pytest.mark.parametrize("vr", [b"UN", b"SQ"])
def test_a_sequence_sent_as_un_is_walked_in_implicit_vr(vr: bytes) -> None:
    name = implicit(0x00100010, b"A^") if vr == b"UN" else element(0x00100010, b"PN", b"A^")
    data = sequence(0x00091115, item(name, delimited=True), delimited=True, vr=vr) + ROWS
    elements = walk(data, implicit=False, limits=LIMITS)
    assert elements.nested[0][:2] == (0x00100010, b"PN")


def test_un_of_defined_length_is_opaque() -> None:
    data = sequence(0x00091115, item(implicit(0x00100010, b"A^")), vr=b"UN")
    assert walk(data, implicit=False, limits=LIMITS).nested == []


def test_group_lengths_and_odd_lengths_are_understood() -> None:
    data = element(0x00080000, b"UL", bytes(4)) + element(0x00080060, b"CS", b"CT ") + ROWS
    assert len(walk(data, implicit=False, limits=LIMITS)) == 3


@pytest.mark.parametrize(
    "data",
    [
        ROWS[:-1],
        ROWS + ROWS[:7],
        element(0x00100010, b"PN", b"A^", length=3),
        element(0x7FE00010, b"OW", b"ab", length=3_000_000_000),
        element(0x7FE00010, b"OW", b"ab", length=UNDEFINED),
        element(0x00100010, b"ZZ", b"ab"),
        element(0x00100010, b"pn", b"ab"),
        struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 1, 0),  # the reserved bytes are not zero
        item(ROWS),
        ROWS + ITEM_END,
        ROWS + SEQUENCE_END,
        sequence(0x00081115, item(ROWS), delimited=True)[:-8],
        sequence(0x00081115, item(ROWS), delimited=True)[:-8] + ROWS,
        sequence(0x00081115, ROWS),
        sequence(0x00081115, item(ITEM_END)),
        sequence(0x00081115, SEQUENCE_END),
        sequence(0x00081115, item(ROWS + b"\0\0")),
        sequence(0x00081115, item(element(0x00100010, b"PN", b"A^", length=40))) + bytes(40),
        sequence(0x00081115, item(element(0x00091001, b"OB", b"ab", length=UNDEFINED))),
        sequence(0x00081115, item(element(0x00091001, b"QQ", b"ab"))),
        sequence(0x00081115, item(struct.pack("<HH2sH", 0x0009, 0x1001, b"OB", 0))),
        sequence(0x00081115, item(ROWS, delimited=True)[:-4] + b"\0\0\0\1"),
        element(0xFFFD1001, b"LO", b"ab"),
        element(0xFFFF1001, b"LO", b"ab"),
    ],
    ids=range(24),
)
def test_an_encoding_that_does_not_fit_its_bytes_is_refused(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "DATASET_UNPARSABLE"


@pytest.mark.parametrize(
    "data",
    [
        ROWS + ROWS,
        ROWS + element(0x00080060, b"CS", b"CT"),
        element(0x00020010, b"UI", b"1.2\0") + ROWS,
        element(0x00000002, b"UI", b"1.2\0"),
        element(0x00041220, b"CS", b"CT"),
        sequence(0x00081115, item(ROWS + ROWS)),
        sequence(0x00081115, item(element(0x00020010, b"UI", b"1.2\0"))),
    ],
    ids=range(7),
)
def test_elements_twice_out_of_order_or_of_foreign_groups_are_refused(data: bytes) -> None:
    assert refusal(data).code == "ELEMENT_TWICE"


@pytest.mark.parametrize("depth", [17, 200, 50_000])
@pytest.mark.parametrize("delimited", [False, True])
def test_deep_nesting_is_refused_without_recursion(depth: int, delimited: bool) -> None:
    if delimited:
        opening = element(0x00081115, b"SQ", length=UNDEFINED) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
        data = opening * depth + (ITEM_END + SEQUENCE_END) * depth
    else:
        heads = [
            element(0x00081115, b"SQ", length=20 * level - 12)
            + struct.pack("<HHL", 0xFFFE, 0xE000, 20 * (level - 1))
            for level in range(depth, 0, -1)
        ]
        data = b"".join(heads)
    started = time.monotonic()
    assert refusal(data).code == "DATASET_TOO_DEEP"
    assert time.monotonic() - started < 1
    assert walk(data, implicit=False, limits=WalkLimits(200_000, depth))


def test_sixteen_levels_are_taken() -> None:
    data = b""
    for _ in range(16):
        data = sequence(0x00081115, item(data))
    assert walk(data, implicit=False, limits=LIMITS)
    assert refusal(sequence(0x00081115, item(data))).code == "DATASET_TOO_DEEP"


@pytest.mark.parametrize(
    "data",
    [
        b"".join(implicit(0x00090000 + n) for n in range(0x1000, 0xF000)) * 1,
        sequence(0x00081115, *[item()] * 60_000),
        sequence(
            0x00081115, item(b"".join(implicit(0x00090000 + n) for n in range(0x1000, 0xF000))), vr=b"UN"
        ),
    ],
    ids=["top level", "empty items", "nested"],
)
def test_a_million_tiny_elements_hit_the_cap(data: bytes) -> None:
    is_implicit = data[4:6] not in (b"SQ", b"UN")
    if data[4:6] == b"UN":
        data = data[:8] + b"\xff\xff\xff\xff" + data[12:] + SEQUENCE_END
    assert refusal(data, implicit=is_implicit).code == "DATASET_TOO_MANY_ELEMENTS"


def test_the_cap_counts_every_level() -> None:
    data = sequence(0x00081115, item(ROWS)) + ROWS
    assert len(walk(data, implicit=False, limits=WalkLimits(elements=4)).nested) == 1
    assert refusal(data, limits=WalkLimits(elements=1)).code == "DATASET_TOO_MANY_ELEMENTS"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_dataset_is_walked(kind: type) -> None:
    data = kind(sequence(0x00081115, item(ROWS)) + ROWS)
    assert list(walk(data, implicit=False, limits=LIMITS)) == [0x00081115, 0x00280010]


VALUES = st.binary(max_size=6)
TAGS = st.integers(0x00080000, 0xFFFC0000).filter(lambda tag: tag >> 16 != 0xFFFE)


@st.composite
def datasets(draw: st.DrawFn, depth: int = 3) -> bytes:
    """A valid explicit VR dataset."""
    parts = []
    for tag in sorted(draw(st.sets(TAGS, max_size=4))):
        vr = draw(st.sampled_from([b"LO", b"UT", b"UN", b"SQ"]))
        if vr == b"SQ" and depth:
            items = draw(st.lists(datasets(depth=depth - 1), max_size=2))
            delimited = draw(st.booleans())
            parts.append(
                sequence(tag, *(item(i, delimited=draw(st.booleans())) for i in items), delimited=delimited)
            )
        else:
            parts.append(element(tag, b"LO" if vr == b"SQ" else vr, draw(VALUES)))
    return b"".join(parts)


@given(datasets())
def test_every_valid_dataset_is_taken_whole(data: bytes) -> None:
    elements = walk(data, implicit=False, limits=LIMITS)
    assert max((e.stop for e in elements.values()), default=0) == len(data)


@given(datasets(), st.data())
def test_every_truncation_is_refused_or_ends_between_elements(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    ends = {0, *(e.stop for e in walk(data, implicit=False, limits=LIMITS).values())}
    if cut in ends:
        walk(data[:cut], implicit=False, limits=LIMITS)
    else:
        assert refusal(data[:cut]).code == "DATASET_UNPARSABLE"


@settings(max_examples=300)
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_it_stumble(data: bytes, is_implicit: bool) -> None:
    try:
        elements = walk(data, implicit=is_implicit, limits=LIMITS)
    except IntakeError:
        return
    for leaf in elements.leaves():
        assert 0 <= leaf.start <= leaf.stop <= len(data)


@settings(max_examples=300)
@given(datasets(), st.data())
def test_no_damage_makes_it_stumble(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(
                st.sampled_from([0, 1, 0xFF, 0xFE, 0xE0])
            )
    try:
        walk(bytes(damaged), implicit=False, limits=LIMITS)
    except IntakeError as error:
        assert error.dimse_status == 0xC000  # noqa: PT017  # either way is sound
