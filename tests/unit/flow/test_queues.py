"""A person pauses and resumes a queue; each is recorded, and before it is done."""

from __future__ import annotations

import pytest

from gateway.clerk.records import Deed, Record
from gateway.config import Destination
from gateway.errors import GatewayError
from gateway.flow.chronicle import Chronicle
from gateway.flow.queues import Queue, Queues
from gateway.flow.store import Line


class Link:
    def __init__(self) -> None:
        self.written: list[Record] = []
        self.is_lost = False

    async def write(self, record: Record) -> None:
        if self.is_lost:
            raise GatewayError("CLERK_LOST")
        self.written.append(record)


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def queues(link: Link) -> Queues:
    line = Line(Destination(name="tps", ae_title="TPS", host="127.0.0.1", port=104))
    return Queues({"tps": line}, Chronicle(link, lambda kind, value: b""))


async def test_it_is_paused_and_resumed_once_and_recorded_once(queues: Queues, link: Link) -> None:
    for switch in (queues.pause, queues.pause):
        await switch("tps")
        assert queues.all() == [Queue("tps", 0, True, None)]
    for switch in (queues.resume, queues.resume):
        await switch("tps")
        assert queues.all() == [Queue("tps", 0, False, None)]
    deeds = [(record.deed, record.destination) for record in link.written]  # type: ignore[union-attr]
    assert deeds == [(Deed.PAUSE, "tps"), (Deed.RESUME, "tps")]


async def test_what_cannot_be_recorded_is_not_done(queues: Queues, link: Link) -> None:
    link.is_lost = True
    with pytest.raises(GatewayError):
        await queues.pause("tps")
    assert not queues.all()[0].is_paused


async def test_an_unknown_destination_is_none(queues: Queues) -> None:
    with pytest.raises(KeyError):
        await queues.pause("archive")
