"""Delivery without a socket: what is tried again, what a person is asked, and who waits for whom."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from gateway.config import Destination
from gateway.dicom.part10 import Part10
from gateway.dicom.store_status import Verdict
from gateway.errors import PassageUnfit, PeerError
from gateway.flow.store import Deliveries, Patience, Trouble
from gateway.metrics import Metrics
from tests import toy
from tests.toy import Toy

OBJECT = toy.part10(Toy(2).structure_set())
IMPATIENT = Patience(first_s=0.001, longest_s=0.004, alarm_s=60, confirm_s=0.05)


@dataclass
class Tps:
    """Answers as told, then well."""

    answers: deque[int | PeerError] = field(default_factory=deque)
    always: int | PeerError = 0
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    """Port and bytes of every object."""
    at_once: int = 0
    most_at_once: int = 0
    hangs: asyncio.Event | None = None

    async def store(self, peer: Destination, objects: Sequence[bytes]) -> list[int]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.hangs is not None:
                await self.hangs.wait()
            self.sent += [(peer.port, one) for one in objects]
            answer = self.answers.popleft() if self.answers else self.always
            if isinstance(answer, PeerError):
                raise answer
            return [answer] * len(objects)
        finally:
            self.at_once -= 1


@dataclass
class Index:
    """What a query says, in turn; the last answer stays."""

    answers: deque[bool | PeerError | None] = field(default_factory=lambda: deque([True]))
    asked: int = 0

    async def has(self, peer: Destination, part: Part10) -> bool | None:
        self.asked += 1
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, PeerError):
            raise answer
        return answer


def destination(name: str = "tps", **keys: object) -> Destination:
    return Destination(**{"name": name, "ae_title": "TPS", "host": "127.0.0.1", "port": 104, **keys})


def deliveries(
    tps: Tps,
    index: Index | None = None,
    *destinations: Destination,
    patience: Patience = IMPATIENT,
    troubled: Callable[[Trouble], None] = lambda _: None,
    recovered: Callable[[str], None] = lambda _: None,
) -> Deliveries:
    return Deliveries(
        destinations or [destination()],
        tps,
        index or Index(),
        Metrics(),
        patience=patience,
        troubled=troubled,
        recovered=recovered,
    )


async def test_who_was_told_of_trouble_is_told_when_it_is_over() -> None:
    told: list[str] = []
    tps = Tps(deque([PeerError("PEER_UNREACHABLE")]))
    lines = deliveries(
        tps,
        troubled=lambda trouble: told.append(trouble.destination),
        recovered=lambda n: told.append(f"{n} is well"),
    )
    await lines.deliver("p", "tps", OBJECT)
    assert told == ["tps", "tps is well"]


async def test_a_cancelled_delivery_leaves_no_trouble_behind() -> None:
    told: list[str] = []
    lines = deliveries(Tps(always=PeerError("PEER_UNREACHABLE")), recovered=told.append)
    task = asyncio.create_task(lines.deliver("p", "tps", OBJECT))
    await asyncio.sleep(0.02)
    assert told == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == ["tps"]


async def test_success_is_confirmed_by_asking() -> None:
    index = Index()
    done = await deliveries(Tps(), index).deliver("p", "tps", OBJECT)
    assert (done.verdict, done.is_confirmed, done.attempts) == (Verdict.DELIVERED, True, 1)
    assert index.asked == 1


async def test_a_destination_that_cannot_be_asked_is_believed() -> None:
    done = await deliveries(Tps(), Index(deque([None]))).deliver("p", "tps", OBJECT)
    assert not done.is_confirmed


async def test_a_destination_is_not_asked_where_the_configuration_says_so() -> None:
    index = Index()
    await deliveries(Tps(), index, destination(confirm=False)).deliver("p", "tps", OBJECT)
    assert index.asked == 0


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
async def test_a_warning_is_a_delivery_with_a_note(status: int) -> None:
    done = await deliveries(Tps(always=status)).deliver("p", "tps", OBJECT)
    assert (done.verdict, done.status) == (Verdict.WARNED, status)


async def test_what_was_there_already_is_delivered() -> None:
    tps = Tps(deque([PeerError("PEER_ABORTED"), 0x0111]))
    done = await deliveries(tps).deliver("p", "tps", OBJECT)
    assert (done.verdict, done.attempts) == (Verdict.DUPLICATE, 2)


@pytest.mark.parametrize("code", ["PEER_UNREACHABLE", "PEER_REJECTED", "PEER_NO_CONTEXT", "PEER_ABORTED"])
async def test_an_unwell_destination_is_tried_until_it_is_well(code: str) -> None:
    troubles: list[Trouble] = []
    tps = Tps(deque([PeerError(code)] * 20))
    done = await deliveries(tps, troubled=troubles.append).deliver("p", "tps", OBJECT)
    assert done.attempts == 21
    assert [trouble.attempt for trouble in troubles] == list(range(1, 21))
    assert {trouble.error.code for trouble in troubles} == {code}
    assert {sent for _, sent in tps.sent} == {OBJECT}
    assert not any(trouble.is_alarm for trouble in troubles)


@pytest.mark.parametrize("status", [0xA700, 0x0110, 0x0213])
async def test_a_destination_short_of_room_is_tried_until_it_has_some(status: int) -> None:
    done = await deliveries(Tps(deque([status] * 10))).deliver("p", "tps", OBJECT)
    assert done.attempts == 11


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0122])
async def test_an_object_that_is_refused_again_and_again_is_a_persons_matter(status: int) -> None:
    tps = Tps(always=status)
    with pytest.raises(PassageUnfit) as refusal:
        await deliveries(tps).deliver("p", "tps", OBJECT)
    assert refusal.value.code == "DELIVERY_REFUSED"
    assert refusal.value.facts == {"status": status}
    assert len(tps.sent) == IMPATIENT.refusals


async def test_a_refusal_that_passes_is_no_matter() -> None:
    assert (await deliveries(Tps(deque([0xC000, 0xC000]))).deliver("p", "tps", OBJECT)).attempts == 3


async def test_a_slow_index_is_given_time() -> None:
    index = Index(deque([False, True]))
    patience = Patience(first_s=0.001, confirm_s=5)
    tps = Tps()
    done = await deliveries(tps, index, patience=patience).deliver("p", "tps", OBJECT)
    assert done.is_confirmed
    assert len(tps.sent) == 1


async def test_what_was_accepted_but_is_not_there_is_sent_again_and_then_a_persons_matter() -> None:
    tps = Tps()
    with pytest.raises(PassageUnfit, match="DELIVERY_UNCONFIRMED"):
        await deliveries(tps, Index(deque([False]))).deliver("p", "tps", OBJECT)
    assert len(tps.sent) == IMPATIENT.unseen


async def test_a_destination_that_vanishes_before_it_confirms_gets_the_object_again() -> None:
    tps, index = Tps(), Index(deque([PeerError("PEER_UNREACHABLE"), True]))
    assert (await deliveries(tps, index).deliver("p", "tps", OBJECT)).is_confirmed
    assert len(tps.sent) == 2


async def test_the_alarm_is_raised_once_and_delivery_goes_on() -> None:
    troubles: list[Trouble] = []
    patience = Patience(first_s=0.001, longest_s=0.002, alarm_s=0.01)
    tps = Tps(deque([PeerError("PEER_UNREACHABLE")] * 40))
    await deliveries(tps, patience=patience, troubled=troubles.append).deliver("p", "tps", OBJECT)
    assert [trouble.is_alarm for trouble in troubles].count(True) == 1


async def test_one_association_at_a_time_for_each_destination() -> None:
    tps = Tps()
    lines = deliveries(tps)
    await asyncio.gather(*(lines.deliver(f"p{n}", "tps", OBJECT) for n in range(20)))
    assert tps.most_at_once == 1
    assert len(tps.sent) == 20


async def test_a_destination_that_hangs_does_not_delay_another() -> None:
    class Two(Tps):
        async def store(self, peer: Destination, objects: Sequence[bytes]) -> list[int]:
            if peer.name == "dead":
                await asyncio.Event().wait()
            return await super().store(peer, objects)

    lines = deliveries(Two(), None, destination("dead"), destination("well"))
    dead = [asyncio.create_task(lines.deliver(f"p{n}", "dead", OBJECT)) for n in range(5)]
    async with asyncio.timeout(1):
        assert (await lines.deliver("p", "well", OBJECT)).destination == "well"
    assert lines.lines["dead"].waiting == 5
    for task in dead:
        task.cancel()
    await asyncio.gather(*dead, return_exceptions=True)
    assert lines.lines["dead"].waiting == 0


async def test_an_object_that_fails_does_not_stand_in_the_way_of_the_others() -> None:
    class Picky(Tps):
        async def store(self, peer: Destination, objects: Sequence[bytes]) -> list[int]:
            if objects[0] is poisoned:
                raise PeerError("PEER_ABORTED")
            return await super().store(peer, objects)

    poisoned = OBJECT + b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0"
    lines = deliveries(Picky())
    stuck = asyncio.create_task(lines.deliver("p0", "tps", poisoned))
    async with asyncio.timeout(1):
        await asyncio.gather(*(lines.deliver(f"p{n}", "tps", OBJECT) for n in range(1, 6)))
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_a_success_ends_the_pauses_of_the_others() -> None:
    patience = Patience(first_s=60, longest_s=60)
    tps = Tps(deque([PeerError("PEER_UNREACHABLE")] * 3))
    failed: asyncio.Queue[Trouble] = asyncio.Queue()
    lines = deliveries(tps, patience=patience, troubled=failed.put_nowait)
    waiting = [asyncio.create_task(lines.deliver(f"p{n}", "tps", OBJECT)) for n in range(3)]
    for _ in waiting:
        await failed.get()
    async with asyncio.timeout(1):
        await lines.deliver("p", "tps", OBJECT)
        await asyncio.gather(*waiting)


async def test_a_paused_destination_gets_nothing_until_it_is_resumed() -> None:
    tps = Tps()
    lines = deliveries(tps)
    lines.lines["tps"].pause()
    waiting = asyncio.create_task(lines.deliver("p", "tps", OBJECT))
    await asyncio.sleep(0.02)
    assert not tps.sent
    assert lines.lines["tps"].is_paused
    lines.lines["tps"].resume()
    async with asyncio.timeout(1):
        await waiting


async def test_a_corrected_configuration_heals_a_waiting_delivery_at_once() -> None:
    class Moved(Tps):
        async def store(self, peer: Destination, objects: Sequence[bytes]) -> list[int]:
            if peer.port != 11112:
                raise PeerError("PEER_UNREACHABLE")
            return await super().store(peer, objects)

    failed: asyncio.Queue[Trouble] = asyncio.Queue()
    patience = Patience(first_s=60, longest_s=60)
    lines = deliveries(Moved(), patience=patience, troubled=failed.put_nowait)
    waiting = asyncio.create_task(lines.deliver("p", "tps", OBJECT))
    assert (await failed.get()).error is lines.lines["tps"].error
    lines.update([destination(port=11112), destination("new")])
    async with asyncio.timeout(1):
        await waiting
    assert lines.lines["tps"].error is None
    assert set(lines.lines) == {"tps", "new"}


async def test_outcomes_are_counted() -> None:
    metrics = Metrics()
    tps = Tps(deque([PeerError("PEER_ABORTED"), 0xA700, 0xB000]))
    lines = Deliveries([destination()], tps, Index(), metrics, patience=IMPATIENT)
    await lines.deliver("p", "tps", OBJECT)

    def count(outcome: str) -> float | None:
        labels = {"destination": "tps", "outcome": outcome}
        return metrics.registry.get_sample_value("contourgate_deliveries_total", labels)

    assert (count("retried"), count("warned"), count("delivered")) == (2, 1, None)
