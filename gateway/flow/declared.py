"""Declared: what an image says of itself that makes it no slice to contour, or one with text in its pixels.

In: one instance. Out: whether it is a secondary image. Refuses, with `PassageUnfit` or `DeidentificationError`. Pure.
What an image does not declare proves nothing, nor does `BurnedInAnnotation` NO: text is looked for all the same.
"""

from __future__ import annotations

from typing import Final

from gateway.dicom import values
from gateway.dicom.instance import Instance
from gateway.errors import DeidentificationError, PassageUnfit, Word

CONVERSION_TYPE: Final = 0x00080064
NUMBER_OF_FRAMES: Final = 0x00280008
BURNED_IN_ANNOTATION: Final = 0x00280301
SECONDARY_CAPTURE: Final = (0x00181010, 0x00181012, 0x00181014, 0x00181016, 0x00181018, 0x00181019)
"""Of the SC Equipment and SC Image modules (PS3.3 C.8.6): device, date, time, manufacturer, model, software."""

NOT_SLICES: Final = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "TOPOGRAM": "localizer",
    "SURVEY": "localizer",
    "CT SOM5 TOP": "localizer",
    "CT SOM7 TOP": "localizer",
    "SCREEN SAVE": "screen save",
    "SCREENSAVE": "screen save",
    "SCREENSHOT": "screen save",
    "SCREEN CAPTURE": "screen save",
    "DOSE": "dose sheet",
    "DOSEINFO": "dose sheet",
    "DOSE INFO": "dose sheet",
    "DOSE REPORT": "dose sheet",
    "PATIENT PROTOCOL": "dose sheet",
    "PROTOCOL": "dose sheet",
    "VOLUME RENDERING": "rendering",
    "VOLUME RENDERED": "rendering",
    "VRT": "rendering",
    "SSD": "rendering",
    "CSA 3D EDITOR": "rendering",
    "PROJECTION IMAGE": "projection",
    "PROJECTION": "projection",
    "MAX IP": "projection",
    "MIN IP": "projection",
    "MIP": "projection",
    "MINIP": "projection",
    "CSA MIP": "projection",
    "MOSAIC": "mosaic",
    "PERFUSION": "parametric map",
    "FUSED": "fusion",
    "FUSION": "fusion",
    "CSA FUSED MPR": "fusion",
    "REPORT": "report",
    "CSA REPORT": "report",
}
"""Values of ImageType (PS3.3 C.8.2.1.1.1, C.8.3.1.1.1, and what vendors write from the third value on).

Spaces, underscores and hyphens are alike. A value must be one of these as a whole: LOW DOSE is no dose sheet.
"""


def check_declared(instance: Instance) -> None:
    """Refuse what is declared to be no slice, or to carry text.

    Raises
    ------
    PassageUnfit
        NOT_IMAGES, with the kind.
    DeidentificationError
        DEID_BURNED_IN.
    """
    if instance.raw(CONVERSION_TYPE) is not None or any(
        (instance.raw(tag) or b"").strip(b" \0") for tag in SECONDARY_CAPTURE
    ):
        raise PassageUnfit("NOT_IMAGES", kind=Word("converted"))
    for word in instance.image_type:
        kind = NOT_SLICES.get(" ".join(word.upper().replace("_", " ").replace("-", " ").split()))
        if kind is not None:
            raise PassageUnfit("NOT_IMAGES", kind=Word(kind))
    frames = instance.raw(NUMBER_OF_FRAMES)
    if frames is not None and values.integers(frames, 1) not in (None, (1,)):
        raise PassageUnfit("NOT_IMAGES", kind=Word("multi-frame"))
    if (instance.raw(BURNED_IN_ANNOTATION) or b"").strip(b" \0").upper() == b"YES":
        raise DeidentificationError("DEID_BURNED_IN", declared=True)


def is_secondary(instance: Instance) -> bool:
    """Whether an image is declared DERIVED and SECONDARY: no reason to refuse it, but to read it in any case."""
    return {"DERIVED", "SECONDARY"} <= {word.strip().upper() for word in instance.image_type[:2]}
