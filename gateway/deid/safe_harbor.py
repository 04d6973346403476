"""A profile against the 18 identifiers of the HIPAA Safe Harbor method, 45 CFR 164.514(b)(2)(i).

For each identifier: the attributes in which images carry it, and what a profile does with them. Where pixels carry it
the answer is not the profile's but the text gate's, or nobody's: a head scan shows a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydicom.datadict import tag_for_keyword

from gateway.deid.declared import Action, Declared

__all__ = ["IDENTIFIERS", "Fate", "Identifier", "Judgement", "judge"]


class Fate(StrEnum):
    """What becomes of an identifier."""

    REMOVED = "removed"
    """No attribute that carries it leaves with a value."""
    REPLACED = "replaced"
    """Pseudonyms stand in its place; the rest is removed."""
    RETAINED = "retained"
    """The profile lets an attribute that carries it leave."""
    IN_PIXELS = "in pixels"
    """It is a matter of the pixels, which are not altered."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """One of the 18."""

    letter: str
    """Its letter in 45 CFR 164.514(b)(2)(i)."""
    name: str
    keywords: tuple[str, ...]
    """The attributes of images that carry it by their definition (PS3.6)."""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a profile does with one identifier."""

    identifier: Identifier
    fate: Fate
    leaving: tuple[str, ...]
    """Keywords of the attributes that leave with a value of the patient's own, or a pseudonym."""


def judge(profile: Declared) -> tuple[Judgement, ...]:
    """What a profile does with each of the 18 identifiers."""
    return tuple(_judged(profile, identifier) for identifier in IDENTIFIERS)


def _judged(profile: Declared, identifier: Identifier) -> Judgement:
    actions = {}
    for keyword in identifier.keywords:
        tag = tag_for_keyword(keyword)
        attribute = profile.attribute(tag) if tag is not None else None
        if attribute is not None and attribute.action not in (Action.EMPTY, Action.CONSTANT):
            actions[keyword] = attribute.action
    if any(action in (Action.NUMBER, Action.CODE) for action in actions.values()):
        fate = Fate.RETAINED
    elif actions:
        fate = Fate.REPLACED
    else:
        fate = Fate.REMOVED if identifier.keywords else Fate.IN_PIXELS
    return Judgement(identifier, fate, tuple(actions))


IDENTIFIERS: Final = (
    Identifier(
        "A",
        "Names",
        (
            "PatientName",
            "OtherPatientNames",
            "PatientBirthName",
            "PatientMotherBirthName",
            "ResponsiblePerson",
            "ReferringPhysicianName",
            "ConsultingPhysicianName",
            "PerformingPhysicianName",
            "NameOfPhysiciansReadingStudy",
            "PhysiciansOfRecord",
            "RequestingPhysician",
            "OperatorsName",
        ),
        "no attribute of VR PN leaves with a person's name",
    ),
    Identifier(
        "B",
        "Geographic subdivisions smaller than a state",
        (
            "PatientAddress",
            "CountryOfResidence",
            "RegionOfResidence",
            "InstitutionName",
            "InstitutionAddress",
            "InstitutionalDepartmentName",
            "ReferringPhysicianAddress",
            "PersonAddress",
            "CurrentPatientLocation",
            "PatientInstitutionResidence",
        ),
    ),
    Identifier(
        "C",
        "Elements of dates except the year, and ages over 89",
        (
            "PatientBirthDate",
            "PatientAge",
            "StudyDate",
            "SeriesDate",
            "AcquisitionDate",
            "ContentDate",
            "AcquisitionDateTime",
            "InstanceCreationDate",
            "StudyTime",
            "SeriesTime",
            "AcquisitionTime",
            "ContentTime",
            "AdmittingDate",
            "PerformedProcedureStepStartDate",
            "TimezoneOffsetFromUTC",
        ),
        "years are removed too; an age that a profile retains goes out up to 89 years only",
    ),
    Identifier("D", "Telephone numbers", ("PatientTelephoneNumbers", "ReferringPhysicianTelephoneNumbers")),
    Identifier("E", "Fax numbers", ("PatientTelecomInformation", "PersonTelecomInformation")),
    Identifier("F", "Electronic mail addresses", ("PatientTelecomInformation", "PersonTelecomInformation")),
    Identifier("G", "Social security numbers", ("OtherPatientIDs", "OtherPatientIDsSequence")),
    Identifier(
        "H",
        "Medical record numbers",
        ("PatientID", "IssuerOfPatientID", "MedicalRecordLocator", "OtherPatientIDs"),
    ),
    Identifier("I", "Health plan beneficiary numbers", ("InsurancePlanIdentification",)),
    Identifier("J", "Account numbers", ("AccessionNumber", "AdmissionID", "ServiceEpisodeID")),
    Identifier("K", "Certificate and licence numbers", ("PersonIdentificationCodeSequence",)),
    Identifier(
        "L", "Vehicle identifiers and serial numbers", ("PatientComments",), "no attribute is meant for it"
    ),
    Identifier(
        "M",
        "Device identifiers and serial numbers",
        (
            "DeviceSerialNumber",
            "DeviceUID",
            "DeviceID",
            "UniqueDeviceIdentifier",
            "GantryID",
            "GeneratorID",
            "DetectorID",
            "PlateID",
            "CassetteID",
            "StationName",
        ),
    ),
    Identifier(
        "N", "Web universal resource locators", ("RetrieveURL", "RetrieveURI"), "no attribute of VR UR leaves"
    ),
    Identifier("O", "Internet protocol addresses", ("StationAETitle", "RetrieveAETitle", "NetworkID")),
    Identifier(
        "P",
        "Biometric identifiers",
        ("PatientComments",),
        "no attribute is meant for it",
    ),
    Identifier(
        "Q",
        "Full-face photographs and comparable images",
        (),
        "NOT covered: stored values are unaltered and not defaced, and a head scan shows a face",
    ),
    Identifier(
        "R",
        "Any other unique identifying number, characteristic or code",
        (
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "SOPInstanceUID",
            "FrameOfReferenceUID",
            "StudyID",
            "FillerOrderNumberImagingServiceRequest",
            "PlacerOrderNumberImagingServiceRequest",
            "RequestedProcedureID",
            "PerformedProcedureStepID",
            "ImageComments",
        ),
        "pseudonyms are keyed; only the clinic can go back",
    ),
)
"""The 18, in the regulation's order."""
