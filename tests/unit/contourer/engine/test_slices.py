from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ImplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from gateway.contourer.engine.slices import LOWEST_HU, read_slice
from gateway.demo.phantom import Phantom, phantom_series
from gateway.errors import ContourerRefused


def refusal(encoded: bytes) -> str:
    with pytest.raises(ContourerRefused) as refused:
        read_slice(encoded)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return refused.value.code


def test_stored_values_become_hounsfield_units(few, part10):
    assert -1024 <= read_slice(part10(few[0])).pixels.min() < -950
    few[0].RescaleSlope = 2
    few[0].RescaleIntercept = -2048
    few[0].PixelData = np.full((64, 64), 1044, "<u2").tobytes()
    assert (read_slice(part10(few[0])).pixels == 40).all()


@pytest.mark.parametrize(("signed", "bits"), [(True, 16), (True, 12), (False, 16), (False, 12)])
def test_signed_and_unsigned_cells_read_alike(few, part10, signed, bits):
    wanted = np.arange(64 * 64, dtype=np.int32).reshape(64, 64) % 2000 - 1000
    image = few[0]
    image.PixelRepresentation, image.BitsStored, image.HighBit = int(signed), bits, bits - 1
    image.RescaleIntercept = 0 if signed else -1024
    stored = wanted if signed else wanted + 1024
    image.PixelData = (stored & ((1 << bits) - 1)).astype("<u2").tobytes()
    assert (read_slice(part10(image)).pixels == wanted).all()


def test_what_lies_above_the_stored_bits_is_not_read(few, part10):
    clean = read_slice(part10(few[0])).pixels
    dirty = np.frombuffer(few[0].PixelData, "<u2") | 0xF000
    few[0].PixelData = dirty.tobytes()
    assert (read_slice(part10(few[0])).pixels == clean).all()


def test_padding_becomes_air(few, part10):
    image = few[0]
    image.BitsStored, image.HighBit = 16, 15
    image.add_new("PixelPaddingValue", "US", 63536)
    stored = np.full((64, 64), 1064, "<u2")
    stored[0] = 63536
    image.PixelData = stored.tobytes()
    pixels = read_slice(part10(image)).pixels
    assert (pixels[0] == LOWEST_HU).all()
    assert (pixels[1:] == 40).all()


def test_implicit_vr_reads_as_explicit_does(few, part10):
    explicit = read_slice(part10(few[0]))
    few[0].file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit = read_slice(part10(few[0]))
    assert (implicit.pixels == explicit.pixels).all()
    assert implicit.header == explicit.header


def test_intensities_of_mr_are_not_rescaled(few, part10):
    few[0].Modality = "MR"
    few[0].PixelData = np.full((64, 64), 700, "<u2").tobytes()
    assert (read_slice(part10(few[0])).pixels == 700).all()


def test_bright_mr_fits_without_wrapping(few, part10):
    few[0].Modality = "MR"
    few[0].BitsStored, few[0].HighBit = 16, 15
    few[0].PixelData = np.full((64, 64), 65535, "<u2").tobytes()
    assert (read_slice(part10(few[0])).pixels == 32767).all()


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "PixelSpacing", "FrameOfReferenceUID", "SOPInstanceUID"]
)
def test_a_slice_without_its_geometry_is_refused(few, part10, keyword):
    setattr(few[0], keyword, None)
    few[0].file_meta.MediaStorageSOPInstanceUID = generate_uid()
    assert refusal(part10(few[0])) == "ATTRIBUTE_MISSING"


def test_another_modality_is_refused(few, part10):
    few[0].Modality = "PT"
    assert refusal(part10(few[0])) == "MODALITY_UNSUITABLE"


def test_compressed_pixels_are_refused(few, part10):
    few[0].file_meta.TransferSyntaxUID = JPEGLosslessSV1
    few[0]["PixelData"].VR = "OB"
    few[0]["PixelData"].is_undefined_length = True
    few[0].PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x00\x00\x00\x00"
    assert refusal(part10(few[0])) == "TRANSFER_SYNTAX_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", 65),
        ("Columns", 0),
        ("BitsStored", 17),
        ("HighBit", 15),
        ("SamplesPerPixel", 3),
        ("NumberOfFrames", 2),
    ],
)
def test_pixels_that_do_not_fit_the_header_are_refused(few, part10, keyword, value):
    setattr(few[0], keyword, value)
    assert refusal(part10(few[0])) == "PIXELS_UNFIT"


def test_a_broken_number_is_refused_without_telling_it(few, part10):
    encoded = part10(few[0]).replace(b"8.0\\8.0", b"8.0\\NNN")
    with pytest.raises(ContourerRefused) as refused:
        read_slice(encoded)
    assert refused.value.code == "DATASET_UNPARSABLE"
    assert refused.value.__suppress_context__


_ENCODED: list[bytes] = []


@pytest.mark.filterwarnings("ignore")  # of pydicom; the process silences them, they may quote a value
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_and_never_crash(part10, data):
    if not _ENCODED:
        _ENCODED.append(part10(phantom_series(Phantom(slices=1, matrix=16, vessels=0))[0]))
    damaged = bytearray(_ENCODED[0])
    for place in data.draw(st.lists(st.integers(128, len(damaged) - 1), min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.none(), st.integers(0, len(damaged))))
    with contextlib.suppress(ContourerRefused):
        read_slice(bytes(damaged[:end]))
