"""The board: what the console and the commands may see of the passages.

Everything here is pseudonymous; the vault's identities are out of its reach.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.passage import Passage


@dataclass(frozen=True, slots=True)
class SlicePicture:
    """One slice as it left, for drawing."""

    stored_values: npt.NDArray[np.int32]
    """(rows, columns), rescaled to HU for CT."""
    position: tuple[float, float, float]
    """ImagePositionPatient, mm."""
    spacing: tuple[float, float]
    """PixelSpacing: between rows, between columns, mm."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One ROI's contours on one slice."""

    roi: str
    colour: tuple[int, int, int]
    rings: tuple[npt.NDArray[np.float32], ...]
    """Each (points, 2): column and row in pixels, the centre of the first pixel is (0, 0)."""


class Board(Protocol):
    """Read access to the passages, and what a person may do to a held one."""

    def passages(self) -> Sequence[Passage]:
        """Those in memory, newest first."""

    def passage(self, passage_id: str) -> Passage | None: ...

    def changes(self) -> AsyncIterator[Passage]:
        """Each passage that changes from now on, for as long as it is read."""

    def slice_count(self, passage_id: str) -> int:
        """How many slices can be drawn; 0 when they are gone from memory."""

    async def picture(self, passage_id: str, index: int) -> SlicePicture:
        """The slice, in order along the patient's axis; decoded off the event loop."""

    def outlines(self, passage_id: str, index: int) -> Sequence[Outline]:
        """What the contourer drew on that slice."""

    def masked_picture(self, passage_id: str) -> bytes | None:
        """Where text was read in the pixels, itself blackened, as PNG; None where none was."""

    async def release(self, passage_id: str) -> None:
        """Send a held passage back to the state it came from."""

    async def cancel(self, passage_id: str) -> None:
        """End a held passage."""
