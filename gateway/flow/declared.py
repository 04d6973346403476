"""Declared: what an image says of itself that makes it no slice to contour, or one with text in its pixels.

In: one instance. Out: nothing. Refuses, with `PassageUnfit` or `DeidentificationError`. Pure. What an image does not
declare proves nothing: text is looked for in the pixels all the same.
"""

from __future__ import annotations

from typing import Final

from gateway.dicom.instance import Instance
from gateway.errors import DeidentificationError, PassageUnfit, Word

CONVERSION_TYPE: Final = 0x00080064
BURNED_IN_ANNOTATION: Final = 0x00280301

NOT_SLICES: Final = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "SCREEN SAVE": "screen save",
    "SCREENSAVE": "screen save",
    "SCREENSHOT": "screen save",
    "DOSE": "dose sheet",
    "DOSE_INFO": "dose sheet",
    "DOSE REPORT": "dose sheet",
    "VOLUME RENDERING": "rendering",
    "VOLUME_RENDERED": "rendering",
    "VRT": "rendering",
    "SSD": "rendering",
    "PROJECTION IMAGE": "projection",
    "MAX_IP": "projection",
    "MIN_IP": "projection",
    "MOSAIC": "mosaic",
    "PERFUSION": "parametric map",
    "FUSED": "fusion",
}
"""Words of ImageType (PS3.3 C.8.2.1.1.1, C.8.3.1.1.1, and what vendors write from the third value on)."""


def check_declared(instance: Instance) -> None:
    """Refuse what is declared to be no slice, or to carry text.

    Raises
    ------
    PassageUnfit
        NOT_IMAGES, with the kind.
    DeidentificationError
        DEID_BURNED_IN.
    """
    if instance.raw(CONVERSION_TYPE) is not None:
        raise PassageUnfit("NOT_IMAGES", kind=Word("converted"))
    for word in instance.image_type:
        kind = NOT_SLICES.get(word.strip().upper())
        if kind is not None:
            raise PassageUnfit("NOT_IMAGES", kind=Word(kind))
    if (instance.raw(BURNED_IN_ANNOTATION) or b"").strip(b" \0").upper() == b"YES":
        raise DeidentificationError("DEID_BURNED_IN", declared=True)
