"""The slices that the viewer reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.console.render import HEADER, slice_bytes
from gateway.flow.board import SlicePicture


def read(data: bytes) -> tuple[npt.NDArray[np.int64], tuple[float, ...]]:
    magic, rows, columns, offset, *geometry = HEADER.unpack_from(data)
    assert magic == b"CGS1"
    samples = np.frombuffer(data, "<i2", offset=HEADER.size).astype(np.int64) + offset
    return samples.reshape(rows, columns), tuple(geometry)


def picture(values: list[list[int]]) -> SlicePicture:
    return SlicePicture(np.array(values, np.int32), (-250.0, -250.0, 12.5), (0.75, 0.5))


@given(st.integers(-32768, 32767), st.integers(0, 65535), st.integers(1, 9), st.integers(1, 9))
def test_every_16_bit_range_is_exact(low: int, spread: int, rows: int, columns: int) -> None:
    values = np.linspace(low, low + spread, rows * columns).astype(np.int32).reshape(rows, columns)
    read_back, _ = read(slice_bytes(SlicePicture(values, (0, 0, 0), (1, 1))))
    assert np.array_equal(read_back, values)


def test_the_header_has_the_geometry() -> None:
    values, geometry = read(slice_bytes(picture([[1, 2, 3], [4, 5, -1024]])))
    assert values.shape == (2, 3)
    assert geometry == (0.75, 0.5, -250.0, -250.0, 12.5)


def test_samples_begin_where_an_array_of_16_bits_may() -> None:
    assert HEADER.size == 32


@pytest.mark.parametrize("values", [[[-(2**31), 2**31 - 1]], [[0, 65536]]])
def test_what_does_not_fit_is_clipped_and_not_wrapped(values: list[list[int]]) -> None:
    read_back, _ = read(slice_bytes(picture(values)))
    assert read_back[0, 0] == values[0][0]
    assert read_back[0, 1] == values[0][0] + 65535
