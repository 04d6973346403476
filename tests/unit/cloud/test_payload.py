"""Packing is exact for every pixel format, and reading a payload trusts nothing (R32)."""

from __future__ import annotations

import dataclasses
import io

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cloud.payload import Codec, DeidentifiedSlice, PayloadError, SlicePayload, pack, unpack

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOM = 1 << 24


def slice_of(words: np.ndarray, bits_stored: int) -> DeidentifiedSlice:
    return DeidentifiedSlice(
        sop_class_uid=CT,
        sop_instance_uid="2.25.12345",
        header=b"\x08\x00\x60\x00CS\x02\x00CT",
        pixels=words.astype(words.dtype.newbyteorder("<")).tobytes(),
        rows=words.shape[0],
        columns=words.shape[1],
        bits_allocated=words.dtype.itemsize * 8,
        bits_stored=bits_stored,
        is_signed=words.dtype.kind == "i",
    )


def smooth(bits: int, signed: bool, shape: tuple[int, int] = (61, 47)) -> np.ndarray:
    """A slope with a little noise that touches both ends of the range."""
    noise = np.random.default_rng(bits).integers(-2, 3, shape)
    lowest = -(1 << (bits - 1)) if signed else 0
    highest = lowest + (1 << bits) - 1
    slope = np.add.outer(np.linspace(lowest, highest, shape[0]), np.linspace(-3, 3, shape[1]))
    values = np.clip(slope + noise, lowest, highest)
    values[0, 0], values[-1, -1] = lowest, highest
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2 if bits <= 16 else 4}")


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [*range(1, 17), 32])
def test_every_pixel_format_comes_back_bit_for_bit(bits: int, signed: bool, codec: Codec) -> None:
    image = slice_of(smooth(bits, signed), bits)
    payload = SlicePayload.from_bytes(pack(image, codec).to_bytes())
    assert unpack(payload, ROOM) == image


@pytest.mark.parametrize("codec", [Codec.JPEGLS, Codec.JPEGXL])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_smooth_pixels_become_smaller(signed: bool, codec: Codec) -> None:
    payload = pack(slice_of(smooth(12, signed), 12), codec)
    assert payload.codec is codec
    assert len(payload.coded) < 61 * 47 * 2 * 0.6


@pytest.mark.parametrize("codec", [Codec.JPEGLS, Codec.JPEGXL])
def test_noise_stays_raw(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 16, (64, 64), dtype="u2")
    payload = pack(slice_of(noise, 16), codec)
    assert payload.codec is Codec.RAW
    assert unpack(payload, ROOM) == slice_of(noise, 16)


@pytest.mark.parametrize("codec", [Codec.JPEGLS, Codec.JPEGXL])
def test_upper_bits_that_do_not_follow_the_sign_survive(codec: Codec) -> None:
    words = (smooth(12, signed=True).astype("u2") & 0x0FFF).view("i2")
    assert unpack(pack(slice_of(words, 12), codec), ROOM) == slice_of(words, 12)


@given(
    words=st.builds(
        lambda shape, bits, signed, seed, spread: (
            np.random.default_rng(seed)
            .integers(0, spread, shape)
            .astype(f"{'i' if signed else 'u'}{bits // 8}")
        ),
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        st.sampled_from([8, 16, 32]),
        st.booleans(),
        st.integers(0, 1000),
        st.sampled_from([1, 2, 100, 1 << 16, 1 << 31]),
    ),
    codec=st.sampled_from(Codec),
)
@settings(max_examples=100, deadline=None)
def test_any_matrix_comes_back(words: np.ndarray, codec: Codec) -> None:
    image = slice_of(words, words.dtype.itemsize * 8)
    assert unpack(SlicePayload.from_bytes(pack(image, codec).to_bytes()), ROOM) == image


@pytest.mark.parametrize("codec", Codec)
def test_a_decoder_that_changes_one_word_is_noticed(codec: Codec) -> None:
    """The control of the round trips: a payload of other pixels under the same digest."""
    image = slice_of(smooth(12, signed=True), 12)
    altered = np.array(smooth(12, signed=True))
    altered[5, 5] ^= 1
    forged = dataclasses.replace(
        pack(slice_of(altered, 12), codec), pixels_sha256=pack(image, codec).pixels_sha256
    )
    with pytest.raises(PayloadError, match="not those that were packed"):
        unpack(forged, ROOM)


@given(data=st.binary(max_size=300))
def test_random_bytes_are_no_payload(data: bytes) -> None:
    with pytest.raises(PayloadError):
        SlicePayload.from_bytes(data)


@given(
    at=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 30), codec=st.sampled_from(Codec)
)
@settings(max_examples=300, deadline=None)
def test_an_altered_payload_is_refused_or_is_still_the_same_image(
    at: int, value: int, cut: int, codec: Codec
) -> None:
    image = slice_of(smooth(12, signed=True, shape=(16, 16)), 12)
    data = bytearray(pack(image, codec).to_bytes())
    data[at % len(data)] = value
    try:
        back = unpack(SlicePayload.from_bytes(bytes(data[: len(data) - cut])), ROOM)
    except PayloadError:
        return
    assert bytes(back.pixels) == bytes(image.pixels)


@pytest.mark.parametrize("codec", [Codec.JPEGLS, Codec.JPEGXL])
def test_a_stream_of_another_size_is_not_decoded(codec: Codec) -> None:
    payload = pack(slice_of(smooth(12, signed=False), 12), codec)
    large = np.zeros((5000, 5000), "u2")
    coded = (
        imagecodecs.jpegls_encode(large)
        if codec is Codec.JPEGLS
        else imagecodecs.jpegxl_encode(large, lossless=True)
    )
    with pytest.raises(PayloadError, match="announced matrix"):
        unpack(dataclasses.replace(payload, coded=bytes(coded)), ROOM)


def test_a_matrix_beyond_the_cap_is_refused_before_it_is_allocated() -> None:
    payload = dataclasses.replace(
        pack(slice_of(smooth(12, signed=False), 12), Codec.JPEGLS), rows=65535, columns=65535
    )
    with pytest.raises(PayloadError, match="larger than allowed"):
        unpack(payload, ROOM)


def test_pixels_that_do_not_fill_the_matrix_make_no_slice() -> None:
    image = slice_of(smooth(12, signed=False), 12)
    with pytest.raises(PayloadError):
        dataclasses.replace(image, pixels=bytes(image.pixels)[:-1])


@pytest.mark.parametrize("bits", [8, 12])
def test_the_part_10_stream_is_read_by_pydicom(bits: int) -> None:
    image = slice_of(smooth(bits, signed=False), bits)
    dataset = pydicom.dcmread(io.BytesIO(image.part10()))
    assert dataset.file_meta.MediaStorageSOPClassUID == CT
    assert dataset.file_meta.MediaStorageSOPInstanceUID == "2.25.12345"
    assert dataset.file_meta.TransferSyntaxUID.is_little_endian
    assert dataset.Modality == "CT"
    assert dataset.PixelData[: len(image.pixels)] == bytes(image.pixels)
    assert len(dataset.PixelData) % 2 == 0


def test_a_repr_shows_no_value_of_the_dataset() -> None:
    image = slice_of(smooth(12, signed=False), 12)
    assert "12345" not in repr(image) + repr(pack(image, Codec.JPEGLS))
