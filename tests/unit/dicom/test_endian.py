"""Big endian becomes little endian without a value changed."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom.endian import to_little_endian


def encoded(dataset: Dataset, *, little: bool) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = little, False
    write_dataset(stream, dataset)
    return stream.getvalue()


words = st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=8)


@given(words, st.floats(allow_nan=False), st.integers(-(2**31), 2**31 - 1), st.booleans())
def test_every_number_survives(us: list[int], fd: float, sl: int, undefined: bool) -> None:
    inner = Dataset()
    inner.PatientName = "Doe^Made"
    inner.add_new(0x00281101, "US", us[:3] or [1])
    dataset = Dataset()
    dataset.add_new(0x00186020, "SL", sl)
    dataset.add_new(0x00186028, "FD", fd)
    dataset.add_new(0x00280009, "AT", 0x00181063)
    dataset.ReferencedImageSequence = [inner, Dataset()]
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    dataset.add_new(0x00281201, "OW", b"")
    big = encoded(dataset, little=False)
    assert to_little_endian(big) == encoded(dataset, little=True)


def test_pixels_are_swapped_by_words() -> None:
    pixels = np.arange(12, dtype=np.uint16)
    head = b"\x7f\xe0\x00\x10OW\0\0\0\0\0\x18"
    swapped = to_little_endian(head + pixels.astype(">u2").tobytes())
    assert swapped == b"\xe0\x7f\x10\x00OW\0\0\x18\0\0\0" + pixels.astype("<u2").tobytes()


@given(st.binary(max_size=200))
def test_noise_is_refused_or_converted_but_never_more(noise: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(to_little_endian(noise)) == len(noise)


def test_deep_nesting_is_refused() -> None:
    bomb = b"\x00\x08\x11\x40SQ\0\0\xff\xff\xff\xff\xff\xfe\xe0\x00\xff\xff\xff\xff" * 5000
    with pytest.raises(ValueError, match="deep"):
        to_little_endian(bomb)
