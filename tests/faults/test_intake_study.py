"""Faults 35 to 45 in whole studies: what a gateway makes of them, with a valid sender at work beside it.

A series that must not be contoured as it is becomes held, says why and where, and loses nothing. Each test has a study
of its own, sent as raw messages so that a sender can end where it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import made, raw, wire
from tests.intake import Peer, SteadySender, connected
from tests.running import Gateway, Storescp, running, without_text_gate

pytestmark = pytest.mark.peer("storescp")

TITLES = {"calling": "PACS", "called": "CONTOURGATE"}
VALID = made.body(study=88)
SLICES = 4

Held = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Storescp]]:
    folder = tmp_path_factory.mktemp("study")
    changes = {
        "passage": {"quiet_time_s": 1.0, "drain_s": 0},
        "sources": [
            {"ae_title": "PACS", "addresses": ["127.0.0.1"]},
            {"ae_title": "WELL", "addresses": ["127.0.0.1"]},
        ],
        "rules": [
            {"match": {"series_description": "^(?!UNRULED)"}, "model": "default", "deliver_to": ["tps"]}
        ],
        "otherwise": "hold",
        "log": {"level": "DEBUG"},
        **without_text_gate(folder),
    }
    with running(folder, changes) as (gateway, tps):
        assert tps is not None
        yield gateway, tps


@asynccontextmanager
async def beside(gateway: Gateway) -> AsyncIterator[None]:
    """A valid sender that stores all the time and waits for no answer longer than others do."""
    async with SteadySender(
        gateway.port,
        dataset=made.encoded(VALID),
        sop_instance=VALID.SOPInstanceUID,
        calling="WELL",
        called="CONTOURGATE",
        slowest_s=3.0,
    ):
        yield


def series(study: int, count: int = SLICES, **details: Any) -> list[Dataset]:
    return [made.body(index, study=study, **details) for index in range(count)]


async def store(peer: Peer, datasets: Sequence[Dataset]) -> list[int]:
    return [
        await peer.store(made.encoded(dataset), number + 1, dataset.SOPInstanceUID)
        for number, dataset in enumerate(datasets)
    ]


async def send(gateway: Gateway, datasets: Sequence[Dataset]) -> list[int]:
    """Store over one association and release it."""
    async with connected(gateway.port) as peer:
        await peer.associate(**TITLES)
        statuses = await store(peer, datasets)
        await peer.send(wire.RELEASE_RQ)
        assert await peer.pdu() == wire.RELEASE_RP
    return statuses


class Watch:
    """The passages that came since it was made."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known = {passage["id"] for passage in gateway.passages()}

    def new(self) -> list[Held]:
        return [
            passage
            for passage in self._gateway.passages()
            if passage["id"] not in self._known and passage["source"] == "PACS"
        ]

    async def until(self, condition: Callable[[list[Held]], bool], limit_s: float = 150) -> list[Held]:
        """Wait until the new passages are as wanted."""
        try:
            async with asyncio.timeout(limit_s):
                while not condition(found := await asyncio.to_thread(self.new)):  # noqa: ASYNC110  over HTTP
                    await asyncio.sleep(0.1)
        except TimeoutError:
            told = [(p["state"], p["received"], (p["reason"] or {}).get("code")) for p in self.new()]
            raise AssertionError(f"it did not come to that: {told}") from None
        return found


def all_are(state: str, count: int = 1) -> Callable[[list[Held]], bool]:
    def condition(found: list[Held]) -> bool:
        open_ = [passage for passage in found if passage["state"] != "cancelled"]
        return len(open_) == count and all(passage["state"] == state for passage in open_)

    return condition


def received_by(tps: Storescp, study: int) -> list[Path]:
    return [path for path in tps.received() if dcmread(path).StudyInstanceUID == f"{made.ROOT}.{study}"]


async def held(gateway: Gateway, datasets: Sequence[Dataset], code: str) -> dict[str, str]:
    """Send them; they must be held for this reason. Its facts."""
    watch = Watch(gateway)
    async with beside(gateway):
        assert await send(gateway, datasets) == [0] * len(datasets)
        (passage,) = await watch.until(all_are("held"))
    assert passage["reason"]["code"] == code
    assert passage["received"] == len(datasets)
    return {fact["name"]: fact["value"] for fact in passage["reason"]["facts"]}


async def test_control_a_sound_series_is_delivered(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    async with beside(gateway):
        assert await send(gateway, series(30)) == [0] * SLICES
        await watch.until(all_are("delivered"))
    assert len(received_by(tps, 30)) == 1


# -- 35, 36: conflicts


async def test_35_two_patients_in_one_study_hold_both(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    async with beside(gateway), connected(gateway.port) as peer:
        await peer.associate(**TITLES)
        assert await store(peer, series(35)) == [0] * SLICES
        assert await store(peer, series(35, series=2, patient="INVENTED-2")) == [0] * SLICES
        found = await watch.until(all_are("held", 2))
    # One that was taken for whole before the conflict has given its slices to a successor and is cancelled.
    assert {p["reason"]["code"] for p in found if p["state"] == "held"} == {"IDENTITY_CONFLICT"}
    assert received_by(tps, 35) == []


async def test_36_other_pixels_under_a_known_uid_hold_the_series(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    async with beside(gateway), connected(gateway.port) as peer:
        await peer.associate(**TITLES)
        assert await store(peer, series(36)) == [0] * SLICES
        other = made.image(1, study=36, side=64, seed=5)
        assert await peer.store(made.encoded(other), 9, other.SOPInstanceUID) == 0x0111
        (passage,) = await watch.until(all_are("held"))
    assert (passage["reason"]["code"], passage["received"]) == ("INSTANCE_CONFLICT", SLICES)
    assert received_by(tps, 36) == []


# -- 38, 39: text

HOSTILE = [
    "\u202egnp.exe\u2066",
    "%n%s%x",
    "{{7*7}}",
    "$(id)`id`",
    "<script>alert(1)</script>",
    "'; DROP TABLE x--",
    "\x1b[2J",
]
TEXT = {
    0x00080050: b"SH",
    0x00080090: b"PN",
    0x00081030: b"LO",
    0x0008103E: b"LO",
    0x00100010: b"PN",
    0x00100020: b"LO",
    0x00200010: b"SH",
}
PAGES = ["/", "/api/passages", "/api/status", "/metrics", "/passages/{id}", "/api/passages/{id}"]


def hostile_dataset(index: int, text: bytes) -> bytes:
    data = made.encoded(made.body(index, study=39))
    for tag, vr in TEXT.items():
        data = raw.inserted(data, raw.element(tag, vr, text))
    return data


def told(gateway: Gateway, passage: str) -> bytes:
    """Everything that the gateway tells anybody: pages, interfaces, log, journal and ledger."""
    pages = b""
    for page in PAGES:
        with contextlib.suppress(urllib.error.HTTPError):  # an id that does not exist
            pages += gateway.get(page.format(id=passage))
    written = [path.read_bytes() for path in (gateway.folder / "var" / "clerk").rglob("*") if path.is_file()]
    return pages + b"".join(written) + gateway.log.read_bytes()


async def test_38_39_hostile_text_comes_back_byte_for_byte_and_is_told_nowhere(
    whole: tuple[Gateway, Storescp],
) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    text = "=".join(HOSTILE)[:60].encode() + b"\xff\xfe"
    text += b" " * (len(text) % 2)
    async with beside(gateway), connected(gateway.port) as peer:
        await peer.associate(**TITLES)
        for index in range(SLICES):
            uid = f"{made.ROOT}.39.1.{index + 1}"
            assert await peer.store(hostile_dataset(index, text), index + 1, uid) == 0
        await peer.send(wire.RELEASE_RQ)
        (passage,) = await watch.until(all_are("delivered"))
    (delivered,) = received_by(tps, 39)
    content = delivered.read_bytes()
    for tag in TEXT:
        if tag != 0x0008103E:  # the structure set is a series of its own
            assert raw.element(tag, TEXT[tag], text) in content
    everything = await asyncio.to_thread(told, gateway, passage["id"])
    assert passage["id"].encode() in everything
    for piece in (*(part.encode() for part in HOSTILE if len(part) > 3), text):
        for form in (piece, json.dumps(piece.decode("utf-8", "replace")).strip('"').encode()):
            assert form not in everything, "hostile text is told"


def test_39_control_what_is_told_would_be_found(whole: tuple[Gateway, Storescp]) -> None:
    everything = told(whole[0], "0" * 32)
    assert b"IDENTITY_CONFLICT" in everything
    assert b"PACS" in everything


# -- 42: geometry


def gap() -> list[Dataset]:
    return [made.body(index, study=421) for index in (0, 1, 2, 4, 5)]


def twice_at_one_place() -> list[Dataset]:
    datasets = series(422, 5)
    datasets[3].ImagePositionPatient = datasets[2].ImagePositionPatient
    return datasets


def mostly_at_one_place() -> list[Dataset]:
    datasets = series(429, 4)
    for dataset in datasets[2:]:
        dataset.ImagePositionPatient = datasets[1].ImagePositionPatient
    return datasets


def tilted() -> list[Dataset]:
    datasets = series(423, 5)
    for dataset in datasets:
        dataset.ImageOrientationPatient = ["1", "0", "0", "0", "0.9659258", "0.258819"]
    return datasets


def tilt_that_changes() -> list[Dataset]:
    datasets = series(424, 5)
    datasets[4].ImageOrientationPatient = ["1", "0", "0", "0", "0.9986295", "0.0523360"]
    return datasets


def sheared() -> list[Dataset]:
    datasets = series(425, 5)
    for index, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = ["-8", str(-8 + 0.8 * index), str(3 * index)]
    return datasets


def uneven() -> list[Dataset]:
    datasets = series(426, 5)
    datasets[4].ImagePositionPatient = ["-8", "-8", "13.2"]
    return datasets


def mixed_pixels() -> list[Dataset]:
    datasets = series(427, 5)
    datasets[2].PixelSpacing = ["2", "2"]
    return datasets


UNFIT: list[tuple[Callable[[], list[Dataset]], str, dict[str, str]]] = [
    (gap, "SLICE_MISSING", {"position mm": "9", "missing": "1"}),
    (twice_at_one_place, "SLICE_TWICE", {"position mm": "6"}),
    (mostly_at_one_place, "SLICE_TWICE", {"position mm": "3"}),
    (tilted, "ORIENTATION_UNSUITABLE", {}),
    (tilt_that_changes, "ORIENTATION_MIXED", {}),
    (sheared, "ORIENTATION_UNSUITABLE", {}),
    (uneven, "SPACING_UNEVEN", {"position mm": "9", "distance mm": "4.2"}),
    (mixed_pixels, "GEOMETRY_MIXED", {}),
]


@pytest.mark.parametrize(("made_unfit", "code", "facts"), UNFIT, ids=lambda one: getattr(one, "__name__", ""))
async def test_42_a_series_that_is_no_even_stack_is_held_with_the_place(
    whole: tuple[Gateway, Storescp],
    made_unfit: Callable[[], list[Dataset]],
    code: str,
    facts: dict[str, str],
) -> None:
    gateway, _ = whole
    assert (await held(gateway, made_unfit(), code)).items() >= facts.items()


async def test_42_the_slice_that_was_missing_lets_it_go_on(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    datasets = series(428, 6)
    async with beside(gateway):
        await send(gateway, datasets[:3] + datasets[4:])
        await watch.until(all_are("held"))
        await send(gateway, datasets[3:4])
        await watch.until(all_are("delivered"))
    assert len(received_by(tps, 428)) == 1


# -- 40: what no rule takes


async def test_40_a_series_that_no_rule_takes_is_held_where_that_is_configured(
    whole: tuple[Gateway, Storescp],
) -> None:
    gateway, tps = whole
    datasets = series(400)
    for dataset in datasets:
        dataset.SeriesDescription = "UNRULED"
    await held(gateway, datasets, "NO_RULE")
    assert received_by(tps, 400) == []


# -- 44, 45: associations


@pytest.mark.parametrize("how", ["aborts", "resets", "vanishes in a slice"])
async def test_44_a_sender_that_ends_midway_resumes_and_only_the_whole_is_contoured(
    whole: tuple[Gateway, Storescp], how: str
) -> None:
    gateway, tps = whole
    study = 440 + ["aborts", "resets", "vanishes in a slice"].index(how)
    datasets, watch = series(study, 6), Watch(gateway)
    async with beside(gateway):
        async with connected(gateway.port) as peer:
            await peer.associate(**TITLES)
            assert await store(peer, datasets[:3]) == [0] * 3
            if how == "aborts":
                await peer.send(wire.ABORT)
            elif how == "resets":
                peer.reset()
            else:
                message = wire.store_message(
                    made.encoded(datasets[3]), 4, sop_instance=datasets[3].SOPInstanceUID
                )
                await peer.send(message[:-2000])
                peer.reset()
        # Longer than the silence after which a series that was released is taken for whole.
        await asyncio.sleep(2.5)
        (passage,) = await asyncio.to_thread(watch.new)
        assert (passage["state"], passage["received"]) == ("receiving", 3)
        assert await send(gateway, datasets[2:]) == [0] * 4  # it begins again with the last that was answered
        (passage,) = await watch.until(all_are("delivered"))
        assert passage["received"] == 6
    assert len(received_by(tps, study)) == 1


async def test_44_control_a_sender_that_releases_midway_is_believed(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    assert await send(gateway, series(449, 6)[:3]) == [0] * 3
    (passage,) = await watch.until(all_are("delivered"))
    assert passage["received"] == 3
    assert len(received_by(tps, 449)) == 1


async def test_45_one_slice_per_association_is_one_passage(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    async with beside(gateway):
        for dataset in series(450, 8):
            assert await send(gateway, [dataset]) == [0]
        (passage,) = await watch.until(all_are("delivered"))
    assert passage["received"] == 8
    assert len(received_by(tps, 450)) == 1


async def test_45_four_associations_at_once_are_one_passage(whole: tuple[Gateway, Storescp]) -> None:
    gateway, tps = whole
    watch = Watch(gateway)
    datasets = series(451, 16)
    async with beside(gateway):
        answered = await asyncio.gather(*(send(gateway, datasets[start::4]) for start in range(4)))
        assert answered == [[0] * 4] * 4
        (passage,) = await watch.until(all_are("delivered"))
    assert passage["received"] == 16
    assert len(received_by(tps, 451)) == 1


# -- images that nobody expects

ODD_IMAGES: dict[str, dict[str, Any]] = {
    "one pixel": {"Rows": 1, "Columns": 1},
    "four pixels": {"Rows": 2, "Columns": 2},
    "one row": {"Rows": 1, "Columns": 700},
    "one column": {"Rows": 700, "Columns": 1},
    "one value": {"values": 0},
    "the lowest value": {"values": -32768},
    "the highest value": {"values": 32767},
    "one bit": {"BitsStored": 1, "HighBit": 0},
    "no slope": {"RescaleSlope": "0"},
    "a slope beyond all": {"RescaleSlope": "1e300", "RescaleIntercept": "-1e300"},
    "a window of nothing": {"WindowCenter": "1e300", "WindowWidth": "0"},
    "pixels that are lines": {"PixelSpacing": ["1e6", "1e-6"]},
    "pixels too small to see": {"PixelSpacing": ["0.0000001", "0.0000001"]},
    "a thickness below nothing": {"SliceThickness": "-1e300"},
}


def odd_images(study: int, values: int | None = None, **attributes: Any) -> list[Dataset]:
    datasets = series(study, 3)
    for dataset in datasets:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        pixels = np.resize(np.frombuffer(dataset.PixelData, "<i2"), dataset.Rows * dataset.Columns)
        dataset.PixelData = (pixels if values is None else np.full_like(pixels, values)).tobytes()
    return datasets


async def test_images_that_nobody_expects_are_delivered_or_held_and_the_vault_lives(
    whole: tuple[Gateway, Storescp],
) -> None:
    gateway, _ = whole
    vault, watch = gateway.pids()["vault"], Watch(gateway)
    async with beside(gateway):
        for number, attributes in enumerate(ODD_IMAGES.values()):
            answers = await send(gateway, odd_images(600 + number, **attributes))
            assert set(answers) <= {0, 0xA900}
        await watch.until(lambda found: {passage["state"] for passage in found} <= {"delivered", "held"})
    assert gateway.pids()["vault"] == vault
    assert "Traceback" not in gateway.log.read_text()
