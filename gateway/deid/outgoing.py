"""An outgoing header, taken apart for the search: what every byte of it is.

In: the header that is about to leave, and what the profile says is the same for every patient. Out: an `Outgoing`.

Whole elements that are constants of the profile, words of its lists or empty say nothing about a patient and are set
aside. A value that verifiably is a keyed UID, a patient code or a number is kept as such: a short identifier may
stand in it by chance. Everything else, with its tag, VR and length, is text. No byte of a value is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.declared import Action
from gateway.deid.profile import Profile
from gateway.dicom.encode import element
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import DeidentificationError, IntakeError
from gateway.vault.pseudonyms import is_patient_code, is_pseudonymous_uid

__all__ = ["LONGEST_CODE", "SHORTEST_IN_CODE", "SHORTEST_WHOLE", "Outgoing", "SameForAll"]

SHORTEST_IN_CODE: Final = 6
"""Fewer characters of a patient code are there by chance."""
LONGEST_CODE: Final = 10
SHORTEST_WHOLE: Final = 6
"""Fewer digits before the point of a number are there by chance."""
_SHORTEST_FRACTION: Final = 8
"""Likewise after the point; programs write six."""

_LIMITS: Final = WalkLimits(elements=500, nesting=2)
_BINARY_BYTES: Final = {b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"FL": 4}
_SOP_INSTANCE_UID: Final = 0x00080018
_DECIMAL: Final = rb" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})? *"
_NUMBERS: Final = re.compile(rb"%b(?:\\%b){0,15}" % (_DECIMAL, _DECIMAL)).fullmatch
_RUNS: Final = re.compile(rb"(\.?)([0-9]{%d,})" % SHORTEST_WHOLE).findall


class SameForAll:
    """What a profile puts out whoever the patient is.

    Parameters
    ----------
    profile : Profile
    """

    __slots__ = ("_constants", "_words")

    def __init__(self, profile: Profile) -> None:
        self._constants = {said.tag: said.encoded for said in profile.said}
        self._words: dict[int, frozenset[bytes]] = {}
        for attribute in profile.attributes:
            if attribute.action is Action.CONSTANT:
                vr, value = attribute.vr.encode("ascii"), attribute.value.encode("ascii")
                self._constants[attribute.tag] = element(attribute.tag, vr, value)
            elif attribute.action is Action.CODE:
                self._words[attribute.tag] = frozenset(word.encode("ascii") for word in attribute.words)

    def covers(self, tag: int, encoded: bytes, value: bytes) -> bool:
        """Whether an element is the same for every patient, or one word of a list."""
        known = self._words.get(tag)
        if known is not None:
            return all(word.strip(b" ") in known for word in value.split(b"\\"))
        return self._constants.get(tag) == encoded


@dataclass(slots=True)
class Outgoing:
    """What may hold an identifier, all of it lower-case."""

    text: bytes
    """What is none of the others."""
    places: list[tuple[int, int]]
    """Where in `text` an element begins, and its tag."""
    uids: Mapping[bytes, int]
    """Keyed UIDs and the tag of each."""
    codes: Mapping[bytes, int]
    """Every part of a patient code of `SHORTEST_IN_CODE` characters or more, and its tag."""
    runs: Mapping[bytes, int]
    """All the digits before or after the point of a number, where they are too many for chance, and its tag."""

    @classmethod
    def of(cls, outgoing: DeidentifiedSlice, same: SameForAll) -> Outgoing:
        """Take a slice's header apart.

        Raises
        ------
        DeidentificationError
            DEID_NOT_UNDERSTOOD, where it is no dataset.
        """
        header = outgoing.header
        try:
            spans = walk(header, implicit=False, limits=_LIMITS).spans
        except IntakeError:
            raise DeidentificationError("DEID_NOT_UNDERSTOOD") from None
        text: list[bytes] = []
        places: list[tuple[int, int]] = []
        uids: dict[bytes, int] = {}
        codes: dict[bytes, int] = {}
        runs: dict[bytes, int] = {}
        length = begin = 0
        for tag, (vr, start, stop) in spans.items():
            encoded, value = header[begin:stop], header[start:stop]
            begin = stop
            if not value or same.covers(tag, encoded, value):
                continue
            if vr == b"DS" or vr == b"IS":
                if _NUMBERS(value):
                    for point, run in _RUNS(value):
                        if not point or len(run) >= _SHORTEST_FRACTION:
                            runs[run] = tag
                    continue
            elif vr in _BINARY_BYTES:
                if len(value) == _BINARY_BYTES[vr]:
                    continue
            elif vr == b"UI":
                if is_pseudonymous_uid(value.rstrip(b"\0").decode("latin-1")):
                    uids[value.rstrip(b"\0")] = tag
                    continue
            elif vr in (b"PN", b"LO", b"SH") and is_patient_code(value.rstrip(b" ").decode("latin-1")):
                codes.update(dict.fromkeys(_parts_of_code(value.rstrip(b" ").lower()), tag))
                continue
            places.append((length, tag))
            text.append(encoded)
            length += len(encoded)
        if outgoing.sop_instance_uid.encode("utf-8") not in uids:
            places.append((length, _SOP_INSTANCE_UID))
            text.append(outgoing.sop_instance_uid.encode("utf-8"))
        return cls(b"".join(text).lower(), places, uids, codes, runs)

    def tag_at(self, offset: int) -> int:
        """The tag of the element that holds an offset of `text`."""
        return max((place for place in self.places if place[0] <= offset), default=(0, 0))[1]


def _parts_of_code(code: bytes) -> list[bytes]:
    return [code[i:j] for i in range(len(code)) for j in range(i + SHORTEST_IN_CODE, len(code) + 1)]
