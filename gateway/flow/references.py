"""What the UIDs of a returned structure set may be: every one resolves to its passage, or the result is refused."""

from __future__ import annotations

import re
from typing import Final

from pydicom.tag import BaseTag

from gateway.errors import StructureSetUnsound
from gateway.flow.structure_set import Expectation
from gateway.flow.structure_set_iod import RT_STRUCTURE_SET_STORAGE, STUDY_CLASSES, UidRole

__all__ = ["References"]

_UID = re.compile(rb"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
_STANDARD = b"1.2.840.10008."
_SAME_STUDY: Final = frozenset(
    {UidRole.STUDY, UidRole.STUDY_INSTANCE, UidRole.SERIES, UidRole.FRAME_OF_REFERENCE}
)


class References:
    """The UIDs of one passage, by what refers to them.

    Parameters
    ----------
    expectation : Expectation
        With at least one slice, and a frame of reference.
    """

    def __init__(self, expectation: Expectation) -> None:
        slices = expectation.slices
        self._slices = {uid.encode(): index for index, uid in enumerate(slices)}
        study = expectation.study_instance_uid.encode()
        self._fixed: dict[UidRole, frozenset[bytes]] = {
            UidRole.STUDY: frozenset({study}),
            UidRole.STUDY_INSTANCE: frozenset({study}),
            UidRole.SERIES: frozenset({expectation.series_instance_uid.encode()}),
            UidRole.FRAME_OF_REFERENCE: frozenset({expectation.frame_of_reference_uid.encode()}),
            UidRole.INSTANCE: frozenset(self._slices),
            UidRole.INSTANCE_CLASS: frozenset(one.sop_class_uid.encode() for one in slices.values()),
            UidRole.STUDY_CLASS: frozenset(uid.encode() for uid in STUDY_CLASSES),
            UidRole.STRUCTURE_SET_CLASS: frozenset({RT_STRUCTURE_SET_STORAGE.encode()}),
        }
        self._ours = self._fixed[UidRole.INSTANCE] | {
            uid for role in _SAME_STUDY for uid in self._fixed[role]
        }

    def resolve(self, tag: int, role: UidRole, octets: bytes) -> None:
        """Check one UID.

        Raises
        ------
        StructureSetUnsound
            RESULT_WRONG_STUDY, RESULT_FOREIGN_UID, RESULT_NOT_CONTOURS (another SOP class) or RESULT_UNPARSABLE.
        """
        uid = _unpadded(octets)
        allowed = self._fixed.get(role)
        if allowed is not None:
            if uid in allowed:
                return
            raise StructureSetUnsound(_code(role), tag=BaseTag(tag))
        if len(uid) > 64 or not _UID.fullmatch(uid):
            raise StructureSetUnsound("RESULT_UNPARSABLE", tag=BaseTag(tag))
        if role is UidRole.CODING and not uid.startswith(_STANDARD):
            raise StructureSetUnsound("RESULT_FOREIGN_UID", tag=BaseTag(tag))
        if role is UidRole.OWN and uid in self._ours:
            raise StructureSetUnsound("RESULT_INCONSISTENT", tag=BaseTag(tag))

    def slice_index(self, octets: bytes) -> int:
        """Which slice a UID that has been resolved names, in order along the patient's axis."""
        return self._slices[_unpadded(octets)]


def _unpadded(octets: bytes) -> bytes:
    return octets[:-1] if octets[-1:] in (b"\0", b" ") else octets


def _code(role: UidRole) -> str:
    if role in _SAME_STUDY:
        return "RESULT_WRONG_STUDY"
    return "RESULT_NOT_CONTOURS" if role is UidRole.STRUCTURE_SET_CLASS else "RESULT_FOREIGN_UID"
