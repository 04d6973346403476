"""The pixel gate reads every series, whatever happens around it, and holds what it cannot read."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import DeidentificationError
from gateway.flow.pixel_gate import EARLY
from gateway.pixels.reader import Place
from gateway.pixels.sight import FEW
from gateway.pixels.windows import Grey
from tests.pixel_stand import MadeReader, body, series, stand

PLACE = Place(10, 20, 60, 30, 9, 0.97)


def finds(picture: Grey) -> list[Place]:
    return [PLACE]


async def test_a_series_in_which_nothing_is_read_passes() -> None:
    reader = MadeReader()
    async with stand(reader) as it:
        assert await it.held(series(body())) is None
    assert len(reader.pictures) > 9


async def test_what_was_read_holds_the_series_in_numbers_only() -> None:
    async with stand(MadeReader(finds)) as it:
        error = await it.held(series(body()))
    assert error is not None
    assert (error.code, error.facts) == ("DEID_BURNED_IN", {"places": 1, "read_on": "mean"})


async def test_the_slice_with_text_is_named_by_its_place_along_the_axis() -> None:
    few = 4
    reader = MadeReader()
    reader.answer = lambda picture: [PLACE] if len(reader.pictures) == reached + 3 else []
    async with stand(reader) as it:
        loaded = await it.bring(series(body(few)))
        reached = 10**6
        assert await it.verdict(loaded) is None
        reached = len(reader.pictures) - few
        reader.pictures.clear()
        error = await it.verdict(loaded)
    assert error is not None
    assert error.facts == {"places": 1, "read_on": "slice", "slice": 3}


@pytest.mark.parametrize("is_text", [False, True])
async def test_a_doubtful_tile_is_decided_by_its_whole_slice(is_text: bool) -> None:
    stack = body(FEW + 5, 256)
    stack[6, 100:110, 100:140:4] = 3000
    asked: list[tuple[int, int]] = []

    def answer(picture: Grey) -> list[Place]:
        asked.append(picture.shape)
        if picture.shape != (256, 256):
            return [Place(0, 0, 256, 80, 3, 0.9)]
        return [PLACE] if is_text and (512, 520) in asked else []

    async with stand(MadeReader(answer)) as it:
        error = await it.held(series(stack))
    assert (error is not None) is is_text
    assert asked[asked.index((512, 520)) + 1] == (256, 256)


async def test_slices_that_arrive_are_read_early() -> None:
    reader = MadeReader()
    async with stand(reader) as it:
        loaded = await it.bring(series(body(EARLY + 3, 32)))
        memory = it.gate._memories[loaded.passage.id]
        assert memory.early is not None
        await memory.early
        early = len(reader.pictures)
        assert early >= 3
        assert await it.verdict(loaded) is None
        assert await it.verdict(loaded) is None
    assert len(reader.pictures) > early


async def test_text_found_early_holds_the_series_without_another_look() -> None:
    reader = MadeReader(finds)
    async with stand(reader) as it:
        loaded = await it.bring(series(body(EARLY + 1, 32)))
        error = await it.verdict(loaded)
    assert error is not None
    assert error.code == "DEID_BURNED_IN"
    assert len(reader.pictures) == 1


async def test_a_reader_that_failed_early_is_asked_again() -> None:
    reader = MadeReader(finds, error=DeidentificationError("DEID_PIXELS_UNREAD"))
    async with stand(reader) as it:
        loaded = await it.bring(series(body(EARLY + 1, 32)))
        memory = it.gate._memories[loaded.passage.id]
        assert memory.early is not None
        assert await memory.early is None
        error = await it.verdict(loaded)
        assert error is not None
        assert error.code == "DEID_PIXELS_UNREAD"
        reader.error = None
        error = await it.verdict(loaded)
        assert error is not None
        assert error.code == "DEID_BURNED_IN"


async def test_slices_that_another_passage_has_packed_are_read_too() -> None:
    async with stand(MadeReader(finds)) as it:
        loaded = await it.bring(series(body()))
        heir = it.assembler.succeed(loaded)
        it.gate.forget(loaded)
        error = await it.verdict(heir)
    assert error is not None
    assert error.code == "DEID_BURNED_IN"


async def test_what_a_slice_declared_goes_with_it_to_another_passage() -> None:
    async with stand(MadeReader()) as it:
        loaded = await it.bring(series(body(), BurnedInAnnotation="YES"))
        it.gate.forget(loaded)
        error = await it.verdict(it.assembler.succeed(loaded))
    assert error is not None
    assert error.facts == {"declared": True}


async def test_a_person_may_release_text_but_not_what_is_no_slice() -> None:
    async with stand(MadeReader(finds)) as it:
        loaded = await it.bring(series(body()))
        loaded.gate_is_overridden = True
        assert await it.verdict(loaded) is None
        for changes, code in (
            ({"BurnedInAnnotation": "YES"}, None),
            ({"ConversionType": "WSD"}, "NOT_IMAGES"),
        ):
            it.assembler.forget(loaded)
            loaded = await it.bring(series(body(), **changes))
            loaded.gate_is_overridden = True
            error = await it.verdict(loaded)
            assert (error and error.code) == code


async def test_a_slice_that_comes_after_the_release_is_looked_at() -> None:
    async with stand(MadeReader(finds)) as it:
        images = series(body())
        loaded = await it.bring(images[:-1])
        loaded.gate_is_overridden = True
        await it.bring(images[-1:])
        assert await it.verdict(loaded) is not None


async def test_without_the_profiles_gate_nothing_is_read_but_secondary_images() -> None:
    reader = MadeReader(finds)
    async with stand(reader, CT=False) as it:
        loaded = await it.bring(series(body()))
        assert await it.verdict(loaded) is None
        assert reader.pictures == []
        it.assembler.forget(loaded)
        mixed = series(body())
        mixed[3].ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        error = await it.held(mixed)
    assert error is not None
    assert error.code == "DEID_BURNED_IN"


async def test_slices_of_two_matrices_are_held() -> None:
    images = [*series(body(3, 64)), *series(body(6, 32))[3:]]
    async with stand(MadeReader()) as it:
        error = await it.held(images)
    assert error is not None
    assert error.code == "GEOMETRY_MIXED"


async def test_the_masked_picture_is_there_until_the_passage_is_forgotten() -> None:
    async with stand(MadeReader(finds)) as it:
        loaded = await it.bring(series(body()))
        assert it.gate.masked_picture(loaded.passage.id) is None
        await it.verdict(loaded)
        assert (it.gate.masked_picture(loaded.passage.id) or b"").startswith(b"\x89PNG")
        it.gate.forget(loaded)
        assert it.gate.masked_picture(loaded.passage.id) is None


@pytest.mark.parametrize("kind", ["<i2", "<u2"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
async def test_every_pixel_type_is_read(kind: str, modality: str) -> None:
    reader = MadeReader()
    async with stand(reader) as it:
        assert await it.held(series(body(6, 64, kind), modality)) is None
    assert all(np.ptp(picture) > 0 for picture in reader.pictures)
    assert len(reader.pictures) > 4
