"""The structures that the engine draws: their names, types, codes and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.contourer.engine.contours import Outline

__all__ = ["BONE", "EXTERNAL", "LUNG_L", "LUNG_R", "SPINAL_CANAL", "Code", "Roi", "Structure"]


class Code(NamedTuple):
    """A coded concept (PS3.3 8.8), SNOMED CT."""

    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Structure:
    """What is drawn."""

    name: str
    """As in AAPM TG-263."""
    interpreted_type: str
    """RTROIInterpretedType (PS3.3 C.8.8.8)."""
    colour: tuple[int, int, int]
    """ROIDisplayColor."""
    code: Code | None
    """RTROIIdentificationCodeSequence; none where the concept is no anatomy."""


@dataclass(frozen=True, slots=True)
class Roi:
    """A structure and its contours."""

    structure: Structure
    outlines: Sequence[Outline]


EXTERNAL: Final = Structure("External", "EXTERNAL", (0, 255, 0), None)
LUNG_L: Final = Structure("Lung_L", "ORGAN", (80, 160, 255), Code("44029006", "Left lung"))
LUNG_R: Final = Structure("Lung_R", "ORGAN", (0, 90, 220), Code("3341006", "Right lung"))
BONE: Final = Structure("Bones", "ORGAN", (255, 225, 140), Code("272673000", "Bone"))
SPINAL_CANAL: Final = Structure("SpinalCanal", "ORGAN", (255, 60, 60), Code("61853006", "Spinal canal"))
