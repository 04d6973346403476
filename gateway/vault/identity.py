"""Whose images they are: what must be given back to the structure set, held in memory only.

Values are kept as the source encoded them, with the character set that they are written in, and never decoded: what
goes back is byte for byte what came (R6). Nothing of it shows in a `repr`, an error or a log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.tag import BaseTag

from gateway.dicom.instance import RESTORED, Instance
from gateway.dicom.transcode import recode
from gateway.errors import PassageUnfit

__all__ = ["Identity"]

SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PATIENT_NAME, _PATIENT_ID, _ISSUER, _BIRTH_DATE = 0x00100010, 0x00100020, 0x00100021, 0x00100030

_LONGEST: Final = 1024
_ALSO_RESTORED: Final[dict[int, bytes]] = {
    0x00081048: b"PN",  # PhysiciansOfRecord
    0x00100022: b"CS",  # TypeOfPatientID
    0x00101000: b"LO",  # OtherPatientIDs
    0x00101001: b"PN",  # OtherPatientNames
    0x00101010: b"AS",  # PatientAge
    0x00101020: b"DS",  # PatientSize
    0x00101030: b"DS",  # PatientWeight
    0x00102160: b"SH",  # EthnicGroup
    0x00380010: b"LO",  # AdmissionID
    0x00201040: b"LO",  # PositionReferenceIndicator
}
"""Optional attributes of the patient, patient study and frame of reference modules (PS3.3 C.7.1.1, C.7.2.2, C.7.4.1).

Unlike those of `RESTORED` they are left out where their VR or length is not as it should be.
"""

_LONGEST_SEQUENCE: Final = 4096
_SEQUENCES: Final = (
    0x00080051,  # IssuerOfAccessionNumberSequence
    0x00100024,  # IssuerOfPatientIDQualifiersSequence
    0x00101002,  # OtherPatientIDsSequence
)
"""Left out where they are longer than that."""

_WHO: Final = (_PATIENT_ID, _ISSUER, _PATIENT_NAME, _BIRTH_DATE)
_MAY_BE_BLANK: Final = frozenset({_BIRTH_DATE})
"""Where one image knows it and another does not, that is no contradiction."""


class Identity:
    """The identity of one series.

    Made by `Identity.of` from the first instance; every further one is compared by `require_same`.
    """

    __slots__ = (
        "_sequences", "_values", "character_set", "frame_of_reference_uid", "series_instance_uid", "study_instance_uid",
    )  # fmt: skip

    def __init__(
        self,
        values: Mapping[int, tuple[bytes, bytes]],
        *,
        sequences: Mapping[int, bytes],
        character_set: bytes,
        study_instance_uid: str,
        series_instance_uid: str,
        frame_of_reference_uid: str,
    ) -> None:
        self._values = dict(values)
        self._sequences = dict(sequences)
        self.character_set = character_set
        """The value of SpecificCharacterSet as encoded; empty where it is absent."""
        self.study_instance_uid = study_instance_uid
        self.series_instance_uid = series_instance_uid
        self.frame_of_reference_uid = frame_of_reference_uid

    @classmethod
    def of(cls, instance: Instance) -> Identity:
        """Take the identity out of an instance."""
        values: dict[int, tuple[bytes, bytes]] = {}
        for tag, (vr, _) in RESTORED.items():  # these were checked when the instance was parsed
            raw = instance.raw(tag)
            if raw is not None and tag != SPECIFIC_CHARACTER_SET:
                values[tag] = vr, raw
        for tag, vr in _ALSO_RESTORED.items():
            span = instance.elements.spans.get(tag)
            if span is not None and span[0] == vr and span[2] - span[1] <= _LONGEST:
                values[tag] = vr, bytes(instance.data[span[1] : span[2]])
        return cls(
            values,
            sequences=_sequences(instance),
            character_set=instance.raw(SPECIFIC_CHARACTER_SET) or b"",
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            frame_of_reference_uid=instance.frame_of_reference_uid,
        )

    @property
    def values(self) -> Mapping[int, tuple[bytes, bytes]]:
        """Tag to VR and value field as the source encoded it, in the order of the tags."""
        return MappingProxyType(dict(sorted(self._values.items())))

    @property
    def sequences(self) -> Mapping[int, bytes]:
        """Tag to whole element in explicit VR little endian, its values as the source encoded them."""
        return MappingProxyType(self._sequences)

    def require_same(self, other: Identity) -> None:
        """Refuse an identity that may be another patient's: a different name, id, issuer or date of birth.

        Padding does not matter. A missing date of birth is no contradiction; a missing name, id or issuer is one.

        Raises
        ------
        PassageUnfit
            IDENTITY_CONFLICT, with the tag that differs.
        """
        for tag in _WHO:
            mine, theirs = self._comparable(tag), other._comparable(tag)
            if mine != theirs and not (tag in _MAY_BE_BLANK and not (mine[1] and theirs[1])):
                raise PassageUnfit("IDENTITY_CONFLICT", tag=BaseTag(tag))

    def wipe(self) -> None:
        """Let go of everything; what a wiped identity is used for fails."""
        self._values.clear()
        self._sequences.clear()
        self.character_set = b""
        self.study_instance_uid = self.series_instance_uid = self.frame_of_reference_uid = ""

    @property
    def is_wiped(self) -> bool:
        """Whether nothing is left in it."""
        return not self.study_instance_uid

    def _comparable(self, tag: int) -> tuple[bytes, bytes]:
        """The value without padding; with the character set where that decides what the bytes mean."""
        raw = self._values.get(tag, (b"", b""))[1].rstrip(b" \0")
        meaning = b"" if raw.isascii() and b"\x1b" not in raw else self.character_set.strip(b" \0")
        return meaning, raw

    def __repr__(self) -> str:
        return "<Identity>"


def _sequences(instance: Instance) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    head = 8 if instance.implicit else 12
    for tag in _SEQUENCES:
        span = instance.elements.spans.get(tag)
        if span is None or span[0] != b"SQ" or span[2] - span[1] > _LONGEST_SEQUENCE:
            continue
        element = bytes(instance.data[span[1] - head : span[2]])
        with contextlib.suppress(ValueError):  # a value that explicit VR has no room for
            found[tag] = b"".join(recode(element, implicit=instance.implicit, to_implicit=False))
    return found
