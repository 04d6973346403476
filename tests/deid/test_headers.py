"""Identifiers in the header, wherever a sender can put them.

Each case plants a canary. Either the image is refused, or the canary is nowhere in what leaves. The controls show that
the same search finds it in what was received, and in what a de-identification by deny-list makes of it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gateway.deid.table import load_table
from gateway.errors import DeidentificationError, IntakeError
from tests import made
from tests.deid.canary import Canary
from tests.deid.way_out import EXPLICIT, deidentified, everything, received
from tests.raw import element, implicit, inserted, item, sequence

NAME = Canary("ZQUEXFORD^WILMOTTAR")
WORD = Canary("ZQUEXFORD77")
UID = Canary("1.2.826.0.1.3680043.8.498.7777777.31415926")
DATE = Canary("19310714")

Made = Callable[[Canary], bytes]
PLAIN = made.encoded(made.image())


def value(canary: Canary) -> bytes:
    raw = canary.text.encode()
    return raw + b" " * (len(raw) % 2)


def put(tag: int, vr: bytes) -> Made:
    """One element with the canary as its value."""
    return lambda canary: inserted(PLAIN, element(tag, vr, value(canary)))


def put_nested(tag: int, *content: tuple[int, bytes], vr: bytes = b"SQ", delimited: bool = True) -> Made:
    """The canary inside a sequence."""

    def dataset(canary: Canary) -> bytes:
        inside = b"".join(element(inner, inner_vr, value(canary)) for inner, inner_vr in content)
        return inserted(PLAIN, sequence(tag, item(inside, delimited=delimited), delimited=delimited, vr=vr))

    return dataset


def three_levels_deep(canary: Canary) -> bytes:
    inner = sequence(0x00400441, item(element(0x0040A123, b"PN", value(canary))))
    return inserted(PLAIN, sequence(0x00400260, item(sequence(0x00400440, item(inner)))))


def sequence_as_un(canary: Canary) -> bytes:
    inside = implicit(0x00100010, value(canary))
    return inserted(PLAIN, sequence(0x00400260, item(inside, delimited=True), delimited=True, vr=b"UN"))


def sequence_as_opaque_un(canary: Canary) -> bytes:
    return inserted(PLAIN, sequence(0x00400260, item(implicit(0x00100010, value(canary))), vr=b"UN"))


def private_block(canary: Canary) -> bytes:
    data = inserted(PLAIN, element(0x00090010, b"LO", b"ACME "[:4]))
    return inserted(data, element(0x00091001, b"LO", value(canary)))


def private_in_sequence(canary: Canary) -> bytes:
    block = element(0x00090010, b"LO", b"ACME") + element(0x00091001, b"PN", value(canary))
    return inserted(PLAIN, sequence(0x00400260, item(block)))


def safe_private(canary: Canary) -> bytes:
    data = inserted(PLAIN, element(0x00190010, b"LO", b"GEMS_ACQU_01"))
    return inserted(data, element(0x00191023, b"DS", value(canary)))


def several_uids(canary: Canary) -> bytes:
    raw = b"1.2.3\\" + canary.text.encode()
    return inserted(PLAIN, element(0x00080058, b"UI", raw + b"\0" * (len(raw) % 2)))


def original_attributes(canary: Canary) -> bytes:
    modified = sequence(0x04000550, item(element(0x00100010, b"PN", value(canary))))
    return inserted(PLAIN, sequence(0x04000561, item(modified + element(0x04000565, b"CS", b"CORRECT "))))


def icon(canary: Canary) -> bytes:
    inside = element(0x00280010, b"US", b"\1\0") + element(0x7FE00010, b"OW", value(canary))
    return inserted(PLAIN, sequence(0x00880200, item(inside)))


def signature(canary: Canary) -> bytes:
    return PLAIN + sequence(0xFFFAFFFA, item(element(0x04000115, b"OB", value(canary))))


def encrypted(canary: Canary) -> bytes:
    return inserted(PLAIN, sequence(0x04000500, item(element(0x04000520, b"OB", value(canary)))))


def nested_character_set(canary: Canary) -> bytes:
    inside = element(0x00080005, b"CS", b"ISO_IR 144") + element(0x00100010, b"PN", value(canary))
    return inserted(PLAIN, sequence(0x00081120, item(inside)))


def invalid_bytes(canary: Canary) -> bytes:
    raw = b"\xff\xfe" + canary.text.encode() + b"\xc3"
    return inserted(PLAIN, element(0x00104000, b"LT", raw + b" " * (len(raw) % 2)))


def date_in_text(canary: Canary) -> bytes:
    raw = b"seen " + canary.text.encode() + b" again"
    return inserted(PLAIN, element(0x00204000, b"LT", raw + b" " * (len(raw) % 2)))


def with_time_zone(canary: Canary) -> bytes:
    raw = canary.text.encode() + b"101112.000000+0100"
    return inserted(PLAIN, element(0x0008002A, b"DT", raw + b" " * (len(raw) % 2)))


def code_meaning(canary: Canary) -> bytes:
    inside = element(0x00080100, b"SH", b"1 ") + element(0x00080104, b"LO", value(canary))
    return inserted(PLAIN, sequence(0x00081032, item(inside)))


def de_identified_by_its_own_word(canary: Canary) -> bytes:
    data = inserted(PLAIN, element(0x00120062, b"CS", b"YES "))
    data = inserted(data, element(0x00120063, b"LO", b"Nothing left"))
    return inserted(data, element(0x00100010, b"PN", value(canary)))


def trailing_padding(canary: Canary) -> bytes:
    return PLAIN + element(0xFFFCFFFC, b"OB", value(canary))


CASES: dict[str, tuple[Canary, Made]] = {
    "1 a name three levels deep in a sequence that the table does not list": (NAME, three_levels_deep),
    "2 a sequence sent as UN": (NAME, sequence_as_un),
    "2 a sequence sent as UN of defined length": (NAME, sequence_as_opaque_un),
    "3 a known attribute sent as UN": (NAME, put(0x00101040, b"UN")),
    "4 an unknown attribute in an even group": (WORD, put(0x00100019, b"LO")),
    "4 an attribute newer than most tools": (WORD, put(0x00100013, b"LO")),
    "5 a private creator": (WORD, put(0x00090010, b"LO")),
    "5 a private block": (WORD, private_block),
    "6 a private element without creator": (WORD, put(0x00091001, b"LO")),
    "7 a private block nested in a standard sequence": (NAME, private_in_sequence),
    "8 a safe private element that carries a name": (NAME, safe_private),
    "9 an original UID in a text": (UID, put(0x00104000, b"LT")),
    "9 an original UID in ImageComments": (UID, put(0x00204000, b"LT")),
    "9 an original UID in an LO": (UID, put(0x00081030, b"LO")),
    "9 an original UID in a URL": (UID, put(0x00081190, b"UR")),
    "10 a multi-valued UI": (UID, several_uids),
    "10 a UID that nobody knows": (UID, put(0x00080014, b"UI")),
    "11 a name in SeriesDescription": (NAME, put(0x0008103E, b"LO")),
    "11 a name in CodeMeaning": (NAME, code_meaning),
    "11 a name in ProtocolName": (NAME, put(0x00181030, b"LO")),
    "12 a name in BodyPartExamined": (WORD, put(0x00180015, b"CS")),
    "12 a name in ConvolutionKernel": (WORD, put(0x00181210, b"SH")),
    "12 a name in PatientPosition": (WORD, put(0x00185100, b"CS")),
    "12 a name in RescaleType": (WORD, put(0x00281054, b"LO")),
    "13 overlay data": (WORD, put(0x60003000, b"OW")),
    "13 an overlay's label": (WORD, put(0x60001500, b"LO")),
    "13 an overlay's description": (WORD, put(0x60000022, b"LO")),
    "13 overlay data in group 601E": (WORD, put(0x601E3000, b"OW")),
    "16 trailing padding": (WORD, trailing_padding),
    "17 a curve": (WORD, put(0x50003000, b"OW")),
    "17 a curve in group 501E": (WORD, put(0x501E0022, b"LO")),
    "20 OriginalAttributesSequence": (NAME, original_attributes),
    "21 ContributingEquipmentSequence": (
        WORD,
        put_nested(0x0018A001, (0x00080080, b"LO"), (0x00181000, b"LO")),
    ),
    "22 IconImageSequence": (WORD, icon),
    "23 a digital signature": (WORD, signature),
    "24 EncryptedAttributesSequence": (WORD, encrypted),
    "26 a nested change of character set": (NAME, nested_character_set),
    "26 bytes that the character set does not allow": (WORD, invalid_bytes),
    "27 a DT with a time zone": (DATE, with_time_zone),
    "27 a DA attribute that the table does not list": (DATE, put(0x00144076, b"DA")),
    "27 a date inside text": (DATE, date_in_text),
    "30 an image that says that it is de-identified": (NAME, de_identified_by_its_own_word),
    "39 a character set that is a name": (WORD, put(0x00080005, b"CS")),
    "41 a DS that carries text": (WORD, put(0x00201041, b"DS")),
    "41 an IS that carries text": (WORD, put(0x00200013, b"IS")),
    "41 an IS out of range that is a birth date": (DATE, put(0x00200013, b"IS")),
    "41 a DS out of range that is a birth date": (DATE, put(0x00201041, b"DS")),
    "a group length": (WORD, put(0x00091000, b"UL")),
    "unlimited text": (NAME, put(0x00081120, b"UT")),
    "a name in a method": (NAME, put(0x00120063, b"LO")),
    "a name as a number of the padding": (WORD, put(0x00280120, b"US")),
    "the station": (WORD, put(0x00081010, b"SH")),
    "a serial number": (WORD, put(0x00181000, b"LO")),
    "the patient's name": (NAME, put(0x00100010, b"PN")),
    "the patient's number": (WORD, put(0x00100020, b"LO")),
    "the patient's birth date": (DATE, put(0x00100030, b"DA")),
    "the physician": (NAME, put(0x00080090, b"PN")),
    "the accession number": (WORD, put(0x00080050, b"SH")),
}

REFUSED = {
    "a known attribute that is given back sent as UN": (NAME, put(0x00100010, b"UN")),
    "a name as ImagePositionPatient": (WORD, put(0x00200032, b"DS")),
    "a name as a UID": (WORD, put(0x0020000D, b"UI")),
    "two UIDs as one": (
        UID,
        lambda canary: inserted(PLAIN, element(0x0020000D, b"UI", b"1.2\\" + value(canary))),
    ),
    "a name as RescaleSlope": (WORD, put(0x00281053, b"DS")),
    "a name as a modality": (WORD, put(0x00080060, b"CS")),
    "a name as an image type": (WORD, put(0x00080008, b"CS")),
    "15 bytes after the last pixel": (
        WORD,
        lambda canary: inserted(PLAIN, element(0x7FE00010, b"OW", bytes(512) + value(canary))),
    ),
    "15 bytes after the last element": (WORD, lambda canary: PLAIN + value(canary)),
    "28 a PatientID twice": (
        WORD,
        lambda canary: PLAIN.replace(
            element(0x00100020, b"LO", b"INVENTED-1"),
            element(0x00100020, b"LO", value(canary)) * 2,
        ),
    ),
    "33 file meta information inside the dataset": (
        WORD,
        lambda canary: element(0x00020016, b"AE", value(canary)) + PLAIN,
    ),
}


@pytest.mark.parametrize(("canary", "dataset"), CASES.values(), ids=CASES)
def test_it_stays_in_the_clinic(canary: Canary, dataset: Made) -> None:
    assert canary.found_in(everything(deidentified(received(dataset(canary))))) == set()


@pytest.mark.parametrize(("canary", "dataset"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_or_held_without_a_word_about_it(canary: Canary, dataset: Made) -> None:
    with pytest.raises((IntakeError, DeidentificationError)) as caught:
        deidentified(received(dataset(canary)))
    assert canary.found_in(str(caught.value).encode()) == set()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("canary", "dataset"), [*CASES.values(), *REFUSED.values()], ids=[*CASES, *REFUSED])
def test_control_the_search_finds_it_in_what_was_received(canary: Canary, dataset: Made) -> None:
    assert canary.found_in(dataset(canary))


@pytest.mark.filterwarnings("ignore")
def test_control_a_deny_list_leaks_many_of_them() -> None:
    """The Basic Profile by deny-list on the first level, as many tools do it."""
    table = load_table()
    leaking = set()
    for case, (canary, dataset) in CASES.items():
        data = bytes(128) + b"DICM" + element(0x00020010, b"UI", EXPLICIT.encode() + b"\0") + dataset(canary)
        read = pydicom.dcmread(io.BytesIO(data))
        for tag in [one.tag for one in read if not one.tag.is_private and table.row(int(one.tag))]:
            del read[tag]
        written = io.BytesIO()
        read.save_as(written)
        if canary.found_in(written.getvalue()):
            leaking.add(case.split()[0])
    assert {"1", "2", "4", "5", "6", "7", "8", "12", "13", "27", "41"} <= leaking


def test_what_leaves_is_the_same_whatever_else_the_source_holds() -> None:
    """Most cases change nothing that the profile names: then not one byte of what leaves may change."""
    plain = everything(deidentified(received(PLAIN)))
    changed = {
        case
        for case, (canary, dataset) in CASES.items()
        if everything(deidentified(received(dataset(canary)))) != plain
    }
    assert changed == {
        "12 a name in PatientPosition",
        "41 an IS that carries text",
        "41 an IS out of range that is a birth date",
        "the patient's number",
    }


TEXT_VRS = frozenset(["AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
DEPENDED_ON = {0x00080005, 0x00080008, 0x00080060, 0x00280004}


@pytest.mark.parametrize("implicit_vr", [False, True])
def test_every_text_attribute_of_the_standard_stays(implicit_vr: bool) -> None:
    """Every attribute of PS3.6 that can hold text, at once, on the first level and in a sequence."""
    canary = Canary("ZQUEXFORD")
    dataset, inner = made.image(), Dataset()
    for tag, (vr, *_, _retired, keyword) in DicomDictionary.items():
        if vr in TEXT_VRS and tag > 0x00080000 and keyword and tag not in DEPENDED_ON:
            inner.add_new(tag, vr, "ZQUEXFORD")
            if tag not in dataset or tag >> 16 == 0x0010:
                dataset.add_new(tag, vr, "ZQUEXFORD")
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.add_new(0x00081140, "SQ", Sequence([inner]))
    data = made.encoded(dataset, implicit=implicit_vr)
    assert data.count(b"ZQUEXFORD") > 2000
    assert canary.found_in(everything(deidentified(received(data, implicit=implicit_vr)))) == set()


def test_control_every_form_of_a_canary_is_found() -> None:
    for canary in (NAME, WORD, UID, DATE):
        for _, needle in canary.forms():
            assert canary.found_in(b"..." + needle + b"...")
    assert NAME.found_in(b"from Wilmottar, ZQUEXFORD to")
    assert DATE.found_in(b"14.07.1931")
    assert WORD.found_in(base64.b64encode(b"abZQUEXFORD77c"))
    assert not WORD.found_in(b"ZQUEXFORD7")
