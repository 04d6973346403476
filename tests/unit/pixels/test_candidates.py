"""Text on one slice stands out against its neighbours; anatomy, which goes on, does not."""

import numpy as np
import pytest

from gateway.pixels.candidates import SHEET_COLUMNS, SHEET_ROWS, sheets, spots
from gateway.pixels.strokes import stroke_cells
from gateway.pixels.windows import Window

WINDOW = Window(-160, 240)
BARS = (slice(100, 112), slice(300, 360, 4))
"""Twelve rows of strokes two pixels wide, as letters are."""


def stack(slices: int = 9, side: int = 512) -> np.ndarray:
    """A body with a bright thin bone that moves a little from slice to slice."""
    made = np.full((slices, side, side), -1000, "<i2")
    for index in range(slices):
        made[index, side // 5 : -side // 5, side // 5 : -side // 5] = 40
        made[index, side // 3 : side // 2, side // 3 + index : side // 3 + 3 + index] = 900
    return made


def drawn(values: np.ndarray, value: int) -> None:
    rows, columns = BARS
    values[rows, columns] = value
    values[rows, slice(columns.start + 1, columns.stop, 4)] = value


def cells(made: np.ndarray) -> list[np.ndarray]:
    return [stroke_cells(values, WINDOW) for values in made]


@pytest.mark.parametrize("index", [0, 4, 8])
@pytest.mark.parametrize("value", [240, 3000, -160])
def test_the_slice_and_the_place_of_text_are_found(index: int, value: int) -> None:
    made = stack()
    made[:, 90:120, 290:370] = 40
    drawn(made[index], value)
    first = spots(cells(made), 512, 512, 10)[0]
    assert first.slice_index == index
    assert first.top <= 100
    assert first.bottom >= 112
    assert first.left <= 300
    assert first.right >= 360


def test_a_series_without_text_has_no_spots() -> None:
    assert spots(cells(stack()), 512, 512, 10) == []


def test_text_on_every_slice_is_no_spot() -> None:
    made = stack()
    for values in made:
        drawn(values, 240)
    assert spots(cells(made), 512, 512, 10) == []


@pytest.mark.parametrize("kind", ["<i2", "<u2", "|u1", "|i1"])
@pytest.mark.parametrize("shape", [(64, 64), (5, 3), (1, 1), (1636, 512), (100, 33)])
def test_every_matrix_and_type_can_be_counted(kind: str, shape: tuple[int, int]) -> None:
    limits = np.iinfo(kind)
    values = np.random.default_rng(0).integers(limits.min, limits.max, shape).astype(kind)
    counted = stroke_cells(values, WINDOW)
    assert counted.shape == (-(-shape[0] // 16), -(-shape[1] // 32))
    assert 0 <= counted.sum() <= values.size + shape[1]


def test_every_spot_is_on_a_sheet_as_it_is_on_its_slice() -> None:
    random = np.random.default_rng(1)
    pictures = random.integers(0, 255, (30, 512, 512)).astype(np.uint8)
    noise = [random.integers(0, 400, (32, 16)).astype(np.float32) for _ in range(30)]
    places = spots(noise, 512, 512, 40)
    assert len(places) == 40
    laid = sheets(places, lambda index: pictures[index])
    assert [tile.spot for sheet in laid for tile in sheet.tiles] == places
    for sheet in laid:
        assert sheet.picture.shape == (SHEET_ROWS, SHEET_COLUMNS)
        for top, left, spot, _ in sheet.tiles:
            on_sheet = sheet.picture[top : top + spot.bottom - spot.top, left : left + spot.right - spot.left]
            on_slice = pictures[spot.slice_index][spot.top : spot.bottom, spot.left : spot.right]
            assert np.array_equal(on_sheet, on_slice)


def test_a_small_matrix_is_cut_smaller_and_shown_larger() -> None:
    random = np.random.default_rng(1)
    pictures = random.integers(0, 255, (6, 200, 204)).astype(np.uint8)
    noise = [random.integers(0, 400, (13, 7)).astype(np.float32) for _ in range(6)]
    places = spots(noise, 200, 204, 10)
    laid = sheets(places, lambda index: pictures[index])
    for sheet in laid:
        for tile in sheet.tiles:
            spot = tile.spot
            assert (tile.rows, tile.columns) == (2 * (spot.bottom - spot.top), 2 * (spot.right - spot.left))
            shown = sheet.picture[
                tile.top : tile.top + tile.rows : 2, tile.left : tile.left + tile.columns : 2
            ]
            cut = pictures[spot.slice_index][spot.top : spot.bottom, spot.left : spot.right]
            assert np.array_equal(shown, cut)


@pytest.mark.parametrize("run", [slice(0, 3), slice(3, 6), slice(5, 9)])
def test_the_beginning_or_the_end_of_a_run_of_slices_with_text_is_found(run: slice) -> None:
    made = stack()
    made[:, 90:120, 290:370] = 40
    for values in made[run]:
        drawn(values, 240)
    found = spots(cells(made), 512, 512, 10)
    assert any(spot.slice_index in range(9)[run] and spot.top <= 100 and spot.right >= 360 for spot in found)
