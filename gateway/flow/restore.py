"""Restoration: a sound structure set gets its patient back.

In: an inspected structure set, the identity of the images, what each pseudonymous UID stands for, the destination's
wishes. Out: an RT Structure Set (PS3.3 A.19), written from nothing: no byte of the contourer's goes in but coordinates,
cleaned ROI names, colours and enumerated types. Identity goes in as the source encoded it, in the source's character
set (R6). Refused, with `StructureSetUnsound`: a pseudonym that is still in what was written.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from pydicom.tag import BaseTag

from gateway import __version__
from gateway.dicom.transcode import recode
from gateway.dicom.writer import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Parts,
    Writer,
    part10,
)
from gateway.errors import StructureSetUnsound
from gateway.flow import roi_names
from gateway.flow.output_profile import OutputProfile, OutputRoi
from gateway.flow.structure_set import Contour, InspectedStructureSet
from gateway.flow.structure_set_iod import RT_STRUCTURE_SET_STORAGE, tag
from gateway.vault.identity import Identity

__all__ = ["restore"]

_STUDY_CLASS: Final = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management (retired): what PS3.3 C.8.8.5 has stood for in RT Referenced Study Sequence."""
_BLANK_WHERE_ABSENT: Final[Mapping[int, bytes]] = {
    tag("StudyDate"): b"DA",
    tag("StudyTime"): b"TM",
    tag("AccessionNumber"): b"SH",
    tag("ReferringPhysicianName"): b"PN",
    tag("PatientName"): b"PN",
    tag("PatientID"): b"LO",
    tag("PatientBirthDate"): b"DA",
    tag("PatientSex"): b"CS",
    tag("StudyID"): b"SH",
    tag("OperatorsName"): b"PN",
}
"""Type 2 attributes of the IOD: present, if need be without a value."""
_RUN = re.compile(rb"[0-9.]{8,}")


def restore(
    inspected: InspectedStructureSet,
    identity: Identity,
    profile: OutputProfile,
    *,
    originals: Mapping[str, str],
    seed: bytes,
    model: str,
    at: datetime,
) -> bytes:
    """Write the structure set that a destination gets.

    Parameters
    ----------
    inspected : InspectedStructureSet
    identity : Identity
        Of the series that was contoured.
    profile : OutputProfile
        The destination's.
    originals : mapping of str to str
        Each pseudonymous UID of the passage to the original.
    seed : bytes
        Secret and the same for every try of one passage and one destination: the new UIDs come from it, so that a
        structure set sent twice is one object.
    model : str
        Which model contoured it.
    at : datetime.datetime
        When, in the clinic's time zone; the same for every try.

    Returns
    -------
    bytes
        A Part 10 stream in explicit VR little endian; in implicit VR where a contour is too long for explicit VR.

    Raises
    ------
    StructureSetUnsound
        RESULT_PSEUDONYM_LEFT, with the tag under which it stands; RESULT_NOT_CONTOURS if no ROI is left to deliver.
    """
    rois = profile.apply(inspected.rois, identity.character_set)
    if not rois:
        raise StructureSetUnsound("RESULT_NOT_CONTOURS", rois=0)
    restoration = _Restoration(inspected, identity, originals, rois)
    sop_instance_uid = _derived_uid(seed, b"SOP instance")
    dataset = restoration.dataset(
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=_derived_uid(seed, b"series"),
        label=profile.filled_label(model, f"{at:%Y%m%d}"),
        description=profile.filled_description(model, f"{at:%Y%m%d}"),
        at=at,
    )
    return part10(
        [part for tag in sorted(dataset) for part in dataset[tag]],
        sop_class_uid=RT_STRUCTURE_SET_STORAGE,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN if restoration.implicit else EXPLICIT_VR_LITTLE_ENDIAN,
    )


def _derived_uid(seed: bytes, purpose: bytes) -> str:
    """A UID under 2.25 (PS3.5 B.2), always the same for the same seed and purpose."""
    number = int.from_bytes(hmac.digest(seed, purpose, "sha256")[:16])
    version_4 = number & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    return f"2.25.{version_4}"


class _Restoration:
    """One structure set being written."""

    def __init__(
        self,
        inspected: InspectedStructureSet,
        identity: Identity,
        originals: Mapping[str, str],
        rois: Sequence[OutputRoi],
    ) -> None:
        self._expectation = inspected.expectation
        self._identity = identity
        self._originals = originals
        self._rois = rois
        contours = (contour for chosen in rois for contour in chosen.roi.contours)
        self.implicit = any(len(contour.data) > Writer.MOST_SHORT for contour in contours)
        self._write = Writer(implicit=self.implicit)
        self._references = [
            self._write.uid(tag("ReferencedSOPClassUID"), one.sop_class_uid)
            + self._write.uid(tag("ReferencedSOPInstanceUID"), originals[pseudonym])
            for pseudonym, one in self._expectation.slices.items()
        ]

    def dataset(
        self, *, sop_instance_uid: str, series_instance_uid: str, label: str, description: str, at: datetime
    ) -> dict[int, Parts]:
        """Every element of the dataset by tag, none with a pseudonym in it."""
        write, identity = self._write, self._identity
        date, time = f"{at:%Y%m%d}", f"{at:%H%M%S}"
        elements = [
            write.text(tag("InstanceCreationDate"), b"DA", date),
            write.text(tag("InstanceCreationTime"), b"TM", time),
            write.uid(tag("SOPClassUID"), RT_STRUCTURE_SET_STORAGE),
            write.uid(tag("SOPInstanceUID"), sop_instance_uid),
            write.text(tag("Modality"), b"CS", "RTSTRUCT"),
            write.text(tag("Manufacturer"), b"LO", "Contourgate"),
            write.text(tag("SeriesDescription"), b"LO", description),
            write.text(tag("ManufacturerModelName"), b"LO", "Contourgate"),
            write.text(tag("SoftwareVersions"), b"LO", __version__),
            write.uid(tag("StudyInstanceUID"), identity.study_instance_uid),
            write.uid(tag("SeriesInstanceUID"), series_instance_uid),
            write.text(tag("SeriesNumber"), b"IS", "1"),
            write.uid(tag("FrameOfReferenceUID"), identity.frame_of_reference_uid),
            write.element(tag("PositionReferenceIndicator"), b"LO", b""),
            write.text(tag("StructureSetLabel"), b"SH", label),
            write.text(tag("StructureSetDescription"), b"ST", description),
            write.text(tag("StructureSetDate"), b"DA", date),
            write.text(tag("StructureSetTime"), b"TM", time),
            self._referenced_frame_of_reference(),
            write.sequence(tag("StructureSetROISequence"), map(self._roi, self._rois)),
            write.sequence(tag("RTROIObservationsSequence"), map(self._observation, self._rois)),
            write.text(tag("ApprovalStatus"), b"CS", "UNAPPROVED"),
        ]
        found: dict[int, bytes] = {_tag_of(element): element for element in elements}
        for absent, vr in _BLANK_WHERE_ABSENT.items():
            found[absent] = write.element(absent, vr, b"")
        for restored, (vr, value) in identity.values.items():
            found[restored] = write.element(restored, vr, value)
        for restored, sequence in identity.sequences.items():
            found[restored] = (
                b"".join(recode(sequence, implicit=False, to_implicit=True)) if self.implicit else sequence
            )
        if identity.character_set:
            found[tag("SpecificCharacterSet")] = write.element(
                tag("SpecificCharacterSet"), b"CS", identity.character_set
            )
        self._require_no_pseudonym(found)
        dataset: dict[int, Parts] = {number: [element] for number, element in found.items()}
        dataset[tag("ROIContourSequence")] = self._roi_contours()
        return dataset

    def _referenced_frame_of_reference(self) -> bytes:
        write, identity = self._write, self._identity
        series = write.uid(tag("SeriesInstanceUID"), identity.series_instance_uid) + write.sequence(
            tag("ContourImageSequence"), self._references
        )
        study = (
            write.uid(tag("ReferencedSOPClassUID"), _STUDY_CLASS)
            + write.uid(tag("ReferencedSOPInstanceUID"), identity.study_instance_uid)
            + write.sequence(tag("RTReferencedSeriesSequence"), [series])
        )
        frame = write.uid(tag("FrameOfReferenceUID"), identity.frame_of_reference_uid) + write.sequence(
            tag("RTReferencedStudySequence"), [study]
        )
        return write.sequence(tag("ReferencedFrameOfReferenceSequence"), [frame])

    def _roi(self, chosen: OutputRoi) -> bytes:
        write = self._write
        name = roi_names.encode(chosen.name, self._identity.character_set)
        return (
            write.text(tag("ROINumber"), b"IS", str(chosen.roi.number))
            + write.uid(tag("ReferencedFrameOfReferenceUID"), self._identity.frame_of_reference_uid)
            + write.element(tag("ROIName"), b"LO", name)
            + write.text(tag("ROIGenerationAlgorithm"), b"CS", "AUTOMATIC")
        )

    def _observation(self, chosen: OutputRoi) -> bytes:
        write = self._write
        return (
            write.text(tag("ObservationNumber"), b"IS", str(chosen.roi.number))
            + write.text(tag("ReferencedROINumber"), b"IS", str(chosen.roi.number))
            + write.text(tag("RTROIInterpretedType"), b"CS", chosen.interpreted_type)
            + write.element(tag("ROIInterpreter"), b"PN", b"")
        )

    def _roi_contours(self) -> Parts:
        """ROI Contour Sequence, with the coordinates where they are.

        No pseudonym can be in it: its text is numbers that were checked, its UIDs are those of `_references`.
        """
        write = self._write
        self._require_no_pseudonym({tag("ContourImageSequence"): b"".join(self._references)})
        images = [write.sequence(tag("ContourImageSequence"), [one]) for one in self._references]
        closed = write.text(tag("ContourGeometricType"), b"CS", "CLOSED_PLANAR")
        items: list[Parts] = []
        for chosen in self._rois:
            colour = b"" if chosen.colour is None else self._colour(chosen.colour)
            number = write.text(tag("ReferencedROINumber"), b"IS", str(chosen.roi.number))
            contours = [self._contour(contour, images, closed) for contour in chosen.roi.contours]
            sequence = write.sequence_parts(tag("ContourSequence"), contours) if contours else []
            items.append([colour, *sequence, number])
        return write.sequence_parts(tag("ROIContourSequence"), items)

    def _contour(self, contour: Contour, images: Sequence[bytes], closed: bytes) -> Parts:
        points = self._write.text(tag("NumberOfContourPoints"), b"IS", str(contour.points))
        head = self._write.head(tag("ContourData"), b"DS", len(contour.data))
        return [images[contour.slice_index] + closed + points + head, contour.data]

    def _colour(self, colour: tuple[int, int, int]) -> bytes:
        return self._write.text(tag("ROIDisplayColor"), b"IS", "\\".join(map(str, colour)))

    def _require_no_pseudonym(self, elements: Mapping[int, bytes]) -> None:
        """The reverse of the tripwire that guards what leaves.

        Raises
        ------
        StructureSetUnsound
            RESULT_PSEUDONYM_LEFT.
        """
        expectation = self._expectation
        uids = {
            *self._originals,
            *expectation.slices,
            expectation.study_instance_uid,
            expectation.series_instance_uid,
            expectation.frame_of_reference_uid,
        }
        intended = {uid.encode() for uid in self._originals.values() if uid not in uids}
        code = expectation.patient_id.lower().encode()
        for number, element in elements.items():
            runs = set(_RUN.findall(element)) - intended
            if _any_in(uids, runs) or (code and code in element.lower()):
                raise StructureSetUnsound("RESULT_PSEUDONYM_LEFT", tag=BaseTag(number))


def _any_in(uids: Iterable[str], runs: Iterable[bytes]) -> bool:
    """Whether a UID stands in a run of digits and dots."""
    encoded = [uid.encode() for uid in uids]
    return any(uid in run for run in runs for uid in encoded)


def _tag_of(element: bytes) -> int:
    return int.from_bytes(element[:2], "little") << 16 | int.from_bytes(element[2:4], "little")
