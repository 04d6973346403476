"""The proof of a profile against PS3.15 table E.1-1, at start.

In: a profile as its file gives it. Out: nothing, or `ConfigError` DEID_PROFILE_DISHONEST that names the attribute.

What is proved: no attribute leaves that the Basic Profile removes or replaces, unless a declared option allows it; each
is treated as the table asks; every declared option is made use of; the computed attributes are not worded by hand; only
numbers and words of a list can be taken from the source; and the image that comes out is one that the IOD allows.
"""

from __future__ import annotations

from typing import Final, NoReturn

from pydicom.tag import BaseTag
from pydicom.uid import CTImageStorage

from gateway.deid.codes import Option
from gateway.deid.declared import Action, Attribute, Declared
from gateway.deid.statement import COMPUTED
from gateway.deid.table import ConfidentialityTable, TableRow, load_table
from gateway.errors import ConfigError, Word

__all__ = ["option_used", "prove"]

_NUMBER_VRS: Final = frozenset({"DS", "IS", "US", "SS", "US or SS", "UL", "SL", "FL", "FD", "AS"})
_BOUNDED_VRS: Final = frozenset({"UL", "SL", "FL", "FD"})
"""Wide enough to carry text in disguise, so that a range is demanded."""
_CODE_VRS: Final = frozenset({"CS", "SH", "LO"})
_PATIENT: Final = (0x00100010, 0x00100020)
"""PatientName and PatientID."""
_CONSTANT_VRS: Final = frozenset({"CS", "LO", "SH", "DS", "IS"})

_NEEDED_OF_BOTH: Final = {
    0x00080008: (Action.CODE, "1"),  # ImageType
    0x00080016: (Action.CONSTANT, "1"),  # SOPClassUID
    0x00080018: (Action.UID, "1"),  # SOPInstanceUID
    0x00080020: (None, "2"),  # StudyDate
    0x00080030: (None, "2"),  # StudyTime
    0x00080050: (None, "2"),  # AccessionNumber
    0x00080060: (Action.CONSTANT, "1"),  # Modality
    0x00080070: (None, "2"),  # Manufacturer
    0x00080090: (None, "2"),  # ReferringPhysicianName
    0x00100010: (None, "2"),  # PatientName
    0x00100020: (Action.PSEUDONYM, "2"),  # PatientID
    0x00100030: (None, "2"),  # PatientBirthDate
    0x00100040: (None, "2"),  # PatientSex
    0x00180050: (Action.NUMBER, "2"),  # SliceThickness
    0x0020000D: (Action.UID, "1"),  # StudyInstanceUID
    0x0020000E: (Action.UID, "1"),  # SeriesInstanceUID
    0x00200010: (None, "2"),  # StudyID
    0x00200011: (None, "2"),  # SeriesNumber
    0x00200013: (None, "2"),  # InstanceNumber
    0x00200032: (Action.NUMBER, "1"),  # ImagePositionPatient
    0x00200037: (Action.NUMBER, "1"),  # ImageOrientationPatient
    0x00200052: (Action.UID, "1"),  # FrameOfReferenceUID
    0x00201040: (None, "2"),  # PositionReferenceIndicator
    0x00280002: (Action.NUMBER, "1"),  # SamplesPerPixel
    0x00280004: (Action.CODE, "1"),  # PhotometricInterpretation
    0x00280010: (Action.NUMBER, "1"),  # Rows
    0x00280011: (Action.NUMBER, "1"),  # Columns
    0x00280030: (Action.NUMBER, "1"),  # PixelSpacing
    0x00280100: (Action.NUMBER, "1"),  # BitsAllocated
    0x00280101: (Action.NUMBER, "1"),  # BitsStored
    0x00280102: (Action.NUMBER, "1"),  # HighBit
    0x00280103: (Action.NUMBER, "1"),  # PixelRepresentation
}
_NEEDED_OF_CT: Final = {
    0x00180060: (None, "2"),  # KVP
    0x00200012: (None, "2"),  # AcquisitionNumber
    0x00281052: (Action.NUMBER, "1"),  # RescaleIntercept
    0x00281053: (Action.NUMBER, "1"),  # RescaleSlope
}
_NEEDED_OF_MR: Final = {
    0x00180020: (Action.CODE, "1C"),  # ScanningSequence: type 1, but old images lack it
    0x00180021: (Action.CODE, "1C"),  # SequenceVariant: likewise
    0x00180022: (None, "2"),  # ScanOptions
    0x00180023: (None, "2"),  # MRAcquisitionType
    0x00180081: (None, "2"),  # EchoTime
    0x00180091: (None, "2"),  # EchoTrainLength
}
"""By tag: the action without which the image is no use (None where any will do), and the type of the IOD
(PS3.3 A.3.3, A.4.3); a profile may be stricter, not laxer."""


def prove(profile: Declared, table: ConfidentialityTable | None = None) -> None:
    """Prove a profile.

    Parameters
    ----------
    profile : Declared
    table : ConfidentialityTable, optional
        By default the shipped one.

    Raises
    ------
    ConfigError
        DEID_PROFILE_DISHONEST.
    """
    table = table or load_table()
    used = set()
    for attribute in profile.attributes:
        _check_form(profile, attribute)
        row = table.row(attribute.tag)
        if row is not None:
            option = option_used(attribute, row, profile.options)
            if option is None and not _obeys(attribute.action, row):
                _dishonest(
                    profile,
                    attribute.tag,
                    "the Basic Profile does not allow this and no declared option does",
                )
            used.add(option)
    for option in profile.options:
        if option not in used:
            _dishonest(profile, 0x00120064, f"declares {option.label} without making use of it")
    _check_needed(profile)


def option_used(attribute: Attribute, row: TableRow, options: tuple[Option, ...]) -> Option | None:
    """The declared option that alone allows what a profile does with an attribute; None where none is needed."""
    if _obeys(attribute.action, row):
        return None
    for option in options:
        allowed = row.options.get(option)
        if allowed == "K" and attribute.action in (Action.NUMBER, Action.CODE):
            return option
        if allowed == "C" and attribute.action is Action.CODE:
            return option  # words of a list are clean whatever the source said
    return None


def _obeys(action: Action, row: TableRow) -> bool:
    """Whether the Basic Profile alone allows an action (PS3.15 table E.1-1a)."""
    match action:
        case Action.EMPTY:
            return "Z" in row.basic
        case Action.CONSTANT | Action.PSEUDONYM:
            return bool(row.basic & {"Z", "D"})
        case Action.UID:
            return "U" in row.basic
        case _:
            return False


def _check_form(profile: Declared, attribute: Attribute) -> None:
    """Whether an attribute can be treated so at all, without telling anything about a person."""
    tag, vr, action = attribute.tag, attribute.vr, attribute.action
    if tag in COMPUTED:
        _dishonest(profile, tag, "computed from what is declared, not worded by a profile")
    if tag < 0x00080000 or tag & 0x10000 or tag >> 24 in (0x50, 0x60, 0x7F) or tag >= 0x7FE00000:
        _dishonest(profile, tag, "no attribute of this group leaves")
    allowed = {
        Action.NUMBER: _NUMBER_VRS,
        Action.CODE: _CODE_VRS,
        Action.UID: frozenset({"UI"}),
        Action.CONSTANT: _CONSTANT_VRS | ({"UI"} if tag == 0x00080016 else frozenset()),
    }.get(action)
    if vr == "SQ" or (allowed is not None and vr not in allowed):
        _dishonest(profile, tag, "this action does not suit the VR")
    if action is Action.UID and tag == 0x00080016:
        _dishonest(profile, tag, "the SOP class is no identifier")
    if action is Action.PSEUDONYM and tag not in _PATIENT:
        _dishonest(profile, tag, "a pseudonym is for PatientName and PatientID")
    if action is Action.EMPTY and not attribute.type.startswith("2"):
        _dishonest(profile, tag, "empty is for types 2 and 2C")
    given = {
        "words": bool(attribute.values) != bool(attribute.positions),
        "a value": bool(attribute.value),
        "a range": attribute.bounds is not None,
    }
    needed = {Action.CODE: "words", Action.CONSTANT: "a value"}.get(action)
    if needed and not given[needed]:
        _dishonest(profile, tag, f"this action needs {needed}")
    if bool(attribute.values or attribute.positions) != (action is Action.CODE):
        _dishonest(profile, tag, "only the action code takes words")
    if (given["a value"] and action is not Action.CONSTANT) or (
        given["a range"] and action is not Action.NUMBER
    ):
        _dishonest(profile, tag, "a value or range that the action does not take")
    if action is Action.NUMBER and vr in _BOUNDED_VRS and attribute.bounds is None:
        _dishonest(profile, tag, "a number of this VR needs a range")
    if attribute.bounds is not None and not attribute.bounds[0] <= attribute.bounds[1]:
        _dishonest(profile, tag, "the range is empty")
    if not 1 <= attribute.fewest <= attribute.most <= 16:
        _dishonest(profile, tag, "between 1 and 16 values")
    if attribute.fill and (not attribute.positions or attribute.fill not in attribute.positions[-1]):
        _dishonest(profile, tag, "fill is a word of the last position")
    if attribute.if_empty and attribute.if_empty not in attribute.values:
        _dishonest(profile, tag, "if_empty is one of the values")
    others = {other.keyword: other for other in profile.attributes}
    if attribute.unless and attribute.unless not in others:
        _dishonest(profile, tag, "unless names an attribute that is not there")
    if attribute.when and attribute.when[1] not in (
        others[attribute.when[0]].words if attribute.when[0] in others else ()
    ):
        _dishonest(profile, tag, "when names no word of an attribute that is there")
    if tag == 0x00080016 and attribute.value != profile.sop_class_uid:
        _dishonest(profile, tag, "not the SOP class of the profile")
    if tag == 0x00080060 and attribute.value != profile.modality:
        _dishonest(profile, tag, "not the Modality of the SOP class")


def _check_needed(profile: Declared) -> None:
    """Whether what comes out is an image that the IOD allows and a contourer can use."""
    listed = {attribute.tag: attribute for attribute in profile.attributes}
    of_class = _NEEDED_OF_CT if profile.sop_class_uid == CTImageStorage else _NEEDED_OF_MR
    for tag, (action, type_) in (_NEEDED_OF_BOTH | of_class).items():
        attribute = listed.get(tag)
        if attribute is None:
            _dishonest(profile, tag, "the image is no use without it")
        if action is not None and attribute.action is not action:
            _dishonest(profile, tag, f"the image is no use unless the action is {action}")
        if attribute.type not in ("1", type_):
            _dishonest(profile, tag, f"the IOD gives it type {type_}")


def _dishonest(profile: Declared, tag: int, because: str) -> NoReturn:
    raise ConfigError(
        "DEID_PROFILE_DISHONEST",
        profile=Word(profile.name),
        tag=BaseTag(tag),
        because=Word(because.replace(",", "")),
    )
