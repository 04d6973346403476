"""Candidates: the places on single slices that are worth reading, gathered on a few sheets.

In: the stroke counts of every slice (`gateway.pixels.strokes`), along the patient's axis. Out: the places where a
slice has many more strokes than the slices before or after it, because text stands there alone, begins or ends. Cut
out and laid side by side on sheets, some forty of them cost the reader as much as four whole slices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from gateway.pixels.strokes import CELL_COLUMNS, CELL_ROWS, Cells
from gateway.pixels.windows import Grey

LEAST: Final = 16.0
"""Pixels on strokes that three cells side by side must have more than on other slices."""
CUT_ROWS: Final = 80
CUT_COLUMNS: Final = 256
"""What is cut out around a place: room for a line of text and its neighbours."""
SMALL: Final = 300
"""Rows or columns of a matrix below which cut-outs are half as large and shown twice as large."""
GAP: Final = 8
SHEET_ROWS: Final = 512
SHEET_COLUMNS: Final = 520


class Spot(NamedTuple):
    """A place on one slice."""

    slice_index: int
    """Along the axis."""
    top: int
    left: int
    bottom: int
    right: int
    excess: float
    """Pixels on strokes that other slices do not have there."""


class Tile(NamedTuple):
    """Where a spot lies on a sheet."""

    top: int
    left: int
    spot: Spot
    zoom: int
    """How many times it is enlarged there."""

    @property
    def rows(self) -> int:
        """Its height on the sheet."""
        return (self.spot.bottom - self.spot.top) * self.zoom

    @property
    def columns(self) -> int:
        """Its width on the sheet."""
        return (self.spot.right - self.spot.left) * self.zoom


class Sheet(NamedTuple):
    """Cut-outs side by side."""

    picture: Grey
    tiles: tuple[Tile, ...]


def spots(cells: Sequence[Cells], rows: int, columns: int, most: int) -> list[Spot]:
    """The places that stand out most against the neighbouring slices.

    Parameters
    ----------
    cells : sequence of numpy.ndarray
        Of each slice, along the axis; at least three.
    rows, columns : int
        Of the matrix.
    most : int
        How many at most.
    """
    counts = np.pad(np.stack(cells), ((2, 2), (0, 0), (0, 0)), mode="reflect")
    here, count = counts[2:-2], len(cells)
    before = np.maximum(counts[1 : count + 1], counts[:count])
    after = np.maximum(counts[3 : count + 3], counts[4:])
    alone = _on_a_line(here - np.maximum(counts[1 : count + 1], counts[3 : count + 3]))
    begins_or_ends = _on_a_line(here - np.minimum(before, after))
    zoom = zoom_for(rows, columns)
    found: list[Spot] = []
    for excess, so_far in ((alone, most // 2), (begins_or_ends, most)):
        for at in np.argsort(-excess, axis=None, kind="stable"):
            index, down, across = (int(i) for i in np.unravel_index(at, excess.shape))
            height = float(excess[index, down, across])
            if height < LEAST or len(found) >= so_far:
                break
            middle = (down + 0.5) * CELL_ROWS, (across + 0.5) * CELL_COLUMNS
            if any(_covers(spot, index, *middle) for spot in found):
                continue
            top, bottom = _around(middle[0], CUT_ROWS // zoom, rows)
            left, right = _around(middle[1], CUT_COLUMNS // zoom, columns)
            found.append(Spot(index, top, left, bottom, right, height))
    return found


def zoom_for(rows: int, columns: int) -> int:
    """How many times cut-outs of a matrix are enlarged: letters in a small matrix are small."""
    return 2 if min(rows, columns) < SMALL else 1


def _on_a_line(excess: Cells) -> Cells:
    """Three cells side by side: a word is wider than one."""
    padded = np.pad(excess, ((0, 0), (0, 0), (1, 1)))
    summed: Cells = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    return summed


def sheets(places: Sequence[Spot], picture_of: Callable[[int], Grey]) -> list[Sheet]:
    """Lay the places side by side.

    Parameters
    ----------
    places : sequence of Spot
    picture_of : callable
        The grey picture of a slice, by its index along the axis.
    """
    made: list[Sheet] = []
    tiles: list[Tile] = []
    top = left = tallest = 0
    canvas = np.zeros((SHEET_ROWS, SHEET_COLUMNS), np.uint8)
    for spot in places:
        cut = picture_of(spot.slice_index)
        zoom = zoom_for(*cut.shape)
        cut = cut[spot.top : spot.bottom, spot.left : spot.right]
        cut = _doubled(cut) if zoom == 2 else cut
        rows, columns = cut.shape
        if left + columns > SHEET_COLUMNS:
            top, left, tallest = top + tallest + GAP, 0, 0
        if top + rows > SHEET_ROWS:
            made.append(Sheet(canvas, tuple(tiles)))
            canvas, tiles, top, left, tallest = np.zeros_like(canvas), [], 0, 0, 0
        canvas[top : top + rows, left : left + columns] = cut
        tiles.append(Tile(top, left, spot, zoom))
        left, tallest = left + columns + GAP, max(tallest, rows)
    if tiles:
        made.append(Sheet(canvas, tuple(tiles)))
    return made


def _doubled(picture: Grey) -> Grey:
    """Twice as large, with the means between the pixels."""
    twice = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1).astype(np.uint16)
    twice[1:-1:2] = (twice[1:-1:2] + twice[2::2]) // 2
    twice[:, 1:-1:2] = (twice[:, 1:-1:2] + twice[:, 2::2]) // 2
    return twice.astype(np.uint8)


def _covers(spot: Spot, index: int, row: float, column: float) -> bool:
    """Whether what is cut out for a spot shows another place well inside."""
    return (
        spot.slice_index == index
        and spot.top + CELL_ROWS <= row <= spot.bottom - CELL_ROWS
        and spot.left <= column <= spot.right
    )


def _around(middle: float, length: int, limit: int) -> tuple[int, int]:
    length = min(length, limit)
    start = int(min(max(0, middle - length / 2), limit - length))
    return start, start + length
