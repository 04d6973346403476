"""Each cap and deadline of the intake is a key of the configuration, holds over a real socket, and is counted."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from gateway.config import Limits
from tests import made, raw, wire
from tests.faults.whole_intake import WholeIntake, whole_intake
from tests.intake import Peer, connected

INSTANCES, REFUSED, ABORTS = "instances_total", "connections_refused_total", "aborts_total"


class Case(NamedTuple):
    """What oversteps a limit, and where that is counted."""

    limits: dict[str, float]
    oversteps: Callable[[WholeIntake], Awaitable[None]]
    counter: str
    code: str


@contextlib.asynccontextmanager
async def associated(scene: WholeIntake) -> Iterator[Peer]:  # type: ignore[misc]
    async with connected(scene.acceptor.port) as peer:
        yield await peer.associate()


def stores(*images: tuple[int, int]) -> Callable[[WholeIntake], Awaitable[None]]:
    """Stores images of some index and side."""

    async def overstep(scene: WholeIntake) -> None:
        async with associated(scene) as peer:
            for index, side in images:
                dataset = made.image(index, side=side)
                await peer.store(made.encoded(dataset), index + 1, dataset.SOPInstanceUID)

    return overstep


def stores_dataset(dataset: Callable[[], bytes]) -> Callable[[WholeIntake], Awaitable[None]]:
    async def overstep(scene: WholeIntake) -> None:
        async with associated(scene) as peer:
            assert await peer.store(dataset(), 1, f"{made.ROOT}.1.1.1") != 0

    return overstep


def sends(data: bytes) -> Callable[[WholeIntake], Awaitable[None]]:
    """Associates, sends this, and is cut off."""

    async def overstep(scene: WholeIntake) -> None:
        async with associated(scene) as peer:
            await peer.send(data)
            await peer.rest()

    return overstep


async def connects_only(scene: WholeIntake) -> None:
    async with connected(scene.acceptor.port) as peer:
        await peer.rest()


async def connects_twice(scene: WholeIntake) -> None:
    async with connected(scene.acceptor.port), connected(scene.acceptor.port):
        await asyncio.sleep(0.1)


async def associates_twice(scene: WholeIntake) -> None:
    async with associated(scene), connected(scene.acceptor.port) as second:
        await second.send(wire.associate_rq())
        assert (await second.pdu())[0] == 3


async def sends_deflated(scene: WholeIntake) -> None:
    squeeze = zlib.compressobj(wbits=-15)
    data = squeeze.compress(made.encoded(made.image())) + squeeze.flush()
    async with connected(scene.acceptor.port) as peer:
        await peer.associate(contexts=[(1, wire.CT, ["1.2.840.10008.1.2.1.99"])])
        assert await peer.store(data, 1, f"{made.ROOT}.1.1.1") == 0xC000


def nested() -> bytes:
    inner = raw.sequence(0x00081115, raw.item(raw.sequence(0x00081199, raw.item())))
    return raw.inserted(made.encoded(made.image()), inner)


def many() -> bytes:
    return raw.inserted(made.encoded(made.image()), raw.sequence(0x00081115, *[raw.item()] * 200))


BEGUN = wire.p_data(1, 3, wire.store_rq()) + wire.p_data(1, 0, bytes(500))
FULL = stores(*((index, 2048) for index in range(9)))
CASES = {
    "memory_bytes": Case(
        {"memory_bytes": 2**26, "memory_wait_s": 0.2}, FULL, INSTANCES, "OUT_OF_MEMORY_BUDGET"
    ),
    "memory_wait_s": Case(
        {"memory_bytes": 2**26, "memory_wait_s": 0.1}, FULL, INSTANCES, "OUT_OF_MEMORY_BUDGET"
    ),
    "instance_bytes": Case({"instance_bytes": 2**16}, stores((0, 256)), INSTANCES, "DATASET_TOO_LARGE"),
    "elements": Case({"elements": 150}, stores_dataset(many), INSTANCES, "DATASET_TOO_MANY_ELEMENTS"),
    "nesting": Case({"nesting": 1}, stores_dataset(nested), INSTANCES, "DATASET_TOO_DEEP"),
    "slices": Case({"slices": 2}, stores((0, 16), (1, 16), (2, 16)), INSTANCES, "DATASET_TOO_LARGE"),
    "decode_s": Case({"decode_s": 0.001}, sends_deflated, INSTANCES, "PIXELS_UNDECODABLE"),
    "pdu_bytes": Case({"pdu_bytes": 4096}, sends(wire.p_data(1, 1, bytes(5000))), ABORTS, "PDU_TOO_LONG"),
    "command_bytes": Case(
        {"command_bytes": 1024}, sends(wire.p_data(1, 1, bytes(900)) * 2), ABORTS, "COMMAND_TOO_LONG"
    ),
    "associations": Case({"associations": 1}, associates_twice, REFUSED, "TOO_MANY_ASSOCIATIONS"),
    "connections": Case({"connections": 1}, connects_twice, REFUSED, "TOO_MANY_CONNECTIONS"),
    "connections_per_address": Case(
        {"connections_per_address": 1}, connects_twice, REFUSED, "TOO_MANY_CONNECTIONS"
    ),
    "associate_s": Case({"associate_s": 0.2}, connects_only, ABORTS, "NOT_ASSOCIATED_IN_TIME"),
    "idle_s": Case({"idle_s": 0.2}, sends(b""), ABORTS, "IDLE"),
    "message_s": Case({"message_s": 0.2}, sends(BEGUN), ABORTS, "MESSAGE_TOO_LONG_UNDER_WAY"),
    "min_bytes_per_s": Case(
        {"min_bytes_per_s": 10_000, "rate_window_s": 0.2}, sends(BEGUN), ABORTS, "TOO_SLOW"
    ),
    "rate_window_s": Case({"rate_window_s": 0.2}, sends(BEGUN), ABORTS, "TOO_SLOW"),
}


def test_every_limit_has_a_case() -> None:
    assert set(CASES) == set(Limits.model_fields)


def counted(scene: WholeIntake, case: Case) -> float:
    labels = ("STORESCU", case.code) if case.counter == INSTANCES else (case.code,)
    return scene.count(case.counter, *labels)


@pytest.mark.parametrize("key", CASES)
async def test_a_limit_holds_and_is_counted(key: str) -> None:
    case = CASES[key]
    async with whole_intake(limits=case.limits) as scene:
        assert counted(scene, case) == 0
        await case.oversteps(scene)
        assert counted(scene, case) >= 1


@pytest.mark.parametrize("key", ["elements", "nesting"])
async def test_control_by_its_default_it_is_not_overstepped(key: str) -> None:
    async with whole_intake() as scene:
        with pytest.raises(AssertionError):
            await CASES[key].oversteps(scene)
        assert counted(scene, CASES[key]) == 0
