"""The De-identification Method codes (PS3.16 CID 7050) and what each option stands for."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["BASIC_PROFILE", "MethodCode", "Option"]


class MethodCode(NamedTuple):
    """One code of CID 7050; the coding scheme is DCM."""

    value: str
    meaning: str


BASIC_PROFILE = MethodCode("113100", "Basic Application Confidentiality Profile")


class Option(Enum):
    """An option of the Basic Profile (PS3.15 E.3): a name for profiles, a code, and its column in table E.1-1."""

    CLEAN_PIXEL_DATA = ("clean-pixel-data", "113101", "Clean Pixel Data Option", "")
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = (
        "clean-recognizable-visual-features",
        "113102",
        "Clean Recognizable Visual Features Option",
        "",
    )
    CLEAN_GRAPHICS = ("clean-graphics", "113103", "Clean Graphics Option", "clean_graphics")
    CLEAN_STRUCTURED_CONTENT = (
        "clean-structured-content",
        "113104",
        "Clean Structured Content Option",
        "clean_structured_content",
    )
    CLEAN_DESCRIPTORS = ("clean-descriptors", "113105", "Clean Descriptors Option", "clean_descriptors")
    RETAIN_LONGITUDINAL_FULL_DATES = (
        "retain-longitudinal-full-dates",
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
        "retain_longitudinal_full_dates",
    )
    RETAIN_LONGITUDINAL_MODIFIED_DATES = (
        "retain-longitudinal-modified-dates",
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
        "retain_longitudinal_modified_dates",
    )
    RETAIN_PATIENT_CHARACTERISTICS = (
        "retain-patient-characteristics",
        "113108",
        "Retain Patient Characteristics Option",
        "retain_patient_characteristics",
    )
    RETAIN_DEVICE_IDENTITY = (
        "retain-device-identity",
        "113109",
        "Retain Device Identity Option",
        "retain_device_identity",
    )
    RETAIN_UIDS = ("retain-uids", "113110", "Retain UIDs Option", "retain_uids")
    RETAIN_SAFE_PRIVATE = (
        "retain-safe-private",
        "113111",
        "Retain Safe Private Option",
        "retain_safe_private",
    )
    RETAIN_INSTITUTION_IDENTITY = (
        "retain-institution-identity",
        "113112",
        "Retain Institution Identity Option",
        "retain_institution_identity",
    )

    def __init__(self, label: str, code_value: str, code_meaning: str, column: str) -> None:
        self.label = label
        """How a profile declares it."""
        self.code = MethodCode(code_value, code_meaning)
        self.column = column
        """The column of table E.1-1; empty for the options that concern pixels, which the table does not cover."""

    @classmethod
    def labelled(cls, label: str) -> Option:
        """The option that a profile names.

        Raises
        ------
        ValueError
            If there is none.
        """
        for option in cls:
            if option.label == label:
                return option
        raise ValueError("not an option of PS3.15 E.3")
