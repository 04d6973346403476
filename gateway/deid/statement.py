"""What a de-identified image says about its own de-identification (PS3.15 E.1.1, PS3.3 C.12.1, C.7.1.1, C.7.6.1).

It is computed from what the profile declares; no profile can word it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.deid.codes import BASIC_PROFILE, MethodCode, Option
from gateway.deid.table import EDITION
from gateway.dicom.encode import element, item_sequence

__all__ = ["COMPUTED", "Said", "statement"]

COMPUTED: Final = {
    0x00120062: "PatientIdentityRemoved",
    0x00120063: "DeidentificationMethod",
    0x00120064: "DeidentificationMethodCodeSequence",
    0x00280301: "BurnedInAnnotation",
    0x00280303: "LongitudinalTemporalInformationModified",
}
"""The attributes that are computed, and that a profile may therefore not list."""


@dataclass(frozen=True, slots=True)
class Said:
    """One computed attribute."""

    tag: int
    encoded: bytes
    """The whole element, explicit VR little endian."""
    text: str
    """The same for people."""

    @property
    def keyword(self) -> str:
        """Its keyword in PS3.6."""
        return COMPUTED[self.tag]


def statement(name: str, options: Sequence[Option], *, text_gate: bool) -> tuple[Said, ...]:
    """The computed attributes, in the order of their tags.

    Parameters
    ----------
    name : str
        The profile's.
    options : sequence of Option
        What it declares.
    text_gate : bool
        Whether no image leaves before text was looked for in its pixels. Without that look nothing can be said about
        burned-in annotation, and the attribute is absent.
    """
    codes = [BASIC_PROFILE, *sorted(option.code for option in options)]
    method = [
        f"PS3.15 {EDITION} Basic Profile by allow-list",
        f"Contourgate profile {name}",
        "Stored values unaltered, not defaced",
    ]
    dates = "UNMODIFIED" if Option.RETAIN_LONGITUDINAL_FULL_DATES in options else "REMOVED"
    said = [
        Said(0x00120062, element(0x00120062, b"CS", b"YES"), "YES"),
        Said(0x00120063, element(0x00120063, b"LO", "\\".join(method).encode("ascii")), "; ".join(method)),
        Said(
            0x00120064,
            item_sequence(0x00120064, [_code_item(code) for code in codes]),
            ", ".join(f"{code.value} {code.meaning}" for code in codes),
        ),
    ]
    if text_gate:
        said.append(Said(0x00280301, element(0x00280301, b"CS", b"NO"), "NO, because text is looked for"))
    said.append(Said(0x00280303, element(0x00280303, b"CS", dates.encode("ascii")), dates))
    return tuple(said)


def _code_item(code: MethodCode) -> bytes:
    """One item of a code sequence (PS3.3 table 8.8-1)."""
    return (
        element(0x00080100, b"SH", code.value.encode("ascii"))
        + element(0x00080102, b"SH", b"DCM")
        + element(0x00080104, b"LO", code.meaning.encode("ascii"))
    )
