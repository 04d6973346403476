"""Passages that were open are taken up as they stood, and their instances are found by digests alone."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import config
from gateway.clerk.records import Committed, Delivered, PassageOpened
from gateway.clerk.standing import OpenPassage
from gateway.config import Query
from gateway.dicom.query import FoundSeries, Retrieved
from gateway.errors import PeerError
from gateway.flow.alarm import Alarm
from gateway.flow.assemble import Assembler
from gateway.flow.deidentify import stored_values
from gateway.flow.recover import Patience, Recovery
from gateway.flow.rules import SeriesFacts
from gateway.flow.series import Series
from gateway.passage import State
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, keyed_digest, scope_of, subject_of
from tests import made

KEY = ClinicKey(bytes(range(32)))
DIGEST = functools.partial(keyed_digest, KEY)
NOW = datetime.now(UTC)
FIRST = made.instance()
FACTS = SeriesFacts("PACS", "CONTOURGATE", "CT", "", "")


class Asks:
    """A PACS that has one series among others."""

    def __init__(self, *, refuses_move: bool = False, has_it: bool = True) -> None:
        self.refuses_move, self.has_it = refuses_move, has_it
        self.moved: list[tuple[str, str]] = []
        self.got: list[tuple[str, str]] = []
        self.window: tuple[date, date] | None = None
        self.fails = 0
        self.retrieved = asyncio.Event()

    async def studies(self, peer: Query, first: date, last: date) -> list[str]:
        if self.fails:
            self.fails -= 1
            raise PeerError("PEER_UNREACHABLE")
        self.window = (first, last)
        return ["1.2.3", *([FIRST.study_instance_uid] if self.has_it else [])]

    async def series(self, peer: Query, study_instance_uid: str) -> list[FoundSeries]:
        return [FoundSeries(study_instance_uid, uid, 3) for uid in ("1.2.3.4", FIRST.series_instance_uid)]

    async def count(self, peer: Query, study_instance_uid: str, series_instance_uid: str) -> int:
        if self.fails:
            raise PeerError("PEER_UNREACHABLE")
        return 3

    async def move(self, peer: Query, study_instance_uid: str, series_instance_uid: str) -> Retrieved:
        if self.refuses_move:
            raise PeerError("PEER_NO_CONTEXT")
        self.moved.append((study_instance_uid, series_instance_uid))
        self.retrieved.set()
        return Retrieved(3, 0)

    async def get(
        self, peer: Query, study_instance_uid: str, series_instance_uid: str, take: Any
    ) -> Retrieved:
        self.got.append((study_instance_uid, series_instance_uid))
        self.retrieved.set()
        return Retrieved(3, 0)


class Stand:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.assembler = Assembler(
            lambda instance: Pseudonyms(KEY, scope_of(instance, "study")),
            lambda instance: hashlib.sha256(stored_values(instance)).digest(),
            lambda uid: DIGEST("series", uid.encode()),
            100,
        )
        self.conducted: list[Series] = []
        self.deleted: list[Series] = []
        self.group = group
        self.recovery: Recovery | None = None

    def recover(self, asks: Asks, *passages: OpenPassage, queried: bool = True) -> Series:
        async def delete(series: Series) -> None:
            self.deleted.append(series)

        async def join(*_: object) -> object:
            return object()

        contourer: Any = SimpleNamespace(join=join)
        service: Any = SimpleNamespace(association_ended=lambda *_, **__: None)
        query = Query(ae_title="PACS", host="127.0.0.1", port=104, window_days=3)
        self.recovery = Recovery(
            {"PACS": query} if queried else {},
            asks,
            self.assembler,
            DIGEST,
            Alarm(config.Alarm()),
            service,
            contourer,
            nobody=lambda: Pseudonyms(KEY, b"nobody"),
            conduct=self.conducted.append,
            changed=lambda series: None,
            delete=delete,
            ae_title="CONTOURGATE",
            group=self.group,
            patience=Patience(first_s=0.01, longest_s=0.05, person_s=0.2),
        )
        self.recovery.take_up(passages)
        self.recovery.start()
        return self.conducted[0]


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        made_ = Stand(group)
        yield made_
        assert made_.recovery is not None
        made_.recovery.stop()


def standing(*, delivered: tuple[str, ...] = (), committed: bool = True) -> OpenPassage:
    pseudonyms = Pseudonyms(KEY, scope_of(FIRST, "study"))
    passage = "ab" * 16
    opened = PassageOpened(
        at=NOW,
        passage=passage,
        source="PACS",
        called="CONTOURGATE",
        modality="CT",
        study=DIGEST("study", FIRST.study_instance_uid.encode()).hex(),
        series=DIGEST("series", FIRST.series_instance_uid.encode()).hex(),
        pseudonym=pseudonyms.patient_code(subject_of(FIRST)),  # type: ignore[arg-type]
    )
    release = Committed(
        at=NOW,
        passage=passage,
        manifest="cd" * 32,
        slices=3,
        model="default",  # type: ignore[arg-type]
        profile="ct",  # type: ignore[arg-type]
        deliver_to=("tps", "archive"),  # type: ignore[arg-type]
    )
    records = [
        Delivered(at=NOW, passage=passage, destination=name, sop_instance="ef" * 32)  # type: ignore[arg-type]
        for name in delivered
    ]
    return OpenPassage(
        passage,
        State.RESTORED,
        NOW,
        opened=opened,
        committed=release if committed else None,
        delivered=records,
    )


async def test_it_is_found_by_digests_within_days_and_sent_for(stand: Stand) -> None:
    asks = Asks()
    series = stand.recover(asks, standing())
    await asks.retrieved.wait()
    assert asks.moved == [(FIRST.study_instance_uid, FIRST.series_instance_uid)]
    assert asks.window is not None
    assert (asks.window[1] - asks.window[0]).days == 6
    assert (series.passage.id, series.passage.state, series.passage.received) == (
        "ab" * 16,
        State.RECEIVING,
        3,
    )
    assert series.joinable == bytes.fromhex("cd" * 32)


async def test_its_first_instance_joins_it_under_the_same_id(stand: Stand) -> None:
    series = stand.recover(Asks(has_it=False), standing(delivered=("tps",)))
    assert stand.assembler.awaited(made.instance(patient="SOMEBODY-ELSE")) is None
    taken = stand.assembler.open(FIRST, FACTS)
    assert taken is series
    assert taken.passage.delivered_to == ("tps",)
    assert taken.key.series == FIRST.series_instance_uid
    assert stand.assembler.find(made.instance(1)) is series


async def test_one_that_everybody_has_is_only_ended_and_deleted(stand: Stand) -> None:
    asks = Asks()
    series = stand.recover(asks, standing(delivered=("tps", "archive")))
    await asyncio.sleep(0.05)
    assert series.passage.state is State.RESTORED
    assert stand.deleted == [series]
    assert not asks.moved


async def test_one_that_has_ended_is_only_deleted_and_not_shown(stand: Stand) -> None:
    asks = Asks()
    ended = standing(delivered=("tps", "archive"))
    ended.state = State.DELIVERED
    other = standing(committed=False)
    stand.recover(asks, other, ended)
    await asks.retrieved.wait()  # the same series, opened again, is brought back all the same
    assert [series.before for series in stand.conducted] == [other]
    assert [series.before for series in stand.deleted] == [ended]


async def test_a_pacs_that_knows_no_move_is_asked_by_get(stand: Stand) -> None:
    asks = Asks(refuses_move=True)
    stand.recover(asks, standing())
    await asks.retrieved.wait()
    assert asks.got == [(FIRST.study_instance_uid, FIRST.series_instance_uid)]


async def test_a_pacs_that_is_down_is_asked_again(stand: Stand) -> None:
    asks = Asks()
    asks.fails = 3
    series = stand.recover(asks, standing())
    await asks.retrieved.wait()
    assert series.lack is None


@pytest.mark.parametrize(("asks", "queried"), [(Asks(has_it=False), True), (Asks(), False)])
async def test_what_nobody_can_return_is_to_be_sent_again(stand: Stand, asks: Asks, queried: bool) -> None:
    series = stand.recover(asks, standing(), queried=queried)
    await asyncio.sleep(0.05)
    assert series.lack is not None
    assert (series.lack.code, series.lack.facts) == ("SEND_AGAIN", {"slices": 3})


async def test_a_source_that_can_be_asked_only_now_is_asked_at_once(stand: Stand) -> None:
    asks = Asks()
    series = stand.recover(asks, standing(), queried=False)
    await asyncio.sleep(0)
    assert series.lack is not None
    query = Query(ae_title="PACS", host="127.0.0.1", port=104)
    changed: Any = SimpleNamespace(sources=(SimpleNamespace(ae_title="PACS", query=query),))
    assert stand.recovery is not None
    stand.recovery.update(changed)
    await asks.retrieved.wait()
    assert asks.moved == [(FIRST.study_instance_uid, FIRST.series_instance_uid)]


async def test_a_pacs_that_stays_down_has_a_person_asked(stand: Stand) -> None:
    asks = Asks()
    asks.fails = 1000
    series = stand.recover(asks, standing())
    await asyncio.sleep(0.6)
    assert series.lack is not None


async def test_a_passage_without_its_beginning_is_shown_too(stand: Stand) -> None:
    series = stand.recover(Asks(), OpenPassage("ab" * 16, State.SEALED, NOW))
    assert series.passage.source == "unknown"
    assert series.lack is not None


async def test_the_source_says_how_many_and_is_left_alone_when_it_does_not_answer(stand: Stand) -> None:
    asks = Asks()
    series = stand.recover(asks, standing())
    assert stand.recovery is not None
    assert await stand.recovery.announced(series) == 3
    asks.fails = 1
    assert await stand.recovery.announced(series) is None
    asks.fails = 0
    assert await stand.recovery.announced(series) is None  # not asked again so soon
