"""The contours of a structure set in pixels, slice by slice, for drawing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.flow.board import Outline

__all__ = ["Drawing", "Ring"]

_PALETTE = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240),
    (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (220, 190, 255), (170, 110, 40), (128, 128, 0),
)  # fmt: skip
"""For ROIs that bring no colour: hues far apart on a grey image."""


class Ring(NamedTuple):
    """Where one contour's points stand in `Drawing`."""

    roi: int
    """Index into the names."""
    slice_index: int
    first: int
    stop: int


class Drawing:
    """The outlines of all slices.

    Parameters
    ----------
    names : sequence of str
        The ROIs' names.
    colours : sequence of (int, int, int) or None
        The ROIs' colours; for None one is chosen.
    rings : iterable of Ring
    points : numpy.ndarray
        (points, 2) float32: column and row in pixels, the centre of the first pixel is (0, 0).
    """

    __slots__ = ("_colours", "_names", "_points", "_rings")

    def __init__(
        self,
        names: Sequence[str],
        colours: Sequence[tuple[int, int, int] | None],
        rings: Iterable[Ring],
        points: npt.NDArray[np.float32],
    ) -> None:
        self._names = tuple(names)
        self._colours = tuple(colour or _PALETTE[i % len(_PALETTE)] for i, colour in enumerate(colours))
        self._points = points
        self._rings: dict[int, list[Ring]] = {}
        for ring in rings:
            self._rings.setdefault(ring.slice_index, []).append(ring)

    def outlines(self, slice_index: int) -> tuple[Outline, ...]:
        """What lies on the slice with that index along the patient's axis, one outline for each ROI."""
        rings: dict[int, list[npt.NDArray[np.float32]]] = {}
        for ring in self._rings.get(slice_index, ()):
            rings.setdefault(ring.roi, []).append(self._points[ring.first : ring.stop])
        return tuple(
            Outline(self._names[roi], self._colours[roi], tuple(found))
            for roi, found in sorted(rings.items())
        )
