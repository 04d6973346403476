"""Strokes: how much of a slice looks drawn with a pen, cell by cell.

A letter's stroke is a few pixels wide and differs from both its sides. So does a thin bone; but a bone is there on the
next slice too, and text that starts on this slice is not. The counts are small enough to be kept for every slice until
its neighbours are known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.pixels.windows import Values, Window

CELL_ROWS: Final = 16
CELL_COLUMNS: Final = 32
REACHES: Final = (2, 4)
"""How far from a pixel both sides are looked at: strokes up to about 3 and 7 pixels wide."""
CONTRAST: Final = 0.22
"""Share of the window by which a stroke differs from both its sides."""
_ROW_STEP: Final = 2

Cells = npt.NDArray[np.float32]
"""(rows / 16, columns / 32), rounded up: pixels on strokes."""


def stroke_cells(values: Values, window: Window) -> Cells:
    """Count the pixels of strokes in each cell, bright and dark ones.

    Parameters
    ----------
    values : numpy.ndarray
        (rows, columns), stored values.
    window : Window
        Beyond which differences are not seen.
    """
    columns = values.shape[1]
    low, high = _bounds(values, window)
    seen = np.clip(values[::_ROW_STEP], low, high).astype(
        np.int32 if high - low > 32767 else np.int16, copy=False
    )
    least = max(1, round((high - low) * CONTRAST))
    in_cell = CELL_ROWS // _ROW_STEP
    cells_down = -(-seen.shape[0] // in_cell)
    strokes = np.zeros((cells_down * in_cell, columns), dtype=np.uint8)
    for reach in REACHES:
        if columns <= 2 * reach:
            continue
        left, middle, right = seen[:, : -2 * reach], seen[:, reach:-reach], seen[:, 2 * reach :]
        found = strokes[: seen.shape[0], reach:-reach].view(bool)
        side = np.maximum(left, right)
        found |= np.subtract(middle, side, out=side) > least
        np.minimum(left, right, out=side)
        found |= np.subtract(side, middle, out=side) > least
    down = strokes.reshape(cells_down, in_cell, columns).sum(axis=1, dtype=np.uint8)
    cells: Cells = down.astype(np.float32) @ _across(columns)
    return cells * _ROW_STEP


def _bounds(values: Values, window: Window) -> tuple[int, int]:
    limits = np.iinfo(values.dtype)
    low = int(np.clip(window.low, limits.min, limits.max - 1))
    return low, int(np.clip(window.high, low + 1, limits.max))


@lru_cache(maxsize=8)
def _across(columns: int) -> npt.NDArray[np.float32]:
    """A matrix that adds up the columns of each cell."""
    cell = np.arange(columns) // CELL_COLUMNS
    adds: npt.NDArray[np.float32] = (cell[:, None] == np.arange(cell[-1] + 1)[None, :]).astype(np.float32)
    return adds
