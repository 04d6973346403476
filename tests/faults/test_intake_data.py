"""Faults 19 to 43 in what is sent, each over a real socket, with a valid sender at work beside it.

Every dataset is a sound one with one mistake; `refused_as` is the same check for all of them. A control sends the sound
one through that check, which must fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from gateway.deid.profile import load_profiles
from gateway.flow.deidentify import deidentify
from tests import made, raw, wire
from tests.faults.whole_intake import WholeIntake, whole_intake
from tests.intake import Peer, SteadySender, connected

VALID = made.image(study=88)
PIXELS = 0x7FE00010


@contextlib.asynccontextmanager
async def intake(**limits: float) -> AsyncIterator[WholeIntake]:
    """The whole intake with a valid sender at work, which notices nothing."""
    async with (
        whole_intake(limits=limits) as scene,
        SteadySender(
            scene.acceptor.port, dataset=made.encoded(VALID), sop_instance=VALID.SOPInstanceUID, slowest_s=2.0
        ),
    ):
        yield scene


async def answer(scene: WholeIntake, dataset: bytes, **request: str) -> tuple[int, str]:
    """Status and comment for a dataset sent as another sender's."""
    async with connected(scene.acceptor.port) as peer:
        return await answered(peer, dataset, **request)


async def answered(
    peer: Peer, dataset: bytes, *, syntax: str = wire.EXPLICIT_LE, **command: str
) -> tuple[int, str]:
    command = {"sop_class": wire.CT, "sop_instance": f"{made.ROOT}.1.1.1", **command}
    contexts = [(1, command["sop_class"] if command["sop_class"].startswith("1.") else wire.CT, [syntax])]
    await peer.associate(contexts=contexts, calling="OTHER")
    await peer.send(wire.store_message(dataset, **command))
    response = wire.read_response(await peer.pdu())
    return int(response.Status), str(response.get("ErrorComment", ""))


def strangers(scene: WholeIntake) -> list[str]:
    """What is in memory beside the valid sender's."""
    return [s.sop_instance_uid for s in scene.joined if s.sop_instance_uid != VALID.SOPInstanceUID]


async def refused_as(status: int, code: str, dataset: bytes, **request: str) -> None:
    async with intake() as scene:
        assert await answer(scene, dataset, **request) == (status, code)
        assert strangers(scene) == []
        assert scene.count("instances_total", "OTHER", code) == 1


def sound() -> bytes:
    return made.encoded(made.image())


def changed(**values: object) -> bytes:
    """The sound one with other values."""
    dataset = made.image()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return made.encoded(dataset)


async def test_control_the_sound_one_is_taken() -> None:
    with pytest.raises(AssertionError):
        await refused_as(0xC000, "DATASET_UNPARSABLE", sound())
    async with intake() as scene:
        assert await answer(scene, sound()) == (0, "")
        assert strangers(scene) == [f"{made.ROOT}.1.1.1"]


# -- 19 to 22: what grows


def bomb(gibibytes: int) -> bytes:
    """A deflated dataset of so much: each piece stands alone, so one is enough to be repeated."""
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = raw.element(0x00091010, b"OB", length=gibibytes * 2**30)
    start = squeeze.compress(head) + squeeze.flush(zlib.Z_FULL_FLUSH)
    piece = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return start + piece * (gibibytes * 1024) + squeeze.flush()


def decoder_bytes(scene: WholeIntake) -> int:
    """The most memory that a decoder had resident."""
    sizes = [0]
    for process in scene.transcoder._processes:
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{process.pid}/status").read_text()
            sizes.append(int(told.partition("VmHWM:")[2].split()[0]) * 1024)
    return max(sizes)


async def a_bomb_is_cut(scene: WholeIntake) -> None:
    dataset = bomb(1)
    assert len(dataset) < 2 * 2**20
    deflated = str(uid.DeflatedExplicitVRLittleEndian)
    small = made.image()
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    whole = squeeze.compress(made.encoded(small)) + squeeze.flush()
    assert await answer(scene, whole, syntax=deflated) == (0, "")
    before = decoder_bytes(scene)
    assert await answer(scene, dataset, syntax=deflated) == (0xA700, "DATASET_TOO_LARGE")
    assert decoder_bytes(scene) - before < 64 * 2**20


async def test_19_a_deflated_gibibyte_is_cut_at_the_cap() -> None:
    async with intake(instance_bytes=16 * 2**20) as scene:
        await a_bomb_is_cut(scene)


async def test_19_control_with_a_high_cap_it_would_be_inflated() -> None:
    async with intake(instance_bytes=2**28) as scene:
        with pytest.raises(AssertionError):
            await a_bomb_is_cut(scene)


def nested(depth: int, *, delimited: bool) -> bytes:
    if delimited:
        opening = raw.element(0x00081115, b"SQ", length=raw.UNDEFINED) + raw.item(b"", delimited=True)[:8]
        return opening * depth + (raw.ITEM_END + raw.SEQUENCE_END) * depth
    return b"".join(
        raw.element(0x00081115, b"SQ", length=20 * level - 12)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 20 * (level - 1))
        for level in range(depth, 0, -1)
    )


@pytest.mark.parametrize("delimited", [False, True])
@pytest.mark.parametrize("depth", [200, 50_000])
async def test_20_deep_nesting_is_refused(depth: int, delimited: bool) -> None:
    await refused_as(0xC000, "DATASET_TOO_DEEP", nested(depth, delimited=delimited))


async def test_20_control_with_a_higher_cap_it_is_taken() -> None:
    dataset = raw.inserted(sound(), nested(200, delimited=False))
    async with intake(nesting=300) as scene:
        assert await answer(scene, dataset) == (0, "")


TOO_LONG: dict[str, Callable[[], bytes]] = {
    "a short text": lambda: raw.inserted(sound(), raw.element(0x00204000, b"LT", b"", length=0xFFF0)),
    "a long value": lambda: raw.inserted(sound(), raw.element(0x00091010, b"OB", b"", length=0x7FFFFFF0)),
    "a sequence": lambda: raw.inserted(sound(), raw.element(0x00081115, b"SQ", b"", length=0x7FFFFFF0)),
    "pixels": lambda: sound()[:-512] + sound()[-300:],
    "a sequence without its end": lambda: raw.inserted(
        sound(), raw.element(0x00081115, b"SQ", b"", length=raw.UNDEFINED)
    ),
}


@pytest.mark.parametrize("what", TOO_LONG)
async def test_21_a_length_beyond_the_bytes_is_refused(what: str) -> None:
    dataset = TOO_LONG[what]()
    async with intake() as scene:
        status, code = await answer(scene, dataset)
        assert (status, code) in [(0xC000, "DATASET_UNPARSABLE"), (0xC000, "ELEMENT_TWICE")]
        assert strangers(scene) == []


def many_elements() -> bytes:
    heads = [
        struct.pack("<HH2sH", 0x0009 + 2 * (n // 60_000), 0x1000 + n % 60_000, b"SH", 0)
        for n in range(1_000_000)
    ]
    return sound()[: sound().find(b"\x10\0\x10\0")] + b"".join(heads)


@pytest.mark.parametrize("what", ["elements", "items"])
async def test_22_a_million_tiny_elements_hit_the_cap(what: str) -> None:
    many = raw.sequence(0x00081115, raw.item() * 1_000_000)
    dataset = many_elements() if what == "elements" else raw.inserted(sound(), many)
    await refused_as(0xC000, "DATASET_TOO_MANY_ELEMENTS", dataset)


async def test_22_control_with_a_higher_cap_they_would_be_walked() -> None:
    dataset = raw.inserted(sound(), raw.sequence(0x00081115, raw.item() * 30_000))
    async with intake(elements=50_000) as scene:
        assert await answer(scene, dataset) == (0, "")


# -- 23 to 27: pixels

UNFIT_PIXELS: dict[str, dict[str, object]] = {
    "23 shorter": {"PixelData": bytes(510)},
    "24 longer": {"PixelData": bytes(514)},
    "25 no rows": {"Rows": 0},
    "25 no columns": {"Columns": 0},
    "25 no rows and no pixels": {"Rows": 0, "PixelData": b""},
    "26 more stored than allocated": {"BitsStored": 17, "HighBit": 16},
    "26 a high bit elsewhere": {"HighBit": 11},
    "26 24 bits": {"BitsAllocated": 24, "BitsStored": 24, "HighBit": 23},
    "26 no bits": {"BitsAllocated": 0, "BitsStored": 0, "HighBit": 0},
    "27 frames without end": {"NumberOfFrames": 999_999},
    "27 no frames": {"NumberOfFrames": 0},
    "a matrix of 8 GiB": {"Rows": 65535, "Columns": 65535},
}


@pytest.mark.parametrize("what", UNFIT_PIXELS)
async def test_23_to_27_pixels_that_do_not_fit_are_refused_before_anything_is_allocated(what: str) -> None:
    dataset = changed(**UNFIT_PIXELS[what])
    async with intake() as scene:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            assert await answer(scene, dataset) == (0xA900, "PIXELS_UNFIT")
            assert tracemalloc.get_traced_memory()[1] - before < 4 * 2**20
        finally:
            tracemalloc.stop()
        assert strangers(scene) == []


# -- 28 to 34: UIDs, classes, groups

NO_UIDS = {
    "28 a path": "../../etc/x",
    "29 65 characters": "1." + "2" * 63,
    "29 leading zeros": "1.2.03",
    "29 empty": "",
    "letters": "1.2.a",
}


def with_uid(tag: int, text: str) -> bytes:
    value = text.encode() + b"\0" * (len(text) % 2)
    return raw.inserted(sound(), raw.element(tag, b"UI", value))


@pytest.mark.parametrize("what", NO_UIDS)
@pytest.mark.parametrize("tag", [0x00080016, 0x00080018, 0x0020000D, 0x0020000E])
async def test_28_29_what_is_no_uid_is_refused_in_a_dataset(what: str, tag: int) -> None:
    await refused_as(0xA900, "UID_INVALID", with_uid(tag, NO_UIDS[what]))


def store_rq_with(sop_instance: str) -> bytes:
    """A C-STORE-RQ command set that no library would write."""
    text = sop_instance.encode() + b"\0" * (len(sop_instance) % 2)
    sop_class = wire.CT.encode() + b"\0" * (len(wire.CT) % 2)
    elements = [
        raw.implicit(0x00000002, sop_class),
        raw.implicit(0x00000100, b"\1\0"),
        raw.implicit(0x00000110, b"\1\0"),
        raw.implicit(0x00000700, b"\2\0"),
        raw.implicit(0x00000800, b"\0\0"),
        raw.implicit(0x00001000, text),
    ]
    command = b"".join(elements)
    return raw.implicit(0x00000000, struct.pack("<L", len(command))) + command


@pytest.mark.parametrize("what", NO_UIDS)
async def test_28_29_what_is_no_uid_is_refused_in_a_command(what: str) -> None:
    dataset = with_uid(0x00080018, NO_UIDS[what])
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate(calling="OTHER")
        await peer.send(wire.p_data(1, 3, store_rq_with(NO_UIDS[what])) + wire.p_data(1, 2, dataset))
        assert wire.read_response(await peer.pdu()).Status == 0x0117
        assert strangers(scene) == []


async def test_28_29_control_a_uid_in_such_a_command_is_taken() -> None:
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate(calling="OTHER")
        command = store_rq_with(f"{made.ROOT}.1.1.1")
        await peer.send(wire.p_data(1, 3, command) + wire.p_data(1, 2, sound()))
        assert wire.read_response(await peer.pdu()).Status == 0


@pytest.mark.parametrize(
    "command", [{"sop_instance": f"{made.ROOT}.1.1.2"}, {"sop_class": str(uid.MRImageStorage)}], ids=list
)
async def test_30_a_command_unlike_its_dataset_is_refused(command: dict[str, str]) -> None:
    await refused_as(0xA900, "UID_MISMATCH", sound(), **command)


async def test_31_a_ct_that_says_mr_is_refused() -> None:
    await refused_as(0xA900, "MODALITY_MISMATCH", changed(Modality="MR"))


PREAMBLE = b"MZ\x90\0" + b"\x7fELF" + bytes(range(120))


async def test_32_a_preamble_is_no_dataset_and_what_leaves_has_none_of_it() -> None:
    file = PREAMBLE + made.part10(made.image())[128:]
    async with intake() as scene:
        status, _ = await answer(scene, file)
        assert status == 0xC000
        assert strangers(scene) == []
        assert await answer(scene, sound()) == (0, "")
        (slice_,) = (s for s in scene.joined if s.sop_instance_uid == f"{made.ROOT}.1.1.1")
        (series,) = (s for s in scene.series if slice_ in s.slices.values())
        assert slice_.instance is not None
        left = deidentify(slice_.instance, series.pseudonyms, load_profiles()["CT"]).part10()
        assert left[:132] == bytes(128) + b"DICM"


META = raw.element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")
NAME = raw.element(0x00100010, b"PN", b"Other^Name")
TWICE: dict[str, Callable[[], bytes]] = {
    "33 group 0002 at the start": lambda: META + sound(),
    "33 group 0002 at the end": lambda: sound() + META,
    "33 group 0002 in a sequence": lambda: raw.inserted(
        sound(), raw.sequence(0x00081115, raw.item(META))
    ),
    "33 a command group": lambda: raw.element(0x00000002, b"UI", b"1.2\0") + sound(),
    "34 a name twice": lambda: sound().replace(b"\x10\0\x20\0LO", NAME + b"\x10\0\x20\0LO"),
    "34 pixels twice": lambda: sound() + sound()[sound().find(b"\xe0\x7f\x10\0") :],
}  # fmt: skip


@pytest.mark.parametrize("what", TWICE)
async def test_33_34_foreign_groups_and_repeated_attributes_are_refused(what: str) -> None:
    await refused_as(0xC000, "ELEMENT_TWICE", TWICE[what]())


# -- 35 to 38: who and what


async def test_35_two_patients_in_one_study_are_both_in_conflict() -> None:
    async with intake() as scene:
        assert await answer(scene, sound()) == (0, "")
        other = made.image(1, patient="INVENTED-2")
        assert await answer(scene, made.encoded(other), sop_instance=other.SOPInstanceUID) == (0, "")
        conflicts = [s.conflict.code for s in scene.series if s.conflict is not None]
        assert conflicts == ["IDENTITY_CONFLICT"] * 2


async def test_36_other_pixels_under_the_same_uid_are_a_conflict_and_overwrite_nothing() -> None:
    async with intake() as scene:
        assert await answer(scene, sound()) == (0, "")
        assert await answer(scene, made.encoded(made.image(seed=9))) == (0x0111, "INSTANCE_CONFLICT")
        assert strangers(scene) == [f"{made.ROOT}.1.1.1"]
        (series,) = (s for s in scene.series if f"{made.ROOT}.1.1.1" in s.slices)
        kept = series.slices[f"{made.ROOT}.1.1.1"].instance
        assert kept is not None
        assert bytes(kept.data) == sound()
        assert series.conflict is not None
        assert series.conflict.code == "INSTANCE_CONFLICT"


async def test_37_the_same_again_is_a_success_and_one_instance() -> None:
    async with intake() as scene:
        for _ in range(3):
            assert await answer(scene, sound()) == (0, "")
        assert strangers(scene) == [f"{made.ROOT}.1.1.1"]
        assert scene.budget.used == sum(series.charged_bytes for series in scene.series)


ODD_TEXT = {
    "invalid UTF-8": (b"ISO_IR 192", b"\xff\xfe\xc0\xaf^\xed\xa0\x80"),
    "UTF-8 said to be Latin-1": (b"ISO_IR 100", "Müller^Jürgen".encode()),
    "a set that does not exist": (b"ISO_IR 999 ", b"Name^\x80\x81"),
    "escapes": (b"\\ISO 2022 IR 87 ", b"Y^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
    "an escape without end": (b"\\ISO 2022 IR 87 ", b"\x1b$B;3"),
}


@pytest.mark.parametrize("what", ODD_TEXT)
async def test_38_a_name_in_whatever_characters_is_kept_byte_for_byte(what: str) -> None:
    charset, name = ODD_TEXT[what]
    dataset = raw.inserted(sound(), raw.element(0x00080005, b"CS", charset + b" " * (len(charset) % 2)))
    dataset = raw.inserted(dataset, raw.element(0x00100010, b"PN", name + b" " * (len(name) % 2)))
    async with intake() as scene:
        assert await answer(scene, dataset) == (0, "")
        (series,) = (s for s in scene.series if f"{made.ROOT}.1.1.1" in s.slices)
        assert series.identity.values[0x00100010] == (b"PN", name + b" " * (len(name) % 2))
        assert series.identity.character_set == charset + b" " * (len(charset) % 2)


# -- 40, 41: other objects, images that do not decode


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.EncapsulatedPDFStorage,
        uid.BasicTextSRStorage,
        uid.RTPlanStorage,
        uid.RTDoseStorage,
        uid.RTStructureSetStorage,
        uid.SecondaryCaptureImageStorage,
        uid.EnhancedCTImageStorage,
    ],
    ids=lambda sop_class: sop_class.keyword,
)
async def test_40_other_objects_are_not_supported(sop_class: uid.UID) -> None:
    await refused_as(
        0x0122, "SOP_CLASS_NOT_SUPPORTED", changed(SOPClassUID=sop_class), sop_class=str(sop_class)
    )


async def test_40_a_private_sop_class_gets_no_context() -> None:
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.send(wire.associate_rq([(1, "1.3.46.670589.11.0.0.12.1", [wire.EXPLICIT_LE])]))
        accepted = wire.read_ac(await peer.pdu())
        (context,) = accepted.presentation_context_definition_results_list
        assert context.result == 3


def compressed(frames: list[bytes], *, has_offsets: bool = False) -> bytes:
    dataset = made.image()
    del dataset.PixelData
    dataset.add_new(PIXELS, "OB", encapsulate(frames, has_bot=has_offsets))
    dataset["PixelData"].is_undefined_length = True
    return made.encoded(dataset)


NOISE = np.random.default_rng(41).bytes(4096)
CORRUPT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "noise as RLE": (uid.RLELossless, lambda: compressed([NOISE])),
    "noise as JPEG": (uid.JPEGLosslessSV1, lambda: compressed([b"\xff\xd8" + NOISE])),
    "noise as JPEG-LS": (uid.JPEGLSLossless, lambda: compressed([b"\xff\xd8\xff\xf7" + NOISE])),
    "noise as JPEG 2000": (uid.JPEG2000Lossless, lambda: compressed([b"\xff\x4f\xff\x51" + NOISE])),
    "10,000 fragments": (uid.JPEG2000Lossless, lambda: _fragments(10_000)),
    "an RLE header that points away": (
        uid.RLELossless,
        lambda: compressed([struct.pack("<16L", 15, *[0xFFFFFFF0] * 15) + NOISE]),
    ),
    "no frame": (uid.RLELossless, lambda: _fragments(0)),
    "a fragment longer than the bytes": (uid.RLELossless, lambda: compressed([NOISE])[:-600]),
}


def _fragments(number: int) -> bytes:
    """An empty offset table and so many fragments of one byte and padding."""
    dataset = made.encoded(made.image())
    start = dataset[: dataset.find(b"\xe0\x7f\x10\0")]
    fragments = raw.item(b"") + raw.item(b"\xff\0") * number
    return start + raw.element(PIXELS, b"OB", fragments + raw.SEQUENCE_END, length=raw.UNDEFINED)


@pytest.mark.parametrize("what", CORRUPT)
async def test_41_an_image_that_does_not_decode_is_refused_in_time(what: str) -> None:
    syntax, dataset = CORRUPT[what]
    async with intake() as scene:
        began = time.monotonic()
        status, code = await answer(scene, dataset(), syntax=str(syntax))
        assert (status, code) in [
            (0xC000, "PIXELS_UNDECODABLE"),
            (0xC000, "DATASET_UNPARSABLE"),
            (0xA900, "PIXELS_UNFIT"),
        ]
        assert time.monotonic() - began < 10  # the start of a decoder included
        assert strangers(scene) == []


async def test_41_control_the_same_image_undamaged_is_taken() -> None:

    words = np.frombuffer(made.image().PixelData, "<u2").reshape(16, 16)
    dataset = compressed([imagecodecs.jpeg2k_encode(words, level=0, codecformat="j2k", reversible=True)])
    async with intake() as scene:
        assert await answer(scene, dataset, syntax=str(uid.JPEG2000Lossless)) == (0, "")


# -- 43: memory


async def test_43_a_full_budget_is_told_and_what_is_in_is_safe() -> None:
    big = [made.image(index, study=5, side=2048) for index in range(9)]
    datasets = [made.encoded(dataset) for dataset in big]
    async with (
        whole_intake(limits={"memory_bytes": 2**26, "memory_wait_s": 0.5}) as scene,
        connected(scene.acceptor.port) as peer,
        connected(scene.acceptor.port) as beside,
    ):
        await peer.associate()
        await beside.associate(calling="OTHER")
        statuses = [
            await peer.store(data, number, dataset.SOPInstanceUID)
            for number, (dataset, data) in enumerate(zip(big, datasets, strict=True))
        ]
        assert statuses == [0] * 7 + [0xA700] * 2
        assert scene.count("instances_total", "STORESCU", "OUT_OF_MEMORY_BUDGET") == 2
        assert scene.budget.used <= 2**26
        (series,) = scene.series
        kept = [s.instance for s in series.slices.values()]
        assert [bytes(instance.data) for instance in kept if instance] == datasets[:7]
        assert await beside.store(made.encoded(VALID), 1, VALID.SOPInstanceUID) == 0
        # Room again: what was refused comes in when it is sent again.
        waiting = asyncio.create_task(peer.store(datasets[7], 8, big[7].SOPInstanceUID))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        scene.budget.release(len(datasets[0]))
        assert await waiting == 0


async def test_43_control_with_more_memory_everything_comes_in() -> None:
    big: list[Dataset] = [made.image(index, study=5, side=2048) for index in range(9)]
    async with whole_intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        for number, dataset in enumerate(big):
            assert await peer.store(made.encoded(dataset), number, dataset.SOPInstanceUID) == 0
