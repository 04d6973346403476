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
    seen = np.clip(values[::_ROW_STEP], low, high).astype(np.int32 if high - low > 32767 else np.int16)
    least = max(1, round((high - low) * CONTRAST))
    strokes = np.zeros(seen.shape, dtype=bool)
    for reach in REACHES:
        if columns <= 2 * reach:
            continue
        left, middle, right = seen[:, : -2 * reach], seen[:, reach:-reach], seen[:, 2 * reach :]
        found = strokes[:, reach:-reach]
        found |= middle - np.maximum(left, right) > least
        found |= np.minimum(left, right) - middle > least
    down, across = _sums(seen.shape[0], columns)
    cells: Cells = down @ strokes.astype(np.float32) @ across
    return cells * _ROW_STEP


def _bounds(values: Values, window: Window) -> tuple[int, int]:
    limits = np.iinfo(values.dtype)
    low = int(np.clip(window.low, limits.min, limits.max - 1))
    return low, int(np.clip(window.high, low + 1, limits.max))


@lru_cache(maxsize=8)
def _sums(rows: int, columns: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Matrices that add up the rows and columns of each cell."""
    down = np.arange(rows) // (CELL_ROWS // _ROW_STEP)
    across = np.arange(columns) // CELL_COLUMNS
    return (
        (down[None, :] == np.arange(down[-1] + 1)[:, None]).astype(np.float32),
        (across[:, None] == np.arange(across[-1] + 1)[None, :]).astype(np.float32),
    )
