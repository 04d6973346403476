"""Where the answer key puts identifiers, and what it wants to see again: tables only.

A place is a keyword, or keywords and item numbers from the first level inwards, between slashes.
"""

from __future__ import annotations

__all__ = ["DATES", "IDENTIFIERS", "MIXED", "PRESENT", "RETAINED", "VALUED", "WRITTEN"]

IDENTIFIERS = (
    "PatientBirthName",
    "PatientMotherBirthName",
    "OtherPatientNames",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "MilitaryRank",
    "Occupation",
    "RegionOfResidence",
    "MedicalRecordLocator",
    "AdmissionID",
    "CurrentPatientLocation",
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "PatientComments",
    "AdditionalPatientHistory",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "RequestingPhysician",
    "RequestingService",
    "ScheduledPerformingPhysicianName",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "RequestedProcedureID",
    "PerformedProcedureStepID",
    "StudyComments",
    "ImageComments",
    "InsurancePlanIdentification",
    "RequestAttributesSequence/0/RequestedProcedureID",
    "RequestAttributesSequence/0/ScheduledProcedureStepDescription",
    "RequestAttributesSequence/0/ScheduledPerformingPhysicianName",
    "OtherPatientIDsSequence/0/PatientID",
    "ReferringPhysicianIdentificationSequence/0/InstitutionName",
    "ReferringPhysicianIdentificationSequence/0/PersonTelephoneNumbers",
    "OriginalAttributesSequence/0/ModifiedAttributesSequence/0/PatientName",
    "ProcedureCodeSequence/0/CodeMeaning",
    # Where no table expects an identifier, but a person may type one.
    "SequenceName",
    "ConvolutionKernel",
    "ContrastBolusAgent",
    "FilterType",
)
"""Attributes whose whole value is an identifier."""

MIXED = {
    "StudyDescription": ("Thorax planning", "{kept} for {word}"),
    "SeriesDescription": ("Axial 3.0", "{kept} {word}"),
    "ProtocolName": ("RT Thorax", "{kept} ({word})"),
    "RequestedProcedureDescription": ("Planning", "{kept}, call {word}"),
    "PerformedProcedureStepDescription": ("Contouring", "{kept} by {word}"),
    "DerivationDescription": ("Resampled", "{kept} by {word}"),
}
"""Descriptors: an identifier beside words that must stay."""

WRITTEN = {
    "Manufacturer": "Invented Scanners",
    "ManufacturerModelName": "Scanner 9",
    "PatientSex": "O",
    "PatientAge": "061Y",
    "PatientWeight": "71.5",
    "BodyPartExamined": "CHEST",
}
"""Set before the key is written, and retained."""

RETAINED = (
    *WRITTEN,
    "SOPClassUID",
    "Modality",
    "PatientPosition",
    "InstanceNumber",
    "KVP",
    "XRayTubeCurrent",
    "ExposureTime",
    "ScanningSequence",
    "SequenceVariant",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "MagneticFieldStrength",
    "FlipAngle",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "WindowCenter",
    "WindowWidth",
)
"""Text that says nothing about who the patient is; asked for where the image has it."""

PRESENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SeriesNumber",
    "InstanceNumber",
    "Manufacturer",
    "PositionReferenceIndicator",
    "AcquisitionNumber",
    "SliceThickness",
    "ContentDate",
    "AcquisitionDate",
    "ScanOptions",
)
"""Attributes that must stay, with or without a value: type 2 of the CT or the MR IOD, and dates that are shifted."""

VALUED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ReferencedImageSequence/0/ReferencedSOPInstanceUID",
    "ReferencedStudySequence/0/ReferencedSOPInstanceUID",
)
"""Type 1 attributes: whatever becomes of them, they must have a value."""

DATES = {
    "StudyDate": 0,
    "SeriesDate": 2,
    "AcquisitionDate": 5,
    "ContentDate": 9,
    "AcquisitionDateTime": 14,
    "PerformedProcedureStepStartDate": 20,
    "RequestAttributesSequence/0/ScheduledProcedureStepStartDate": 27,
}
"""Dates and how many days after the study each lies."""
