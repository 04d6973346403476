"""The masked picture shows where, and nothing that could be read."""

import imagecodecs
import numpy as np
import pytest

from gateway.pixels.findings import Finding
from gateway.pixels.masked import masked
from gateway.pixels.sight import Source
from tests.burned import Face, Text, drawn

LETTERS = (drawn(Text("INVENTED 4711", Face("bitmap"), 8, True, "all", "light", "corner")) * 255).astype(
    np.uint8
)


@pytest.mark.parametrize("shape", [(512, 512), (64, 96), (1636, 512), (201, 204)])
def test_the_place_is_black_within_a_white_frame(shape: tuple[int, int]) -> None:
    picture = np.full(shape, 120, np.uint8)
    shown = imagecodecs.png_decode(masked(picture, [Finding(Source.MEAN, None, 20, 30, 60, 40, 9)]))
    zoom = shown.shape[0] // shape[0]
    assert shown.shape == (shape[0] * zoom, shape[1] * zoom)
    assert shown[30 * zoom : 40 * zoom, 20 * zoom : 60 * zoom].max() == 0
    assert (shown == 255).any()
    assert shown[-1, -1] == 120


def test_what_was_not_found_cannot_be_read_either() -> None:
    picture = np.full((512, 512), 40, np.uint8)
    rows, columns = LETTERS.shape
    picture[300 : 300 + rows, 100 : 100 + columns] = np.maximum(40, LETTERS)
    shown = imagecodecs.png_decode(masked(picture, []))[::1]
    tile = shown[300 : 300 + rows, 100 : 100 + columns].astype(float)
    letters = LETTERS.astype(float)
    likeness = np.corrcoef(tile.ravel(), letters.ravel())[0, 1]
    control = np.corrcoef(picture[300 : 300 + rows, 100 : 100 + columns].ravel(), letters.ravel())[0, 1]
    assert control > 0.9
    assert abs(likeness) < 0.5
