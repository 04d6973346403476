"""Cases 31 to 33: what is no slice, and text that nothing declares, read by the real reader."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import DeidentificationError, IntakeError, PassageUnfit
from gateway.flow.declared import check_declared
from gateway.pixels.reading import Reader
from tests import made
from tests.burned import Face, Stack, Text, drawn
from tests.pixel_stand import Stand, body, series, stand

NAME = "INVENTED PERSON 4711"


@pytest.fixture
async def gate() -> AsyncIterator[Stand]:
    reader = Reader(deadline_s=60)
    await reader.start()
    async with stand(reader) as it:
        yield it
    await reader.close()


def with_text(stack: Stack, slices: slice, value: int, *, background: int | None = None) -> Stack:
    letters = drawn(Text(NAME, Face("bitmap"), 8, True, "all", "light", "corner"))
    rows, columns = letters.shape
    copy = stack.copy()
    for values in copy[slices]:
        area = values[20 : 20 + rows, 8 : 8 + columns].astype(float)
        if background is not None:
            values[17 : 23 + rows, 5 : 11 + columns] = background
            area[:] = background
        area = np.clip(area, -160, 240)
        values[20 : 20 + rows, 8 : 8 + columns] = np.rint(area * (1 - letters) + value * letters)
    return copy


ANY = slice(None)


@pytest.mark.parametrize(
    ("where", "slices", "value", "background"),
    [
        ("on every slice", ANY, 240, None),
        ("on one slice", slice(7, 8), 240, None),
        ("on the first slice", slice(0, 1), 1000, None),
        ("on half of the slices", slice(0, 6), 240, None),
        ("dark on light", ANY, -160, 240),
        ("dark on light on one slice", slice(4, 5), -160, 240),
        ("beyond every other value", slice(3, 5), 3071, None),
    ],
)
async def test_text_holds_the_series_whatever_is_declared(
    gate: Stand, where: str, slices: slice, value: int, background: int | None
) -> None:
    """Case 33."""
    images = series(with_text(body(12, 256), slices, value, background=background), BurnedInAnnotation="NO")
    loaded = await gate.bring(images)
    error = await gate.verdict(loaded)
    assert isinstance(error, DeidentificationError), where
    assert error.code == "DEID_BURNED_IN"
    told = f"{error} {error.facts}"
    assert not any(part in told.upper() for part in NAME.split())
    picture = imagecodecs.png_decode(gate.gate.masked_picture(loaded.passage.id))
    zoom = picture.shape[0] // 256
    assert (picture[22 * zoom : 26 * zoom, 8 * zoom : 128 * zoom] == 0).mean() > 0.3


async def test_control_the_same_series_without_text_passes(gate: Stand) -> None:
    assert await gate.held(series(body(12, 256), BurnedInAnnotation="NO")) is None


async def test_derived_and_secondary_alone_is_read_and_passes(gate: Stand) -> None:
    assert await gate.held(series(body(5, 128), ImageType=["DERIVED", "SECONDARY", "AXIAL"])) is None


@pytest.mark.parametrize(
    "folder", ["rt_pairs/ibsi_pat_2", "rt_pairs/ibsi2_checkerboard_ct", "mr/dcm4che_MR16", "ct/ge_private"]
)
async def test_real_series_without_text_pass(gate: Stand, data: Path, folder: str) -> None:
    images = []
    for path in sorted((data / "samples" / folder).iterdir()):
        dataset = pydicom.dcmread(path)
        if dataset.Modality in ("CT", "MR"):
            modality, slope = dataset.Modality, float(dataset.get("RescaleSlope", 1))
            values = dataset.pixel_array * slope + float(dataset.get("RescaleIntercept", 0))
            place = float(dataset.ImagePositionPatient[2])
            images.append((place, np.rint(values).astype("<i2")))
    stack = np.stack([values for _, values in sorted(images, key=lambda image: image[0])])
    assert await gate.held(series(stack, modality)) is None


async def test_a_localizer_with_a_name_in_it_is_refused_twice(gate: Stand, data: Path) -> None:
    """By what it declares, and by what is read where it declares nothing."""
    dataset = pydicom.dcmread(data / "samples" / "burned_in" / "2_ORIGINAL.dicom")
    values = dataset.pixel_array.astype("<i2")
    for image_type, kind in ((dataset.ImageType, PassageUnfit), (None, DeidentificationError)):
        images = series(np.stack([values, values]), **({"ImageType": image_type} if image_type else {}))
        loaded = await gate.bring(images)
        assert isinstance(await gate.verdict(loaded), kind)
        gate.assembler.forget(loaded)


@pytest.mark.parametrize(
    "name", ["FreezePattern.dcm", "GH195.dcm", "RGB_ORIGINAL.dcm", "burned_in_other.dcm"]
)
async def test_captures_are_refused_at_the_door_whatever_their_modality(data: Path, name: str) -> None:
    """Case 31 and 32; a capture that calls itself a CT image is refused by its conversion type."""
    dataset = pydicom.dcmread(data / "samples" / "burned_in" / name)
    captured = made.image()
    captured.SOPClassUID = dataset.SOPClassUID
    with pytest.raises(IntakeError):
        parse_instance(made.encoded(captured), ExplicitVRLittleEndian, limits=WalkLimits())
    disguised = made.image()
    disguised.ConversionType = dataset.ConversionType
    with pytest.raises(PassageUnfit):
        check_declared(parse_instance(made.encoded(disguised), ExplicitVRLittleEndian, limits=WalkLimits()))


async def test_a_large_matrix_is_read_in_every_corner(gate: Stand, data: Path) -> None:
    """A real image of 1636 by 512, from which its makers took a name away."""
    source = pydicom.dcmread(data / "samples" / "burned_in" / "cleaned.dcm", stop_before_pixels=True)
    random = np.random.default_rng(3)
    stack = random.normal(300, 20, (3, source.Rows, source.Columns)).astype("<i2")
    letters = drawn(Text(NAME, Face("bitmap"), 8, True, "all", "light", "corner"))
    rows, columns = letters.shape
    assert await gate.held(series(stack, "MR")) is None
    for top, left in ((4, 4), (source.Rows - rows - 4, source.Columns - columns - 4)):
        marked = stack.copy()
        marked[:, top : top + rows, left : left + columns] += (letters * 600).astype("<i2")
        images = series(marked, "MR")
        for image in images:
            image.SeriesInstanceUID += f".{top}"
            image.SOPInstanceUID += f".{top}"
        error = await gate.held(images)
        assert error is not None
        assert error.code == "DEID_BURNED_IN"
