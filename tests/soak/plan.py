"""What the soak sends, decided by a seed alone: how long it lasts only decides how far the plan comes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom import uid

__all__ = ["ROOT", "SENDERS", "SYNTAXES", "Shipment", "shipments"]

ROOT: Final = "1.2.826.0.1.3680043.8.498.7"

NATIVE: Final = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
SYNTAXES: Final = (
    *NATIVE,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
SENDERS: Final = ("storescu", "dcmsend", "pynetdicom", "blast")
_SIZES: Final = (
    (16, 64),
    (40, 64),
    (24, 128),
    (90, 128),
    (30, 256),
    (120, 256),
    (20, 512),
    (80, 512),
    (250, 512),
)
"""Slices and matrix side."""
_OFTEN: Final = (6, 4, 6, 4, 5, 3, 4, 2, 1)
_ABORTED: Final = 0.12
"""Share of the shipments that break off."""
_SENT_AGAIN: Final = 0.7
"""Share of those whose sender comes again with everything; the others stay broken off and are held."""

_READ: Final = 0.15
"""Share of the series in which text is looked for."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """One series, and how it is sent."""

    lane: int
    number: int
    sender: str
    slices: int
    side: int
    syntax: uid.UID
    modality: str
    """CT, whose pixels are read for text before they leave, which takes seconds; MR, whose are not in this soak."""
    breaks_after: int | None
    """Instances after which the association is broken off."""
    comes_again: bool
    faulty: int
    """Instances that the gateway must refuse, sent in between by the blasting sender."""

    @property
    def study_uid(self) -> str:
        return f"{ROOT}.{self.lane + 1}.{self.number + 1}"

    @property
    def series_uid(self) -> str:
        return f"{self.study_uid}.1"

    @property
    def frame_uid(self) -> str:
        return f"{self.study_uid}.2"

    @property
    def patient_id(self) -> str:
        return f"SOAK-{self.lane}-{self.number}"

    @property
    def sop_class_uid(self) -> str:
        return str(uid.CTImageStorage if self.modality == "CT" else uid.MRImageStorage)

    def instance_uid(self, index: int) -> str:
        return f"{self.series_uid}.{index + 1}"


def shipments(seed: int, lane: int) -> Iterator[Shipment]:
    """What one lane sends, without end."""
    chance = random.Random(f"{seed} {lane}")
    number = 0
    while True:
        slices, side = chance.choices(_SIZES, _OFTEN)[0]
        sender = chance.choice(SENDERS)
        syntax = chance.choices(SYNTAXES, (8, 4, *[1] * (len(SYNTAXES) - 2)))[0]
        breaks = chance.randrange(1, slices) if chance.random() < _ABORTED else None
        yield Shipment(
            lane,
            number,
            sender,
            slices,
            side,
            syntax,
            "CT" if chance.random() < _READ else "MR",
            breaks,
            chance.random() < _SENT_AGAIN,
            chance.choice((0, 0, 1, 3)) if sender == "blast" else 0,
        )
        number += 1
