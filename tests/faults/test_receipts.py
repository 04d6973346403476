"""Every deletion receipt is verified and recorded, and a missing one raises an alarm, restarts or not (faults 50, 51).

The contourer is the real one; a relay with its TLS key withholds or forges what it says of deletions. The clerk is a
real process. Only the hours are made: by a clock that the test sets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import config
from gateway.clerk.lines import scan
from gateway.clerk.link import ClerkLink
from gateway.clerk.records import Committed, Deleted, PassageOpened, StateChanged
from gateway.clerk.standing import OpenPassage
from gateway.cloud.receipts import Deletions
from gateway.cloud.sealed import SealedContourer
from gateway.dicom.encode import element
from gateway.errors import ContourerRefused
from gateway.flow import ending as ending_module
from gateway.flow.alarm import Alarm
from gateway.flow.assemble import Assembler
from gateway.flow.concerns import Concerns
from gateway.flow.ending import Ending
from gateway.flow.receipts import Receipts
from gateway.flow.recover import Patience, Recovery
from gateway.metrics import Metrics
from gateway.passage import State
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms
from tests.contourer_stand import KEYS, PASSAGE, Stand, contourer, made_payload, order
from tests.faults.clerk_process import ClerkProcess
from tests.peers.test_alarm import webhook
from tests.relay import Asked, Lie, Reply, honest, relay

HOUR_S = 3600
SLICES = 3
Answer = Callable[[], Awaitable[Reply]]


async def silent(asked: Asked, answer: Answer) -> Reply:
    """Never a word about deletions."""
    return Reply(403, b"{}") if asked.method == "DELETE" else await answer()


async def down(asked: Asked, answer: Answer) -> Reply:
    return Reply(503) if asked.method == "DELETE" else await answer()


async def forging(asked: Asked, answer: Answer) -> Reply:
    """Deletes, and signs nothing that verifies."""
    reply = await answer()
    if asked.method != "DELETE":
        return reply
    said = json.loads(reply.body)
    return Reply(200, json.dumps({**said, "statement": said["statement"].replace("3", "4")}).encode())


def series_of(exchange: Any) -> Any:
    """As much of a series as its deletion asks for."""
    return SimpleNamespace(exchange=exchange, passage=SimpleNamespace(id=PASSAGE))


@dataclass
class Life:
    """One life of the vault, as far as receipts go."""

    link: ClerkLink
    before: list[OpenPassage]
    receipts: Receipts
    concerns: Concerns
    ending: Ending
    contourer: SealedContourer
    group: asyncio.TaskGroup
    metrics: Metrics
    hours: list[float]
    recovery: Recovery | None = None

    async def commit(self) -> Any:
        """Bring a passage to its commit; returns it as a series."""
        exchange = await self.contourer.begin(order())
        for index in range(SLICES):
            await exchange.add(index, made_payload(index))
        at = datetime.now(UTC)
        await self.link.write(
            PassageOpened(
                at=at, passage=PASSAGE, source="CTSIM", called="GATE", modality="CT",
                study="1" * 64, series="2" * 64,
            )
        )  # fmt: skip
        await self.link.write(
            Committed(
                at=at, passage=PASSAGE, manifest=exchange.seal().hex(), slices=SLICES, model="pelvis",
                profile="contouring-ct",
            )
        )  # fmt: skip
        self.receipts.committed(PASSAGE)
        await exchange.commit()
        await exchange.result()
        return series_of(exchange)

    async def deliver(self) -> None:
        await self.link.write(StateChanged(at=datetime.now(UTC), passage=PASSAGE, state=State.DELIVERED))

    def after(self, hours: float) -> None:
        self.hours[0] += hours
        self.receipts.look()

    @property
    def alarms(self) -> list[tuple[str, str]]:
        return [(concern.error.code, concern.about) for concern in self.concerns.standing]

    def recover(self) -> None:
        """What `gateway.flow.recover` does with what an earlier life left open."""
        unused: Any = None
        assembler = Assembler(unused, unused, unused, 10)
        key = ClinicKey(bytes(range(32)))
        recovery = Recovery(
            {}, unused, assembler, lambda kind, value: b"", Alarm(config.Alarm()), unused, self.contourer,
            nobody=lambda: Pseudonyms(key, b"nobody"), conduct=lambda series: None,
            changed=lambda series: None, delete=self.ending.delete, ae_title="GATE", group=self.group,
            patience=Patience(first_s=0.05, longest_s=0.2),
        )  # fmt: skip
        recovery.take_up(self.before)
        self.recovery = recovery


@contextlib.asynccontextmanager
async def living(
    clerk: ClerkProcess, stand: Stand, lie: Lie = honest, url: str | None = None
) -> AsyncIterator[Life]:
    async with (
        relay(stand, lie) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
        clerk.link() as link,
        asyncio.TaskGroup() as group,
    ):
        unused: Any = None
        metrics, hours = Metrics(), [0.0]
        alarm = Alarm(config.Alarm(webhook_url=url, repeat_s=1000), pauses_s=())
        concerns = Concerns(alarm, metrics, group)
        receipts = Receipts(link, Deletions(clock=lambda: HOUR_S * hours[0]), concerns, metrics)
        sweep: Any = SimpleNamespace(stop=lambda: None)
        ending = Ending(0, unused, unused, unused, unused, receipts, unused, sweep, group)
        before = list(await link.open_passages())
        receipts.take_up(before)
        life = Life(link, before, receipts, concerns, ending, gateway, group, metrics, hours)
        yield life
        if life.recovery is not None:
            life.recovery.stop()
        ending.stop()
        concerns.stop()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending_module, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(ending_module, "LAST_RETRY_S", 0.2)


@pytest.fixture
def clerk(tmp_path: Path) -> Any:
    process = ClerkProcess(tmp_path)
    process.start()
    yield process
    process.kill()
    process.vault_end.close()
    process.clerk_end.close()


async def until(found: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


def deleted(clerk: ClerkProcess) -> list[Deleted]:
    """The receipts in the ledger."""
    lines = scan((clerk.folder / "ledger").read_bytes()).lines
    records = [json.loads(line.text)["record"] for line in lines]
    return [
        Deleted.model_validate_json(json.dumps(record)) for record in records if record["kind"] == "deleted"
    ]


async def test_a_receipt_is_recorded_so_that_anyone_can_check_it(clerk: ClerkProcess) -> None:
    """The control of all below: an honest contourer raises no alarm."""
    async with contourer() as stand, living(clerk, stand) as life:
        life.ending.delete_soon(await life.commit())
        await until(lambda: deleted(clerk), "the receipt's record")
        life.after(hours=25)
        assert life.alarms == []
        await life.deliver()
    (record,) = deleted(clerk)
    assert (record.cause, record.parts, record.region, record.is_in_time) == ("asked", SLICES, "DE", True)
    public = KEYS.signing.public_key()
    public.verify(bytes.fromhex(record.signature or ""), record.statement())
    assert clerk.folder.joinpath("journal").stat().st_size
    async with contourer() as stand, living(clerk, stand) as next_life:
        assert next_life.before == []  # nothing is owed


@pytest.mark.parametrize("lie", [silent, down, forging])
async def test_a_receipt_that_never_comes_is_an_alarm_after_24_hours_and_not_before(
    clerk: ClerkProcess, lie: Lie
) -> None:
    with webhook() as (url, told):
        async with contourer() as stand, living(clerk, stand, lie, url) as life:
            life.ending.delete_soon(await life.commit())
            await life.deliver()
            life.after(hours=23.9)
            assert life.alarms == []
            life.after(hours=0.2)
            assert life.alarms == [("RECEIPT_MISSING", PASSAGE)]
            assert (
                life.metrics.registry.get_sample_value("contourgate_alarms", {"code": "RECEIPT_MISSING"}) == 1
            )
            await until(lambda: told, "the alarm system's message")
    assert (told[0]["code"], told[0]["about"]) == ("RECEIPT_MISSING", PASSAGE)
    assert deleted(clerk) == []


async def test_the_alarm_survives_a_restart_and_ends_with_the_receipt(clerk: ClerkProcess) -> None:
    async with contourer() as stand:
        async with living(clerk, stand, down) as life:
            life.ending.delete_soon(await life.commit())
            await life.deliver()
        async with living(clerk, stand, down) as life:
            (left,) = life.before
            assert left.has_ended
            assert left.is_owed_a_receipt
            life.recover()
            assert life.alarms == []
            life.after(hours=24.1)
            assert life.alarms == [("RECEIPT_MISSING", PASSAGE)]
        async with living(clerk, stand) as life:
            life.after(hours=24.1)  # before it is asked
            assert life.alarms == [("RECEIPT_MISSING", PASSAGE)]
            life.recover()
            await until(lambda: life.alarms == [], "the end of the alarm")
            await until(lambda: deleted(clerk), "the receipt's record")
        assert stand.events("deleted")
        async with living(clerk, stand) as life:
            assert life.before == []


async def test_what_was_owed_for_a_day_already_is_an_alarm_at_the_start(clerk: ClerkProcess) -> None:
    async with contourer() as stand, living(clerk, stand) as life:
        at = datetime.now(UTC) - timedelta(hours=25)
        await life.link.write(StateChanged(at=at, passage=PASSAGE, state=State.SEALED))
        await life.link.write(
            Committed(at=at, passage=PASSAGE, manifest="3" * 64, slices=3, model="pelvis", profile="contouring-ct")
        )  # fmt: skip
    async with contourer() as stand, living(clerk, stand) as life:
        assert life.alarms == [("RECEIPT_MISSING", PASSAGE)]


async def test_a_contourer_that_never_answers_keeps_no_slice_in_memory_and_stops_nobody(
    clerk: ClerkProcess,
) -> None:
    async with contourer() as stand, asyncio.timeout(20), living(clerk, stand, down) as life:
        series = await life.commit()
        exchange = series.exchange
        assert exchange._payloads
        life.ending.delete_soon(series)
        await until(lambda: not exchange._payloads, "the slices' end")
    # leaving `living` stopped the asking: a task that goes on would have hung there


async def test_a_contourer_that_found_identifiers_is_an_alarm_with_its_receipt(clerk: ClerkProcess) -> None:
    """Fault 50: the receipt says why it deleted."""
    named = {0x00100010: element(0x00100010, b"PN", b"INVENTED^NAME")}
    async with contourer() as stand, living(clerk, stand) as life:
        exchange = await life.contourer.begin(order())
        await exchange.add(0, made_payload(0, changes=named))
        life.receipts.committed(PASSAGE)
        await exchange.commit()
        with pytest.raises(ContourerRefused) as refused:
            await exchange.result()
        assert refused.value.code == "CONTOURER_FOUND_IDENTIFIERS"
        life.ending.delete_soon(series_of(exchange))
        await until(lambda: life.alarms, "the alarm")
        assert life.alarms == [("CONTOURER_FOUND_IDENTIFIERS", PASSAGE)]
        await until(lambda: deleted(clerk), "the receipt's record")
        life.receipts.ended(PASSAGE)
        assert life.alarms == []
    (record,) = deleted(clerk)
    assert record.cause == "identifiers_found"
    assert "INVENTED" not in (clerk.folder / "ledger").read_text()
