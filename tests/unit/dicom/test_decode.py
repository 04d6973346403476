"""The decoder process gives exact pixels, and its end is nobody else's."""

import asyncio
import os
import signal
import zlib
from collections.abc import AsyncIterator

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom.decode import Transcoder
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import IntakeError

LIMIT = 8 * 2**20


def image(
    rows: int = 32, columns: int = 48, stored: int = 12, signed: bool = True
) -> tuple[Dataset, npt.NDArray]:
    low = -(1 << (stored - 1)) if signed else 0
    rng = np.random.default_rng(stored)
    values = rng.integers(low, low + (1 << stored), (rows, columns)).astype(np.int16 if signed else np.uint16)
    dataset = Dataset()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, stored, stored - 1
    dataset.PixelRepresentation = int(signed)
    return dataset, values


def encoded(dataset: Dataset, frame: bytes) -> bytes:
    dataset.add_new(0x7FE00010, "OB", encapsulate([frame]))
    dataset["PixelData"].is_undefined_length = True
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return stream.getvalue()


def pixels(native: bytes) -> bytes:
    element = walk(native, implicit=False, limits=WalkLimits())[0x7FE00010]
    return native[element.start : element.stop]


@pytest.fixture
async def transcoder() -> AsyncIterator[Transcoder]:
    transcoder = Transcoder(processes=1, deadline_s=20)
    yield transcoder
    await transcoder.close()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("stored", [10, 12, 16])
async def test_lossless_syntaxes_give_the_stored_values(
    transcoder: Transcoder, stored: int, signed: bool
) -> None:
    dataset, values = image(stored=stored, signed=signed)
    masked = (values.astype(np.int32) & ((1 << stored) - 1)).astype(np.uint16)
    coded = {
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(masked),
        uid.JPEG2000Lossless: imagecodecs.jpeg2k_encode(masked, level=0, reversible=True, codecformat="j2k"),
        uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode(masked, bitspersample=16),
    }
    for syntax, frame in coded.items():
        native = await transcoder.to_native(encoded(dataset, frame), syntax, LIMIT)
        assert pixels(native) == values.tobytes(), syntax.name


async def test_a_deflated_dataset_is_inflated_up_to_the_cap(transcoder: Transcoder) -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(LIMIT + 1)) + deflater.flush()
    with pytest.raises(IntakeError) as refused:
        await transcoder.to_native(bomb, uid.DeflatedExplicitVRLittleEndian, LIMIT)
    assert (refused.value.code, refused.value.dimse_status) == ("DATASET_TOO_LARGE", 0xA700)
    assert await transcoder.to_native(bomb, uid.DeflatedExplicitVRLittleEndian, LIMIT + 1) == bytes(LIMIT + 1)


@pytest.mark.parametrize(
    "frame", [b"\0\0", b"\xff\xd8\xff\xc3noise", bytes(64), b"\xff\x4f\xff\x51" + bytes(200)]
)
@pytest.mark.parametrize(
    "syntax",
    [uid.JPEGLossless, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless],
    ids=lambda s: s.name,
)
async def test_a_corrupt_frame_is_refused_and_the_next_image_decoded(
    transcoder: Transcoder, syntax: uid.UID, frame: bytes
) -> None:
    dataset, values = image()
    with pytest.raises(IntakeError):
        await transcoder.to_native(encoded(dataset, frame), syntax, LIMIT)
    dataset, values = image(signed=False)
    good = encoded(dataset, imagecodecs.jpegls_encode(values))
    assert pixels(await transcoder.to_native(good, uid.JPEGLSLossless, LIMIT)) == values.tobytes()


async def test_a_frame_of_another_size_than_declared_is_refused(transcoder: Transcoder) -> None:
    dataset, values = image(signed=False)
    dataset.Rows = 31
    with pytest.raises(IntakeError) as refused:
        await transcoder.to_native(
            encoded(dataset, imagecodecs.jpegls_encode(values)), uid.JPEGLSLossless, LIMIT
        )
    assert refused.value.code == "PIXELS_UNFIT"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
async def test_a_decoder_that_crashes_or_hangs_is_replaced(end: signal.Signals) -> None:
    transcoder = Transcoder(processes=1, deadline_s=3)
    dataset, values = image(signed=False)
    good = encoded(dataset, imagecodecs.jpegls_encode(values))
    await transcoder.to_native(good, uid.JPEGLSLossless, LIMIT)
    (process,) = transcoder._processes
    os.kill(process.pid, end)
    await asyncio.sleep(0.05)
    if end is signal.SIGSTOP:
        with pytest.raises(IntakeError):
            await transcoder.to_native(good, uid.JPEGLSLossless, LIMIT)
    assert pixels(await transcoder.to_native(good, uid.JPEGLSLossless, LIMIT)) == values.tobytes()
    await transcoder.close()
