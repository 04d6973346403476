"""Random datasets: whatever else a sender puts into an image, not one byte of what leaves may change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary

from gateway.errors import DeidentificationError, IntakeError
from tests import made
from tests.deid.canary import Canary
from tests.deid.way_out import PROFILES, deidentified, everything, received
from tests.raw import element, inserted, item, sequence

CANARY = Canary("ZQUEXFORD77")
PLAIN = {modality: made.encoded(made.image(modality=modality)) for modality in ("CT", "MR")}
CLEAN = {modality: everything(deidentified(received(data))) for modality, data in PLAIN.items()}
NAMED = {a.tag for profile in PROFILES.values() for a in profile.attributes} | {0x00280008, 0x7FE00010}
KNOWN = sorted(tag for tag in DicomDictionary if 0x00080000 < tag < 0xFFFA0000 and tag not in NAMED)
TEXT = [
    b"AE",
    b"CS",
    b"LO",
    b"LT",
    b"OB",
    b"PN",
    b"SH",
    b"ST",
    b"UC",
    b"UI",
    b"UN",
    b"UR",
    b"UT",
    b"DA",
    b"DS",
    b"IS",
]

tags = st.one_of(
    st.sampled_from(KNOWN),
    st.integers(0x00090000, 0x7FDFFFFF).filter(lambda tag: tag not in NAMED and tag >> 16 != 0x0002),
)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A value with the canary somewhere in it."""
    codec = draw(st.sampled_from(["ascii", "utf-16-le", "utf-16-be"]))
    raw = draw(st.binary(max_size=8)) + CANARY.text.encode(codec) + draw(st.binary(max_size=8))
    return raw + b" " * (len(raw) % 2)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> bytes:
    """One element, or a sequence with some in it."""
    tag = draw(tags)
    if depth and draw(st.integers(0, 2)) == 0:
        inside = b""
        for one in draw(st.lists(elements(depth=depth - 1), max_size=3)):
            inside = inserted(inside, one)
        delimited = draw(st.booleans())
        return sequence(tag, item(inside, delimited=draw(st.booleans())), delimited=delimited)
    return element(tag, draw(st.sampled_from(TEXT)), draw(values()))


@settings(max_examples=150)
@given(st.sampled_from(["CT", "MR"]), st.lists(elements(), min_size=1, max_size=8))
def test_what_the_profile_does_not_name_changes_nothing(modality: str, added: list[bytes]) -> None:
    data = PLAIN[modality]
    for one in added:
        data = inserted(data, one)
    try:
        out = everything(deidentified(received(data)))
    except IntakeError:  # what must be given back has not its VR
        return
    assert out == CLEAN[modality]


@settings(max_examples=150)
@given(st.sampled_from(["CT", "MR"]), st.data())
def test_a_canary_in_what_the_profile_names_stays_or_stops_the_image(
    modality: str, draw: st.DataObject
) -> None:
    attribute = draw.draw(st.sampled_from(PROFILES[modality].attributes))
    vr = draw.draw(st.sampled_from([attribute.vr.encode()[:2], *TEXT]))
    raw = draw.draw(st.sampled_from([b"", b"1\\", b"1.5", b"AXIAL\\"])) + CANARY.text.encode()
    data = inserted(PLAIN[modality], element(attribute.tag, vr, raw + b" " * (len(raw) % 2)))
    assert CANARY.found_in(data)
    try:
        out = everything(deidentified(received(data)))
    except (IntakeError, DeidentificationError) as error:
        assert CANARY.found_in(str(error).encode()) == set()  # noqa: PT017  # either way is sound
        return
    assert CANARY.found_in(out) == set()


def test_control_the_random_elements_do_carry_the_canary() -> None:
    found = []

    @settings(max_examples=30, database=None)
    @given(elements())
    def look(one: bytes) -> None:
        found.append(bool(CANARY.found_in(one)))

    look()
    assert sum(found) > len(found) / 3
