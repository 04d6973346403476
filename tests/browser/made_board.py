"""A board with made passages, for looking at the console without a gateway behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.config import (
    Config,
    Console,
    Destination,
    Dicom,
    EmbeddedContourer,
    Lockdown,
    Match,
    Rule,
    Source,
)
from gateway.errors import GatewayError, PassageUnfit
from gateway.flow.board import Outline, SlicePicture
from gateway.passage import WAY, Passage, State, Step

SIDE = 256
SLICES = 48
_SPACING = 1.6

HOSTILE_NAMES = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "{{7*7}}${7*7}#{7*7}",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnul\N{POP DIRECTIONAL FORMATTING}tfeL",
    "%n%s$(id)`id`",
    "nul\0esc\x1b[31m",
    "</title></svg><script>window.pwned=1</script>",
    "A" * 300,
)


def made_config(port: int, **changes: object) -> Config:
    """Return a configuration whose console listens on a port of loopback."""
    values: dict[str, object] = {
        "dicom": Dicom(ae_title="CONTOURGATE", host="127.0.0.1", port=11112),
        "sources": (
            Source(ae_title="CT_SIM_1", addresses=("192.0.2.0/24",)),
            Source(ae_title="PACS", addresses=("192.0.2.7",)),
        ),
        "destinations": (
            Destination(name="TPS", ae_title="TPS", host="127.0.0.1", port=104),
            Destination(name="ARCHIVE", ae_title="ARCHIVE", host="127.0.0.1", port=105),
        ),
        "rules": (Rule(match=Match(modality="CT"), model="thorax-5", deliver_to=("TPS", "ARCHIVE")),),
        "contourer": EmbeddedContourer(kind="embedded"),
        "console": Console(port=port),
        "state_dir": Path("var"),
        "clinic_key_file": Path("clinic.key"),
        "lockdown": Lockdown(),
    }
    return Config.model_validate({**values, **changes})


@dataclass(frozen=True)
class Organ:
    """An ellipse that swells and fades along the patient's axis."""

    name: str
    colour: tuple[int, int, int]
    middle: tuple[float, float]
    """Column and row, as shares of the side."""
    radii: tuple[float, float]
    along: tuple[float, float]
    """First and last slice, as shares of the slices."""
    hu: int
    uneven: float = 1

    def scale(self, index: int, slices: int) -> float:
        first, last = (share * slices for share in self.along)
        if not first <= index <= last:
            return 0.0
        halfway = (first + last) / 2
        return float(np.sqrt(max(0.0, 1 - ((index - halfway) / (halfway - first + 1e-6)) ** 2 * 0.75)))

    def ring(self, index: int, slices: int, shrunk: float = 1.0) -> npt.NDArray[np.float32] | None:
        scale = self.scale(index, slices) * shrunk
        if scale == 0:
            return None
        turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        wobble = 1 + 0.025 * np.sin(3 * turn + index / 9) * self.uneven + 0.02 * np.cos(4 * turn)
        columns = (self.middle[0] + self.radii[0] * scale * wobble * np.cos(turn)) * SIDE
        rows = (self.middle[1] + self.radii[1] * scale * wobble * np.sin(turn)) * SIDE
        return np.stack((columns, rows), axis=1).astype(np.float32)


BODY = Organ("BODY", (220, 190, 160), (0.5, 0.52), (0.44, 0.32), (-0.5, 1.5), 30, 0.2)
THORAX = (
    BODY,
    Organ("Lung_L", (70, 160, 255), (0.69, 0.5), (0.125, 0.2), (0.12, 0.92), -820),
    Organ("Lung_R", (60, 210, 220), (0.31, 0.5), (0.135, 0.205), (0.1, 0.94), -830),
    Organ("Heart", (255, 90, 110), (0.54, 0.44), (0.1, 0.105), (0.22, 0.6), 45),
    Organ("SpinalCord", (255, 225, 80), (0.5, 0.705), (0.016, 0.016), (-0.5, 1.5), 35),
    Organ("Esophagus", (255, 160, 70), (0.505, 0.6), (0.018, 0.015), (0.05, 0.98), 20),
    Organ("Trachea", (150, 235, 140), (0.5, 0.5), (0.022, 0.022), (0.62, 1.2), -980),
    Organ("Aorta", (235, 70, 200), (0.56, 0.62), (0.026, 0.028), (-0.2, 0.85), 55),
    Organ("Liver", (190, 130, 90), (0.36, 0.5), (0.16, 0.17), (-0.6, 0.16), 65),
    Organ("VeryDark", (4, 4, 12), (0.44, 0.36), (0.03, 0.03), (0.3, 0.7), 10),
)
_BONES = (
    Organ("vertebra", (0, 0, 0), (0.5, 0.66), (0.052, 0.04), (-0.5, 1.5), 380),
    Organ("sternum", (0, 0, 0), (0.5, 0.262), (0.045, 0.012), (0.2, 0.9), 420),
)


@lru_cache(maxsize=4)
def _noise(seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 14, (SIDE, SIDE))


@lru_cache(maxsize=256)
def made_slice(index: int, slices: int = SLICES) -> SlicePicture:
    """Return one slice of a made thorax, in HU."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    values = np.full((SIDE, SIDE), -1000.0)

    def paint(organ: Organ, hu: float, grow: float = 1.0) -> None:
        scale = organ.scale(index, slices) * grow
        if scale == 0:
            return
        across = (columns / SIDE - organ.middle[0]) / (organ.radii[0] * scale)
        down = (rows / SIDE - organ.middle[1]) / (organ.radii[1] * scale)
        turn = np.arctan2(down, across)
        wobble = 1 + 0.025 * np.sin(3 * turn + index / 9) * organ.uneven + 0.02 * np.cos(4 * turn)
        values[across**2 + down**2 < wobble**2] = hu

    paint(BODY, -95)
    paint(BODY, 40, 0.93)
    for side in (-1, 1):
        for rib in range(7):
            at = np.pi / 2 + side * (0.35 + rib * 0.36)
            column, row = 0.5 + 0.375 * np.cos(at), 0.52 + 0.262 * np.sin(at)
            ring = np.hypot(columns / SIDE - column, (rows / SIDE - row) * 1.2)
            values[ring < 0.014 + 0.006 * np.sin(index / 3 + rib)] = 520
    for organ in (THORAX[8], *THORAX[1:4], *_BONES, *THORAX[4:8]):
        paint(organ, organ.hu)
    for number in range(26):
        vessel = np.random.default_rng(number)
        column = (0.32 if number % 2 else 0.68) + vessel.normal(0, 0.05) + 0.0006 * (index - slices / 2)
        row = 0.5 + vessel.normal(0, 0.075)
        spot = np.hypot(columns / SIDE - column, rows / SIDE - row) < vessel.uniform(0.003, 0.009)
        values[spot & (values < -700)] = -120
    table = np.abs(rows / SIDE - 0.87 - 0.05 * ((columns / SIDE - 0.5) / 0.5) ** 2 * -1) < 0.006
    values[table & (np.abs(columns / SIDE - 0.5) < 0.44)] = -300
    noisy = values + _noise(index % 4)
    return SlicePicture(
        stored_values=np.clip(noisy, -1024, 3071).astype(np.int32),
        position=(-SIDE * _SPACING / 2, -SIDE * _SPACING / 2, -210.0 + 5.0 * index),
        spacing=(_SPACING, _SPACING),
    )


def made_outlines(index: int, slices: int = SLICES, hostile: bool = False) -> tuple[Outline, ...]:
    """Return what a contourer might have drawn on that slice."""
    outlines = []
    for number, organ in enumerate(THORAX):
        ring = organ.ring(index, slices)
        if ring is not None:
            name = (
                HOSTILE_NAMES[number % len(HOSTILE_NAMES)] + str(number) * (number >= 8)
                if hostile
                else organ.name
            )
            inner = organ.ring(index, slices, 0.93) if organ is BODY and hostile else None
            outlines.append(Outline(name, organ.colour, (ring,) if inner is None else (ring, inner)))
    return tuple(outlines)


@dataclass
class MadeBoard:
    """A `Board` whose passages a test makes and moves."""

    entries: dict[str, Passage] = field(default_factory=dict)
    drawable: dict[str, int] = field(default_factory=dict)
    """Slices by passage id."""
    hostile: set[str] = field(default_factory=set)
    """Passages whose ROIs have hostile names."""
    contoured: set[str] = field(default_factory=set)
    masked: dict[str, bytes] = field(default_factory=dict)
    """Pictures of where text was read, by passage id."""
    decided: list[tuple[str, str]] = field(default_factory=list)
    readers: list[asyncio.Queue[Passage]] = field(default_factory=list)

    def add(
        self, passage: Passage, *, slices: int = 0, contoured: bool = False, hostile: bool = False
    ) -> Passage:
        self.entries[passage.id] = passage
        self.drawable[passage.id] = slices
        if contoured:
            self.contoured.add(passage.id)
        if hostile:
            self.hostile.add(passage.id)
        self.tell(passage)
        return passage

    def tell(self, passage: Passage) -> None:
        for reader in self.readers:
            reader.put_nowait(passage)

    def move(self, passage: Passage, to: State, error: GatewayError | None = None) -> None:
        passage.move(to, error=error)
        self.tell(passage)

    def drop(self, passage: Passage) -> None:
        del self.entries[passage.id]

    def passages(self) -> Sequence[Passage]:
        return sorted(self.entries.values(), key=lambda passage: passage.started, reverse=True)

    def passage(self, passage_id: str) -> Passage | None:
        return self.entries.get(passage_id)

    async def changes(self) -> AsyncIterator[Passage]:
        queue: asyncio.Queue[Passage] = asyncio.Queue()
        self.readers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.readers.remove(queue)

    def slice_count(self, passage_id: str) -> int:
        return self.drawable[passage_id]

    async def picture(self, passage_id: str, index: int) -> SlicePicture:
        return await asyncio.to_thread(made_slice, index, self.drawable[passage_id])

    def outlines(self, passage_id: str, index: int) -> Sequence[Outline]:
        if passage_id not in self.contoured:
            return ()
        return made_outlines(index, self.drawable[passage_id], passage_id in self.hostile)

    def masked_picture(self, passage_id: str) -> bytes | None:
        return self.masked.get(passage_id)

    async def release(self, passage_id: str) -> None:
        self.decided.append(("release", passage_id))
        passage = self.entries[passage_id]
        assert passage.held_from is not None
        self.move(passage, passage.held_from)

    async def cancel(self, passage_id: str) -> None:
        self.decided.append(("cancel", passage_id))
        self.move(self.entries[passage_id], State.CANCELLED)


TOOK_S = (11.2, 0.04, 0.31, 0.02, 0.18, 8.4, 0.35, 0.06, 0.09)
"""Seconds that a made passage spends in each state of the way but the last."""


def made_passage(
    to: State,
    *,
    pseudonym: str = "P-7K3M9QXD",
    source: str = "CT_SIM_1",
    ago_s: float = 60,
    held_from: State | None = None,
    error: GatewayError | None = None,
    slices: int = 148,
    modality: str = "CT",
) -> Passage:
    """Return a passage that came to a state of the way, or was held on it, some seconds ago."""
    last = to if to in WAY else held_from
    assert last is not None
    reached = WAY[: WAY.index(last) + 1]
    spent = sum(TOOK_S[: len(reached) - 1]) + (0 if to in WAY else 0.2)
    at = datetime.now(UTC) - timedelta(seconds=ago_s + spent)
    history = []
    for state, took in zip(reached, (*TOOK_S, 0.0), strict=False):
        history.append(Step(state, at))
        at += timedelta(seconds=took)
    reason = error
    if to not in WAY:
        at = history[-1].at + timedelta(seconds=0.2)
        if to in (State.HELD, State.FAILED):
            reason = error or PassageUnfit("SLICE_MISSING", position_mm=-213.5)
        history.append(Step(to, at, reason.code if reason else None))
    is_past = len(reached) > 3
    return Passage(
        source=source,
        called="CONTOURGATE",
        modality=modality,
        pseudonym=pseudonym,
        model="thorax-5",
        deliver_to=("TPS", "ARCHIVE"),
        delivered_to=("TPS", "ARCHIVE") if to is State.DELIVERED else (),
        received=slices,
        uploaded=slices if is_past else slices // 3,
        error=reason,
        history=history,
    )
