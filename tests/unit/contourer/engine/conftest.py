"""A small made patient for the engine's tests, and Part 10 encoding."""

from __future__ import annotations

import io
from collections.abc import Callable

import pydicom
import pytest
from pydicom.dataset import Dataset

from gateway.contourer.engine.slices import read_slice
from gateway.contourer.engine.volume import Volume, assemble
from gateway.demo.phantom import Phantom, phantom_series

Encode = Callable[[Dataset], bytes]


@pytest.fixture(scope="session")
def part10() -> Encode:
    def encoded(dataset: Dataset) -> bytes:
        target = io.BytesIO()
        pydicom.dcmwrite(target, dataset, enforce_file_format=True)
        return target.getvalue()

    return encoded


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return Phantom(slices=60, slice_distance_mm=5, matrix=256, pixel_spacing_mm=1.953125)


@pytest.fixture
def series(phantom: Phantom) -> list[Dataset]:
    return phantom_series(phantom)


@pytest.fixture(scope="session")
def volume(phantom: Phantom, part10: Encode) -> Volume:
    return assemble([read_slice(part10(image)) for image in phantom_series(phantom)])


@pytest.fixture
def few() -> list[Dataset]:
    """Four small slices, where the picture does not matter."""
    return phantom_series(Phantom(slices=4, slice_distance_mm=5, matrix=64, pixel_spacing_mm=8.0, vessels=0))
