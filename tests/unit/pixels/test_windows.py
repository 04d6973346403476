"""Windows give black, white and the greys between as PS3.3 C.11.2 says."""

import numpy as np
import pytest

from gateway.pixels.windows import Rescale, Window, grey, soft_tissue, windows


def test_soft_tissue_is_given_in_hounsfield_units_whatever_the_stored_values() -> None:
    values = np.zeros((4, 4), "<i2")
    assert soft_tissue("CT", Rescale(), values) == (-160, 240)
    assert soft_tissue("CT", Rescale(1, -1024), values) == (864, 1264)
    assert soft_tissue("CT", Rescale(2, -1000), values) == (420, 620)
    assert soft_tissue("CT", Rescale(-1, 0), values) == (-240, 160)


@pytest.mark.parametrize("rescale", [Rescale(), Rescale(0, 0)])
def test_magnetic_resonance_has_windows_of_its_values(rescale: Rescale) -> None:
    values = np.arange(10000, dtype="<u2").reshape(100, 100)
    low, high = soft_tissue("MR", rescale, values)
    assert (low, high) == (pytest.approx(100, rel=1), pytest.approx(9900, rel=0.05))
    assert len({*windows("MR", rescale, values)}) == 3
    assert windows("MR", rescale, values)[2] == (0, 9999)


def test_greys_run_from_black_to_white_and_stay_there() -> None:
    values = np.array([[-32768, -160, 40, 240, 32767]], "<i2")
    assert grey(values, Window(-160, 240)).tolist() == [[0, 0, 127, 255, 255]]


def test_a_window_without_width_divides_by_nothing() -> None:
    assert grey(np.full((2, 2), 7, "|u1"), Window(7, 7)).max() == 0
