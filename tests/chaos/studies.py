"""Invented patients, each with marks and a body that no other has, so that a structure set can be told apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from tests import made

SIDE = 64
"""Rows and columns; with 1 mm pixels, the body's place tells whose contours these are."""


@dataclass(frozen=True)
class Study:
    """One study of one series of one patient."""

    seed: int
    number: int
    slices: int
    radius: int
    """Of the body, in pixels."""
    across: int
    down: int
    """From the picture's middle to the body's, in pixels."""
    day: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%d}")

    @classmethod
    def drawn(cls, seed: int, number: int, chance: random.Random) -> Study:
        """One more patient of a run."""
        return cls(
            seed,
            number,
            slices=chance.randint(5, 8),
            radius=chance.randint(13, 22),
            across=chance.randint(-7, 7),
            down=chance.randint(-7, 7),
        )

    @property
    def mark(self) -> str:
        """What stands in each identifier of this patient and of nobody else."""
        return f"CHAOS{self.seed:04d}X{self.number:05d}"

    @cached_property
    def uid(self) -> str:
        """The study instance UID; the others begin with it."""
        return f"{made.ROOT}.{1000 + self.seed}.{1 + self.number}"

    @property
    def series_uid(self) -> str:
        return f"{self.uid}.1"

    @property
    def frame_of_reference_uid(self) -> str:
        return f"{self.uid}.0"

    @property
    def sop_instance_uids(self) -> list[str]:
        return [f"{self.series_uid}.{index + 1}" for index in range(self.slices)]

    @property
    def identity(self) -> dict[str, str]:
        """What a structure set must bear, by keyword."""
        return {
            "PatientID": self.mark,
            "PatientName": f"{self.mark}^Invented",
            "PatientBirthDate": f"{1930 + self.number % 70}0{1 + self.number % 9}1{self.number % 10}",
            "AccessionNumber": self.mark,
            "StudyInstanceUID": self.uid,
        }

    @property
    def box_mm(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the body."""
        x, y = -8 + (SIDE - 1) / 2 + self.across, -8 + (SIDE - 1) / 2 + self.down
        return x - self.radius, y - self.radius, x + self.radius, y + self.radius

    def images(self) -> list[Dataset]:
        """The slices."""
        return [self._image(index) for index in range(self.slices)]

    def files(self, folder: Path) -> list[Path]:
        """The slices as files; written once."""
        paths = [folder / self.mark / f"{index}.dcm" for index in range(self.slices)]
        if not paths[0].parent.exists():
            paths[0].parent.mkdir(parents=True)
            for path, image in zip(paths, self.images(), strict=True):
                path.write_bytes(made.part10(image))
        return paths

    def _image(self, index: int) -> Dataset:
        image = made.image(index, side=SIDE)
        for keyword, value in self.identity.items():
            setattr(image, keyword, value)
        image.StudyDate = self.day
        image.SeriesInstanceUID, image.FrameOfReferenceUID = self.series_uid, self.frame_of_reference_uid
        image.SOPInstanceUID = self.sop_instance_uids[index]
        rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
        inside = (rows - self.down) ** 2 + (columns - self.across) ** 2 < self.radius**2
        image["PixelData"].value = np.where(inside, 0, -1000).astype("<i2").tobytes()
        return image
