"""Sight: what is kept of a series while it arrives, so that it can be read when it is whole.

In: slices as they will leave, in any order. Out: pictures for the reader, each with where it comes from. Pure arrays;
what is kept is the projections, fifteen slices and some hundred counts for every slice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from gateway.pixels.candidates import Sheet, sheets, spots
from gateway.pixels.projections import Projections
from gateway.pixels.strokes import Cells, stroke_cells
from gateway.pixels.windows import Grey, Rescale, Values, Window, grey, soft_tissue, windows

FEW: Final = 16
"""A series of so few slices is read slice by slice: thick slices differ too much for their strokes to be compared."""
SPOTS: Final = 40
"""Places on single slices that are read at most."""
WHOLE: Final = 3
"""Slices with such places that are also read as a whole, beside the one in the middle."""


class Source(StrEnum):
    """What a picture shows."""

    MINIMUM = "minimum"
    MEDIAN = "median"
    MEAN = "mean"
    MAXIMUM = "maximum"
    SLICE = "slice"
    SHEET = "sheet"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture for the reader."""

    source: Source
    grey: Grey
    slice_index: int | None = None
    """Of the slice along the axis, for `SLICE`."""
    sheet: Sheet | None = None
    """For `SHEET`."""


class Sight:
    """What is kept of one series; slices may be added from several threads.

    Parameters
    ----------
    modality : str
    rescale : Rescale
        Of the first slice.
    first : numpy.ndarray
        (rows, columns), the stored values of the first slice.
    """

    def __init__(self, modality: str, rescale: Rescale, first: Values) -> None:
        self._modality = modality
        self._rescale = rescale
        self.window: Final[Window] = soft_tissue(modality, rescale, first)
        self._projections: Projections | None = None
        self._cells: dict[int, Cells] = {}
        self._turn = threading.Lock()
        self._shape = first.shape
        self._dtype = first.dtype
        self.is_mixed = False
        """Whether slices of different matrices came, which have no projection; the geometry check holds them."""

    @property
    def count(self) -> int:
        """How many slices were seen."""
        return len(self._cells)

    def has(self, key: int) -> bool:
        """Whether a slice was seen."""
        return key in self._cells

    def add(self, key: int, values: Values) -> None:
        """See one slice.

        Parameters
        ----------
        key : int
            By which `pictures` names it.
        values : numpy.ndarray
            (rows, columns), stored values.
        """
        if values.shape != self._shape or values.dtype != self._dtype:
            self.is_mixed = True
            return
        cells = stroke_cells(values, self.window)
        with self._turn:
            if key in self._cells:
                return
            if self._projections is None:
                self._projections = Projections(values)
            else:
                self._projections.add(values)
            self._cells[key] = cells

    def standing_still(self) -> list[Picture]:
        """Minimum, median and mean in three windows: what is on every slice shows here."""
        seen = self._seen()
        projected = (
            (Source.MEAN, seen.mean()),
            (Source.MEDIAN, seen.median()),
            (Source.MINIMUM, seen.minimum),
        )
        return _distinct(
            Picture(source, grey(values, window))
            for number in range(3)
            for source, values in projected
            for window in (windows(self._modality, self._rescale, values)[number],)
        )

    def passing(self) -> list[Picture]:
        """What is on some slices only shows in the extremes; at the end, with every slice seen."""
        seen = self._seen()
        soft, _, everything = windows(self._modality, self._rescale, seen.maximum)
        return _distinct(
            [
                Picture(Source.MAXIMUM, grey(seen.maximum, soft)),
                Picture(Source.MINIMUM, grey(seen.minimum, soft)),
                Picture(Source.MEAN, grey(seen.mean(), soft)),
                Picture(Source.MAXIMUM, grey(seen.maximum, everything)),
            ]
        )

    def single(self, order: Sequence[int], values_of: Callable[[int], Values]) -> list[Picture]:
        """Single slices, and sheets of places on single slices.

        Parameters
        ----------
        order : sequence of int
            The keys along the patient's axis.
        values_of : callable
            The stored values of a slice, by its place in `order`.
        """

        def picture_of(index: int) -> Grey:
            return grey(values_of(index), self.window)

        if len(order) <= FEW:
            return [Picture(Source.SLICE, picture_of(i), slice_index=i) for i in range(len(order))]
        rows, columns = self._shape
        places = spots([self._cells[key] for key in order], rows, columns, SPOTS)
        shown = {spot.slice_index: picture_of(spot.slice_index) for spot in places}
        first = list(shown)[:WHOLE]
        whole = list(dict.fromkeys([*first, len(order) // 2]))
        return [
            *(
                Picture(Source.SHEET, sheet.picture, sheet=sheet)
                for sheet in sheets(places, shown.__getitem__)
            ),
            *(Picture(Source.SLICE, shown.get(i, picture_of(i)), slice_index=i) for i in whole),
        ]

    def whole(self, index: int, values: Values) -> Picture:
        """One slice as a whole, by its place along the axis."""
        return Picture(Source.SLICE, grey(values, self.window), slice_index=index)

    def shown(self, values: Values) -> Grey:
        """A slice as a person would look at it first."""
        return grey(values, self.window)

    def _seen(self) -> Projections:
        with self._turn:
            if self._projections is None:
                raise RuntimeError("no slice was seen yet")
            return self._projections.copy()


def _distinct(pictures: Iterator[Picture] | Sequence[Picture]) -> list[Picture]:
    """Without pictures of one grey and without twins."""
    kept: list[Picture] = []
    for picture in pictures:
        if int(picture.grey.max()) - int(picture.grey.min()) < 8:
            continue
        if not any(np.array_equal(picture.grey, other.grey) for other in kept):
            kept.append(picture)
    return kept
