"""What a de-identified image may hold, as the guard sees it.

Chosen apart from any profile of the gateway: an attribute or a word that a profile lets through by mistake is a
finding here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = [
    "BASIC_PROFILE",
    "CHARACTERISTICS",
    "CLASSES",
    "CODED",
    "DECIMAL",
    "EMPTY",
    "METHODS",
    "METHOD_LINE",
    "NUMBERS",
    "PATIENT_CHARACTERISTICS",
    "PSEUDONYMS",
    "UIDS",
]

DECIMAL: Final = re.compile(rb" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *")
"""DS (PS3.5 6.2)."""

NUMBERS: Final[Mapping[int, int]] = {
    **dict.fromkeys((0x00180050, 0x00180060, 0x00180080, 0x00180081, 0x00180082, 0x00180083, 0x00180084), 1),
    **dict.fromkeys((0x00180086, 0x00180087, 0x00180088, 0x00180089, 0x00180091, 0x00180093, 0x00180094), 1),
    **dict.fromkeys((0x00180095, 0x00181100, 0x00181120, 0x00181150, 0x00181151, 0x00181152, 0x00181314), 1),
    **dict.fromkeys((0x00200013, 0x00200100, 0x00200105, 0x00201041), 1),
    **dict.fromkeys((0x00280002, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103), 1),
    **dict.fromkeys((0x00280106, 0x00280107, 0x00280120, 0x00280121, 0x00281052, 0x00281053), 1),
    0x00181310: 4,
    0x00200032: 3,
    0x00200037: 6,
    0x00280030: 2,
    0x00281050: 4,
    0x00281051: 4,
    0x00282112: 4,
}  # fmt: skip
"""Numbers that describe a picture, and how many values each may have: more could spell a name."""

CLASSES: Final = frozenset((b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.4"))
"""CT Image Storage and MR Image Storage."""

EMPTY: Final = frozenset(
    (
        0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x00080030, 0x00080031, 0x00080032, 0x00080033,
        0x00080050, 0x00080070, 0x00080090, 0x00081030, 0x0008103E, 0x00100030,
        0x00200010, 0x00200011, 0x00200012, 0x00200060, 0x00201040,
    )
)  # fmt: skip
"""What an IOD asks for and a profile leaves without a value."""

UIDS: Final = frozenset((0x00080018, 0x0020000D, 0x0020000E, 0x00200052))
PSEUDONYMS: Final = frozenset((0x00100010, 0x00100020))


def _words(text: str) -> frozenset[bytes]:
    return frozenset(text.encode("ascii").split())


CODED: Final[Mapping[int, frozenset[bytes]]] = {
    0x00080005: frozenset((b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 192")),
    0x00080008: _words(
        "ORIGINAL DERIVED PRIMARY SECONDARY AXIAL MPR REFORMATTED AVERAGE OTHER M FFE M_FFE SE M_SE IR M_IR T1 T2 PD "
        "NORM DIS2D DIS3D NONE ND DIXON WATER FAT IN_PHASE OPP_PHASE OUT_PHASE IP OP W F MAGNITUDE RETRO SH FIL MFSPLIT"
    ),
    0x00080060: _words("CT MR"),
    0x00120062: _words("YES"),
    0x00180015: _words(
        "ABDOMEN ABDOMENPELVIS ANKLE ARM BLADDER BRAIN BREAST CHEST CHESTABDOMEN CHESTABDPELVIS CSPINE EXTREMITY "
        "FOOT HAND HEAD HEADNECK HEART HIP KIDNEY KNEE LEG LIVER LSPINE LUNG NECK NECKCHEST NECKCHESTABDOMEN "
        "NECKCHESTABDPELV ORBIT PANCREAS PELVIS PROSTATE RECTUM SHOULDER SKULL SPINE THORAX TSPINE UTERUS WHOLEBODY"
    ),
    0x00180020: _words("SE IR GR EP RM"),
    0x00180021: _words("SK MTC SS TRSS SP MP OSP TOF NONE"),
    0x00180022: _words("PER RG CG PPG FC PFF PFP SP FS CT"),
    0x00180023: _words("2D 3D"),
    0x00180025: _words("Y N"),
    0x00181312: _words("ROW COL"),
    0x00185100: _words("HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL"),
    0x00280004: _words("MONOCHROME1 MONOCHROME2"),
    0x00280301: _words("NO"),
    0x00280303: _words("REMOVED"),
    0x00281054: _words("HU US"),
    0x00282110: _words("00 01"),
    0x00282114: _words("ISO_10918_1 ISO_14495_1 ISO_15444_1 ISO_15444_2 ISO_18181_1"),
}  # fmt: skip

METHOD_LINE: Final = re.compile(
    rb"PS3\.15 20\d\d[a-e] Basic Profile by allow-list"
    rb"|Contourgate profile [A-Za-z0-9][A-Za-z0-9_.-]{0,43}"
    rb"|Stored values unaltered, not defaced"
)
BASIC_PROFILE: Final = b"113100"
PATIENT_CHARACTERISTICS: Final = b"113108"
METHODS: Final[Mapping[bytes, bytes]] = {
    BASIC_PROFILE: b"Basic Application Confidentiality Profile",
    b"113101": b"Clean Pixel Data Option",
    b"113102": b"Clean Recognizable Visual Features Option",
    b"113103": b"Clean Graphics Option",
    b"113104": b"Clean Structured Content Option",
    b"113105": b"Clean Descriptors Option",
    PATIENT_CHARACTERISTICS: b"Retain Patient Characteristics Option",
}
"""CID 7050 (PS3.16) without the options that retain dates, UIDs, devices, institutions or private elements."""

CHARACTERISTICS: Final[Mapping[int, re.Pattern[bytes]]] = {
    0x00100040: re.compile(rb"[MFO]"),
    0x00101010: re.compile(rb"0[0-8]\dY|\d{3}[DWM]"),
    0x00101020: DECIMAL,
    0x00101030: DECIMAL,
}
"""Sex, age (89 years at most), size and weight: only where the profile declares to retain them."""
