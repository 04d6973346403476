"""A pixel gate with nothing around it: made series go in as intake would bring them, a verdict comes out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from gateway.cloud.payload import Codec, pack
from gateway.deid.profile import Profile, load_profiles
from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import GatewayError
from gateway.flow.assemble import Assembler
from gateway.flow.deidentify import deidentify, stored_values
from gateway.flow.pixel_gate import PixelGate, Reads
from gateway.flow.rules import SeriesFacts
from gateway.flow.series import Series
from gateway.pixels.reader import Place
from gateway.pixels.windows import Grey
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made

PROFILES = load_profiles()
KEY = ClinicKey(bytes(range(32)))


@dataclass
class MadeReader:
    """Answers what a test wants, and remembers what it was asked."""

    answer: Callable[[Grey], list[Place]] = lambda picture: []
    pictures: list[Grey] = field(default_factory=list)
    error: GatewayError | None = None

    async def places(self, picture: Grey) -> list[Place]:
        self.pictures.append(picture)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.answer(picture)


class Stand:
    """The gate and what brings it slices."""

    def __init__(self, reader: Reads, group: asyncio.TaskGroup, profiles: dict[str, Profile]) -> None:
        self.cpu = ThreadPoolExecutor(2)
        self.gate = PixelGate(profiles, reader, self.cpu, 2**24, group)
        self.profiles = profiles
        self.assembler = Assembler(
            lambda instance: Pseudonyms(KEY, scope_of(instance, "study")),
            lambda instance: hashlib.sha256(stored_values(instance)).digest(),
            lambda uid: hashlib.sha256(uid.encode()).digest(),
            max_slices=5000,
        )

    async def bring(self, datasets: Sequence[Dataset]) -> Series:
        """Let images arrive."""
        for dataset in datasets:
            instance = parse_instance(made.encoded(dataset), ExplicitVRLittleEndian, limits=WalkLimits())
            series = self.assembler.find(instance) or self.assembler.open(
                instance, SeriesFacts("PACS", "CONTOURGATE", instance.modality, "", "")
            )
            slice_ = self.assembler.add(series, instance, 1, len(instance.data))
            assert slice_ is not None
            outgoing = deidentify(instance, series.pseudonyms, self.profiles[instance.modality])
            slice_.payload = await self.gate.look(
                series, slice_, instance, outgoing, partial(pack, outgoing, Codec.RAW)
            )
            slice_.instance = None
        return series

    async def held(self, datasets: Sequence[Dataset]) -> GatewayError | None:
        """Why a series would be held."""
        series = await self.bring(datasets)
        return await self.verdict(series)

    async def verdict(self, series: Series) -> GatewayError | None:
        try:
            await self.gate.verdict(series)
        except GatewayError as error:
            return error
        return None


@asynccontextmanager
async def stand(reader: Reads, **text_gate: bool) -> AsyncIterator[Stand]:
    """A stand; `CT=False` lets the profile of a modality do without the look for text."""
    profiles = {
        modality: _altered(profile, text_gate.get(modality, True)) for modality, profile in PROFILES.items()
    }
    async with asyncio.TaskGroup() as group:
        it = Stand(reader, group, profiles)
        yield it
        it.cpu.shutdown()


def _altered(profile: Profile, text_gate: bool) -> Profile:
    return Profile(
        **{
            name: text_gate if name == "text_gate" else getattr(profile, name)
            for name in (
                "name",
                "sop_class_uid",
                "modality",
                "options",
                "text_gate",
                "attributes",
                "said",
                "recipe",
            )
        }
    )


def series(stack: npt.NDArray[Any], modality: str = "CT", **attributes: object) -> list[Dataset]:
    """A stack of stored values as images."""
    datasets = []
    for index, values in enumerate(stack):
        dataset = made.image(index, modality=modality)
        dataset.Rows, dataset.Columns = values.shape
        dataset.BitsAllocated = dataset.BitsStored = 8 * values.dtype.itemsize
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(values.dtype.kind == "i")
        dataset.PixelData = values.tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        datasets.append(dataset)
    return datasets


def body(slices: int = 6, side: int = 128, kind: str = "<i2") -> npt.NDArray[Any]:
    """A body with a bone and noise, as CT values, or stored so that they fit."""
    random = np.random.default_rng(5)
    down, across = np.mgrid[:side, :side] / side - 0.5
    stack = []
    for index in range(slices):
        values = np.full((side, side), -1000.0)
        values[np.hypot(down, across * 0.8) < 0.35] = 40
        values[np.hypot(down - 0.15, across + 0.003 * index) < 0.06] = 700
        stack.append(values + random.normal(0, 10, (side, side)))
    made_ = np.stack(stack)
    if np.dtype(kind).itemsize == 1:
        made_ = np.clip((made_ + 200) / 4, 0, 255) - (128 if np.dtype(kind).kind == "i" else 0)
    elif np.dtype(kind).kind == "u":
        made_ = made_ + 1100
    return np.rint(made_).astype(kind)
