"""The way to the contourer is spoiled: backoff, resume, one contouring only (faults rows 47, 48 and 52)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.cloud.exchange import SealedExchange
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.tls import Certificate
from gateway.errors import ContourerRefused, ContourerUnavailable
from tests.contourer_stand import (
    KEYS,
    OTHER,
    PASSAGE,
    QUICK,
    Stand,
    contourer,
    expected_result,
    made_payload,
    order,
)
from tests.relay import Asked, Lie, Reply, relay
from tests.toxics import ToxicProxy, Toxics, toxic_proxy

SLICES = 8
Answer = Callable[[], Awaitable[Reply]]


@contextlib.asynccontextmanager
async def spoiled(
    toxics: Toxics | None = None, give_up_s: float = QUICK.give_up_s
) -> AsyncIterator[tuple[Stand, ToxicProxy, SealedContourer]]:
    """A contourer, a toxic proxy in front of it, and a gateway that goes through it."""
    async with contourer() as stand, toxic_proxy("127.0.0.1", stand.port) as proxy:
        proxy.toxics = toxics or Toxics()
        url, patience = f"https://127.0.0.1:{proxy.port}", replace(QUICK, give_up_s=give_up_s)
        async with stand.gateway(url=url, patience=patience) as gateway:
            yield stand, proxy, gateway


async def uploaded(
    gateway: SealedContourer, passage_id: str = PASSAGE, side: int = 16, model: str = "echo"
) -> SealedExchange:
    exchange = await gateway.begin(order(passage_id, model))
    await asyncio.gather(*(exchange.add(index, made_payload(index, side)) for index in range(SLICES)))
    return exchange


async def contoured(gateway: SealedContourer, passage_id: str = PASSAGE, side: int = 16) -> bytes:
    exchange = await uploaded(gateway, passage_id, side)
    await exchange.commit()
    result = await exchange.result()
    await exchange.delete()
    return result


def contoured_once(stand: Stand) -> bool:
    return len(stand.events("contoured")) == len(stand.events("committed")) == 1


async def test_a_sound_way_needs_no_second_try() -> None:
    """The control of everything below."""
    async with spoiled() as (stand, proxy, gateway):
        assert await contoured(gateway) == expected_result(SLICES)
        assert contoured_once(stand)
        assert not stand.failures()
        assert b"P-7K3M9QXD" not in proxy.upstream


@pytest.mark.parametrize(
    "toxics",
    [
        Toxics(latency_s=0.02),
        Toxics(bytes_per_s=200_000),
        Toxics(reset_after=1500, times=6),
        Toxics(reset_after=9000, times=3),
        Toxics(corrupt_after=6000, times=3),
        Toxics(corrupt_after=2500, corrupt_downstream=True, times=3),
        Toxics(corrupt_after=200, times=2),
    ],
    ids=[
        "latency",
        "slow",
        "reset in the handshake",
        "reset in an upload",
        "flipped bit in an upload",
        "flipped bit in an answer",
        "flipped bit in the handshake",
    ],
)
async def test_a_spoiled_way_is_gone_again_until_everything_is_there(toxics: Toxics) -> None:
    planned = toxics.times
    async with spoiled(replace(toxics)) as (stand, proxy, gateway):
        assert await contoured(gateway, side=128) == expected_result(SLICES, 128)
        assert contoured_once(stand)
        if planned is None:
            assert not stand.failures(), "what is only slow was taken for an error"
        else:
            assert proxy.toxics.times != planned, "the toxic did nothing"


async def test_another_passage_beside_it_does_not_notice() -> None:
    async with spoiled(Toxics(black_hole=True)) as (stand, proxy, gateway), stand.gateway() as neighbour:
        stuck = asyncio.create_task(contoured(gateway))
        assert await contoured(neighbour, OTHER) == expected_result(SLICES)
        assert not stuck.done()
        proxy.toxics = Toxics()
        proxy.cut()
        assert await stuck == expected_result(SLICES)


@pytest.mark.parametrize(
    "toxics", [Toxics(black_hole=True), Toxics(refuse=True)], ids=["black hole", "refused"]
)
async def test_a_dead_way_is_unavailable_after_our_patience_and_not_before(toxics: Toxics) -> None:
    async with spoiled(toxics) as (stand, _, gateway):
        began = time.monotonic()
        with pytest.raises(ContourerUnavailable) as unavailable:
            await gateway.begin(order())
        assert unavailable.value.code == "CONTOURER_UNREACHABLE"
        assert 2 < time.monotonic() - began < QUICK.give_up_s + QUICK.request_s + 1
        assert stand.events("announced") == []


async def test_a_way_that_dies_and_comes_back_goes_on_where_it_was() -> None:
    async with spoiled() as (stand, proxy, gateway):
        exchange = await uploaded(gateway)
        proxy.toxics = Toxics(black_hole=True)
        committing = asyncio.create_task(exchange.commit())
        await asyncio.sleep(0.5)
        proxy.toxics = Toxics()
        proxy.cut()
        await committing
        proxy.toxics = Toxics(refuse=True)
        proxy.cut()
        waiting = asyncio.create_task(exchange.result())
        await asyncio.sleep(0.5)
        proxy.toxics = Toxics()
        assert await waiting == expected_result(SLICES)
        assert contoured_once(stand)


async def test_a_connection_that_a_firewall_forgot_is_replaced() -> None:
    async with spoiled() as (stand, proxy, gateway):
        exchange = await uploaded(gateway)
        proxy.toxics = Toxics(half_open=True)
        committing = asyncio.create_task(exchange.commit())
        await asyncio.sleep(0.3)
        proxy.toxics = Toxics()
        await committing
        assert await exchange.result() == expected_result(SLICES)
        assert contoured_once(stand)


async def test_slices_whose_upload_failed_are_uploaded_at_the_commit() -> None:
    async with spoiled(give_up_s=0.5) as (stand, proxy, gateway):
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        proxy.toxics = Toxics(refuse=True)
        proxy.cut()
        failed = await asyncio.gather(
            *(exchange.add(index, made_payload(index)) for index in range(1, SLICES)), return_exceptions=True
        )
        assert all(isinstance(error, ContourerUnavailable) for error in failed)
        proxy.toxics = Toxics()
        await exchange.commit()
        assert await exchange.result() == expected_result(SLICES)
        assert contoured_once(stand)


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    """Row 47: DNS gone."""
    async with contourer() as stand:
        hasty = replace(QUICK, give_up_s=0.3)
        async with stand.gateway(url="https://contourer.invalid:8443", patience=hasty) as gateway:
            with pytest.raises(ContourerUnavailable, match="no address"):
                await gateway.begin(order())


@contextlib.asynccontextmanager
async def answered(lie: Lie) -> AsyncIterator[tuple[Stand, SealedContourer]]:
    async with (
        contourer() as stand,
        relay(stand, lie) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        yield stand, gateway


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (429, b'{"code": "busy"}', {"Retry-After": "0"}),
        (429, b"", {}),
        (500, b"oops", {}),
        (502, b"<html>a proxy's page</html>", {}),
        (503, b"", {"Retry-After": "soon"}),
        (504, b"", {}),
        (408, b"", {}),
    ],
)
async def test_every_request_survives_an_answer_that_passes(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """The first try of each request fails before it reaches the contourer; of every third one, after it."""
    seen: dict[tuple[str, str], int] = {}

    async def lie(asked: Asked, answer: Answer) -> Reply:
        count = seen[asked.method, asked.path] = seen.get((asked.method, asked.path), 0) + 1
        if count == 1:
            if len(seen) % 3 == 0:
                await answer()
            return Reply(status, body, headers)
        return await answer()

    async with answered(lie) as (stand, gateway):
        assert await contoured(gateway) == expected_result(SLICES)
        assert contoured_once(stand)
        assert len(seen) == SLICES + 5


async def test_retry_after_is_waited_for() -> None:
    asked_at: list[float] = []

    async def lie(asked: Asked, answer: Answer) -> Reply:
        if asked.path.endswith("/commit"):
            asked_at.append(time.monotonic())
            if len(asked_at) == 1:
                return Reply(429, b"", {"Retry-After": "1"})
        return await answer()

    async with answered(lie) as (_, gateway):
        await contoured(gateway)
    assert asked_at[1] - asked_at[0] >= 1.0


async def test_retries_back_off() -> None:
    tries: list[float] = []

    async def lie(asked: Asked, answer: Answer) -> Reply:
        tries.append(time.monotonic())
        return Reply(503)

    async with answered(lie) as (_, gateway):
        with pytest.raises(ContourerUnavailable) as unavailable:
            await gateway.begin(order())
    assert unavailable.value.code == "CONTOURER_BUSY"
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses[0] < 0.1 < QUICK.longest_pause_s <= max(pauses)
    assert len(tries) < QUICK.give_up_s / QUICK.longest_pause_s + 8


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405])
async def test_what_cannot_pass_is_refused_at_once(status: int) -> None:
    tries: list[str] = []

    async def lie(asked: Asked, answer: Answer) -> Reply:
        tries.append(asked.path)
        return Reply(status, b"<html>", {"Location": "https://elsewhere.example/"})

    async with answered(lie) as (_, gateway):
        with pytest.raises(ContourerRefused):
            await gateway.begin(order())
    assert len(tries) == 1


async def test_an_upload_that_arrives_damaged_is_sent_again() -> None:
    """Row 48: damage beyond TLS, at whatever ends it."""
    damaged: list[str] = []

    async def lie(asked: Asked, answer: Answer) -> Reply:
        if "/parts/" in asked.path and asked.path not in damaged:
            damaged.append(asked.path)
            return Reply(422, b'{"code": "digest_mismatch", "hint": ""}')
        return await answer()

    async with answered(lie) as (stand, gateway):
        assert await contoured(gateway) == expected_result(SLICES)
        assert contoured_once(stand)
    assert len(damaged) == SLICES


async def test_a_proxy_that_breaks_tls_open_gets_nothing() -> None:
    """Row 47: a proxy in between, with a certificate of its own."""
    async with contourer() as stand:
        opener = replace(stand, keys=replace(KEYS, certificate=Certificate.self_signed("proxy")))
        async with relay(opener) as between, stand.gateway(url=between.endpoint.url) as gateway:
            with pytest.raises(ContourerRefused) as refused:
                await gateway.begin(order())
            assert refused.value.code == "CONTOURER_UNTRUSTED"
            assert between.asked == []


@pytest.mark.parametrize("moment", ["before the commit", "after the commit", "during the wait"])
async def test_a_contourer_that_forgot_everything_gets_it_again(moment: str) -> None:
    """It keeps nothing on a disk: after a restart with the same keys the passage goes on by itself."""
    async with contextlib.AsyncExitStack() as later:
        async with contourer() as first:
            gateway = await later.enter_async_context(first.gateway(patience=replace(QUICK, give_up_s=10)))
            exchange = await uploaded(gateway, model="slow")
            if moment != "before the commit":
                await exchange.commit()
            waiting = asyncio.create_task(exchange.result()) if moment == "during the wait" else None
            await asyncio.sleep(0.2)
        second = await later.enter_async_context(contourer(port=first.port))
        if waiting is None:
            await exchange.commit()
        result = await (waiting or exchange.result())
        assert result == expected_result(SLICES)
        assert (await exchange.delete()).parts == SLICES
        assert contoured_once(second)
        assert first.events("contoured") == []


async def test_a_contourer_that_never_answers_is_left_at_the_deadline_and_cleaned_up() -> None:
    """Row 52: the deadline is the caller's; the exchange stays usable."""
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await uploaded(gateway, model="hang")
        await exchange.commit()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await exchange.result()
        assert (await exchange.delete()).parts == SLICES
        await exchange.close()
        assert await contoured(gateway, OTHER) == expected_result(SLICES)
