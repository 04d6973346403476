"""Strokes are counted where they are, whatever is far beyond the window."""

import numpy as np
import pytest

from gateway.pixels.strokes import CELL_COLUMNS, CELL_ROWS, stroke_cells
from gateway.pixels.windows import Window

WINDOW = Window(-160, 240)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("value", [240, 20000, -160])
def test_a_stroke_counts_in_its_cell_only(width: int, value: int) -> None:
    values = np.full((96, 160), 40, "<i2")
    values[CELL_ROWS * 2 : CELL_ROWS * 3, 70 : 70 + width] = value
    cells = stroke_cells(values, WINDOW)
    seen = min(width, 3)  # of a broad stroke its middle
    assert cells[2, 70 // CELL_COLUMNS] == cells.sum() == CELL_ROWS * seen


@pytest.mark.parametrize("value", [40, 3000])
def test_edges_and_broad_things_are_no_strokes(value: int) -> None:
    values = np.full((96, 160), -1000, "<i2")
    values[:, 60:] = value
    values[:, 90:110] = -1000
    assert stroke_cells(values, WINDOW).sum() == 0


def test_noise_is_no_stroke_and_neither_is_what_no_person_sees() -> None:
    random = np.random.default_rng(0)
    assert stroke_cells(random.normal(40, 15, (256, 256)).astype("<i2"), WINDOW).sum() < 10
    values = np.full((64, 64), -1000, "<i2")
    values[:, 30] = -700
    assert stroke_cells(values, WINDOW).sum() == 0
