"""What is kept of a series while it arrives shows every text in at least one picture."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.pixels.sight import FEW, Picture, Sight, Source
from gateway.pixels.windows import Rescale
from tests.pixel_stand import body

MORE = FEW + 5


def seen(stack: np.ndarray, modality: str = "CT") -> Sight:
    sight = Sight(modality, Rescale(), stack[0])
    for key, values in enumerate(stack):
        sight.add(key, values)
    return sight


def shows(picture: Picture) -> bool:
    """Whether the marked row stands out of what is around it."""
    rows = picture.grey[60:71, 20:60].astype(int)
    return abs(rows[5].mean() - np.delete(rows, 5, axis=0).mean()) > 40


def test_what_stands_on_every_slice_shows_in_all_three_projections() -> None:
    stack = body(9)
    stack[:, 65, 20:60] = 3000
    pictures = seen(stack).standing_still()
    assert {picture.source for picture in pictures if shows(picture)} == {
        Source.MEAN,
        Source.MEDIAN,
        Source.MINIMUM,
    }
    assert not any(shows(picture) for picture in seen(body(9)).standing_still())


@pytest.mark.parametrize(("value", "source"), [(3000, Source.MAXIMUM), (-3000, Source.MINIMUM)])
def test_what_passes_on_some_slices_shows_in_an_extreme(value: int, source: Source) -> None:
    stack = body(9)
    stack[:, 50:80, 10:70] = 40
    stack[3:5, 65, 20:60] = value
    assert source in {picture.source for picture in seen(stack).passing() if shows(picture)}


def test_what_stands_on_one_slice_is_read_on_a_sheet_and_on_its_slice() -> None:
    stack = body(MORE)
    stack[6, 60:70, 30:60:4] = 3000
    sight = seen(stack)
    pictures = sight.single(range(MORE), lambda index: stack[index])
    sheets = [picture for picture in pictures if picture.source is Source.SHEET]
    assert sheets
    assert sheets[0].sheet is not None
    assert sheets[0].sheet.tiles[0].spot.slice_index == 6
    assert 6 in [picture.slice_index for picture in pictures if picture.source is Source.SLICE]


def test_the_axis_decides_who_is_a_neighbour_and_not_the_arrival() -> None:
    stack = body(MORE)
    stack[6, 60:70, 30:60:4] = 3000
    order = [int(index) for index in np.random.default_rng(1).permutation(MORE)]
    sight = Sight("CT", Rescale(), stack[0])
    for key, index in enumerate(order):
        sight.add(key, stack[index])
    keys = [order.index(index) for index in range(MORE)]
    sheet = sight.single(keys, lambda index: stack[index])[0].sheet
    assert sheet is not None
    assert sheet.tiles[0].spot.slice_index == 6


@pytest.mark.parametrize("count", [1, 2, 5, FEW])
def test_a_few_slices_are_read_one_by_one(count: int) -> None:
    stack = body(count)
    pictures = seen(stack).single(range(count), lambda index: stack[index])
    assert [picture.slice_index for picture in pictures] == list(range(count))


def test_a_slice_that_comes_twice_counts_once() -> None:
    stack = body(3)
    sight = seen(stack)
    sight.add(1, stack[1])
    assert sight.count == 3


def test_another_matrix_is_remembered() -> None:
    sight = seen(body(3))
    assert not sight.is_mixed
    sight.add(3, body(1, side=64)[0])
    assert sight.is_mixed


def test_uniform_pictures_and_twins_are_not_read() -> None:
    assert seen(np.zeros((6, 64, 64), "<i2")).standing_still() == []
    sources = [picture.source for picture in seen(np.repeat(body(1), 6, axis=0)).standing_still()]
    assert set(sources) == {Source.MEAN}


def test_text_in_a_few_pixels_of_a_uniform_picture_is_read() -> None:
    stack = np.full((6, 64, 64), -1000, "<i2")
    stack[:, 31, 32] = 240
    assert seen(stack).standing_still()
