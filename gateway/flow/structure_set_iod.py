"""What may stand in a structure set that comes back: the RT Structure Set IOD as an allow-list (PS3.3 A.19.3).

Every attribute of every level is named here with its VR; every UID is named with what it must resolve to. What is
not in this table stops the result. Being in the table lets an attribute come in, not go out: `gateway.flow.restore`
writes a fresh structure set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

__all__ = ["CONTOUR", "RT_STRUCTURE_SET_STORAGE", "STRUCTURE_SET", "STUDY_CLASSES", "Level", "UidRole", "tag"]

RT_STRUCTURE_SET_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.481.3"
STUDY_CLASSES: Final = frozenset({"1.2.840.10008.3.1.2.3.1", "1.2.840.10008.3.1.2.3.2"})
"""What RT Referenced Study Sequence refers to: the retired Detached Study and Study Component Management classes."""


class UidRole(Enum):
    """What a UID of a structure set must resolve to."""

    STUDY = "the passage's study"
    SERIES = "the passage's image series"
    FRAME_OF_REFERENCE = "the passage's frame of reference"
    INSTANCE = "one of the passage's slices"
    INSTANCE_CLASS = "the SOP class of the slice beside it"
    STUDY_INSTANCE = "the passage's study, as a SOP instance"
    STUDY_CLASS = "a study management class"
    STRUCTURE_SET_CLASS = "RT Structure Set Storage"
    OWN = "the structure set itself: any valid UID; it is replaced"
    CODING = "a UID of the standard, in a coded term"


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The attributes that may stand in one level of a dataset."""

    values: Mapping[int, bytes]
    """Tag to VR, of what is no sequence."""
    uids: Mapping[int, UidRole]
    """Every tag of VR UI among `values`."""
    sequences: Mapping[int, Level]


def tag(keyword: str) -> int:
    """The tag of an attribute of the standard.

    Raises
    ------
    KeyError
        If the data dictionary has no such keyword.
    """
    found = tag_for_keyword(keyword)
    if found is None:
        raise KeyError(keyword)
    return found


def _level(
    keywords: str, *, uids: Mapping[str, UidRole] | None = None, sequences: Mapping[str, Level] | None = None
) -> Level:
    values = {tag(keyword): dictionary_VR(tag(keyword)).encode() for keyword in keywords.split()}
    roles = {tag(keyword): role for keyword, role in (uids or {}).items()}
    nested = {tag(keyword): level for keyword, level in (sequences or {}).items()}
    if not {b"UI", b"SQ"}.isdisjoint(values.values()):
        raise ValueError("a UID needs a role, a sequence its level")
    return Level({**values, **dict.fromkeys(roles, b"UI")}, roles, nested)


_CODE = _level(
    "CodeValue CodingSchemeDesignator CodingSchemeVersion CodeMeaning LongCodeValue URNCodeValue MappingResource "
    "MappingResourceName ContextGroupVersion ContextGroupLocalVersion ContextIdentifier",
    uids={"ContextUID": UidRole.CODING, "MappingResourceUID": UidRole.CODING},
)
_SLICE = _level(
    "", uids={"ReferencedSOPClassUID": UidRole.INSTANCE_CLASS, "ReferencedSOPInstanceUID": UidRole.INSTANCE}
)
_STUDY_REFERENCE = {
    "ReferencedSOPClassUID": UidRole.STUDY_CLASS,
    "ReferencedSOPInstanceUID": UidRole.STUDY_INSTANCE,
}
_REFERENCED_SERIES = _level(
    "", uids={"SeriesInstanceUID": UidRole.SERIES}, sequences={"ContourImageSequence": _SLICE}
)
_FRAME_OF_REFERENCE = _level(
    "",
    uids={"FrameOfReferenceUID": UidRole.FRAME_OF_REFERENCE},
    sequences={
        "RTReferencedStudySequence": _level(
            "", uids=_STUDY_REFERENCE, sequences={"RTReferencedSeriesSequence": _REFERENCED_SERIES}
        )
    },
)
_ROI = _level(
    "ROINumber ROIName ROIDescription ROIVolume ROIDateTime ROIGenerationAlgorithm ROIGenerationDescription",
    uids={"ReferencedFrameOfReferenceUID": UidRole.FRAME_OF_REFERENCE},
    sequences={"ROIDerivationAlgorithmIdentificationSequence": _level(
        "AlgorithmVersion AlgorithmParameters AlgorithmName AlgorithmSource",
        sequences={"AlgorithmFamilyCodeSequence": _CODE, "AlgorithmNameCodeSequence": _CODE},
    )},
)  # fmt: skip
CONTOUR: Final = _level(
    "ContourNumber ContourGeometricType ContourSlabThickness NumberOfContourPoints ContourData",
    sequences={"ContourImageSequence": _SLICE},
)
_ROI_CONTOUR = _level(
    "ROIDisplayColor RecommendedDisplayGrayscaleValue RecommendedDisplayCIELabValue ReferencedROINumber",
    sequences={
        "ContourSequence": CONTOUR,
        "SourceSeriesSequence": _level("", uids={"SeriesInstanceUID": UidRole.SERIES}),
        "SourcePixelPlanesCharacteristicsSequence": _level(
            "PixelSpacing SpacingBetweenSlices ImageOrientationPatient ImagePositionPatient NumberOfFrames Rows "
            "Columns"
        ),
    },
)
_OBSERVATION = _level(
    "ObservationNumber ReferencedROINumber ROIObservationLabel ROIObservationDescription RTROIInterpretedType "
    "ROIInterpreter MaterialID",
    sequences={
        "RTROIIdentificationCodeSequence": _CODE,
        "SegmentedPropertyCategoryCodeSequence": _CODE,
        "TherapeuticRoleCategoryCodeSequence": _CODE,
        "TherapeuticRoleTypeCodeSequence": _CODE,
        "ROIPhysicalPropertiesSequence": _level("ROIPhysicalProperty ROIPhysicalPropertyValue"),
    },
)

STRUCTURE_SET: Final = _level(
    # General Study, Patient, Patient Study: pseudonyms and blanks; not passed on
    "SpecificCharacterSet StudyDate StudyTime AccessionNumber ReferringPhysicianName StudyDescription StudyID "
    "PatientName PatientID PatientBirthDate PatientSex PatientAge PatientSize PatientWeight "
    "PatientIdentityRemoved DeidentificationMethod BurnedInAnnotation LongitudinalTemporalInformationModified "
    # RT Series, General Equipment
    "Modality SeriesDate SeriesTime SeriesNumber SeriesDescription OperatorsName Manufacturer InstitutionName "
    "InstitutionalDepartmentName StationName ManufacturerModelName SoftwareVersions PositionReferenceIndicator "
    # Structure Set, Approval, SOP Common
    "InstanceCreationDate InstanceCreationTime TimezoneOffsetFromUTC InstanceNumber ContentDate ContentTime "
    "StructureSetLabel StructureSetName StructureSetDescription StructureSetDate StructureSetTime ApprovalStatus",
    uids={
        "InstanceCreatorUID": UidRole.OWN,
        "SOPClassUID": UidRole.STRUCTURE_SET_CLASS,
        "SOPInstanceUID": UidRole.OWN,
        "StudyInstanceUID": UidRole.STUDY,
        "SeriesInstanceUID": UidRole.OWN,
        "FrameOfReferenceUID": UidRole.FRAME_OF_REFERENCE,
    },
    sequences={
        "DeidentificationMethodCodeSequence": _CODE,
        "ReferencedStudySequence": _level("", uids=_STUDY_REFERENCE),
        "ReferencedSeriesSequence": _level(
            "", uids={"SeriesInstanceUID": UidRole.SERIES}, sequences={"ReferencedInstanceSequence": _SLICE}
        ),
        "ReferencedFrameOfReferenceSequence": _FRAME_OF_REFERENCE,
        "StructureSetROISequence": _ROI,
        "ROIContourSequence": _ROI_CONTOUR,
        "RTROIObservationsSequence": _OBSERVATION,
    },
)
"""The whole dataset."""
