"""A contourer that lies: swapped, replayed, altered and forged results and receipts (faults rows 48 to 51; R32)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Awaitable, Callable

import pytest

from gateway.cloud.envelope import RecipientKey, seal_result
from gateway.cloud.protocol import content_digest
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.statements import signed_statement
from gateway.contourer.identity import ContourerKeys
from gateway.errors import ContourerRefused
from tests.contourer_stand import (
    KEYS,
    OTHER,
    PASSAGE,
    contourer,
    expected_result,
    made_payload,
    order,
    reply_seed,
)
from tests.relay import Asked, Lie, Reply, honest, relay

Answer = Callable[[], Awaitable[Reply]]


def about_results(change: Callable[[Reply], Reply]) -> Lie:
    """A lie about every finished result."""

    async def lie(asked: Asked, answer: Answer) -> Reply:
        reply = await answer()
        return change(reply) if asked.path.endswith("/result") and reply.status == 200 else reply

    return lie


def flipped(body: bytes, at: int = 100) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def with_body(reply: Reply, body: bytes) -> Reply:
    """Another body, under a Content-Digest that fits it."""
    return dataclasses.replace(
        reply, body=body, headers={**reply.headers, "Content-Digest": content_digest(body)}
    )


def signed_by(keys: ContourerKeys, reply: Reply, body: bytes, **changes: object) -> Reply:
    """Another body, with a statement about it."""
    said = json.loads(base64.b64decode(reply.headers["Contourgate-Statement"]))
    said |= {"result_sha256": hashlib.sha256(body).hexdigest(), **changes}
    statement, signature = signed_statement(keys.signing, said)
    reply = with_body(reply, body)
    return dataclasses.replace(
        reply,
        headers={
            **reply.headers,
            "Contourgate-Statement": base64.b64encode(statement).decode(),
            "Contourgate-Signature": base64.b64encode(signature).decode(),
        },
    )


def forged(reply: Reply) -> bytes:
    """A structure set of the liar's, sealed correctly to the passage: the reply key is public to it."""
    said = json.loads(base64.b64decode(reply.headers["Contourgate-Statement"]))
    public = RecipientKey(reply_seed(PASSAGE)).public
    return seal_result(b"FORGED", public, PASSAGE, bytes.fromhex(said["manifest_sha256"]))


def without(reply: Reply, name: str) -> Reply:
    kept = {header: value for header, value in reply.headers.items() if header != name}
    return dataclasses.replace(reply, headers=kept)


STRANGER = ContourerKeys.generate("DE")


async def result_through(lie: Lie) -> bytes:
    async with (
        contourer() as stand,
        relay(stand, lie) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        return await exchange.result()


async def test_an_honest_relay_changes_nothing() -> None:
    """The control of every lie below."""
    assert await result_through(honest) == expected_result(1)
    assert await result_through(about_results(lambda reply: with_body(reply, reply.body))) == expected_result(
        1
    )
    assert await result_through(about_results(lambda r: signed_by(KEYS, r, r.body))) == expected_result(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: with_body(r, flipped(r.body)),
        lambda r: with_body(r, r.body[:-1]),
        lambda r: with_body(r, r.body + b"x"),
        lambda r: with_body(r, b""),
        lambda r: with_body(r, b"RTSTRUCT in the clear"),
        lambda r: with_body(r, forged(r)),
        lambda r: signed_by(STRANGER, r, forged(r)),
        lambda r: signed_by(STRANGER, r, r.body),
        lambda r: signed_by(KEYS, r, flipped(r.body)),
        lambda r: signed_by(KEYS, r, r.body, passage=OTHER),
        lambda r: signed_by(KEYS, r, r.body, manifest_sha256="00" * 32),
        lambda r: signed_by(KEYS, r, r.body, kind="deletion"),
        lambda r: signed_by(KEYS, r, r.body, result_sha256="00" * 32),
        lambda r: without(r, "Contourgate-Signature"),
        lambda r: without(r, "Contourgate-Statement"),
        lambda r: dataclasses.replace(r, headers={**r.headers, "Contourgate-Signature": "not base64!"}),
        lambda r: dataclasses.replace(r, body=flipped(r.body)),
        lambda r: without(r, "Content-Digest"),
    ],
    ids=[
        "flipped bit",
        "cut",
        "longer",
        "empty",
        "not sealed",
        "forged without a signature",
        "forged under another signature",
        "another signature",
        "flipped and signed",
        "another passage's statement",
        "another manifest's statement",
        "another kind of statement",
        "another result's statement",
        "no signature",
        "no statement",
        "signature is not base64",
        "always damaged on the way",
        "no digest",
    ],
)
async def test_an_altered_or_forged_result_is_refused(change: Callable[[Reply], Reply]) -> None:
    with pytest.raises(ContourerRefused) as refused:
        await result_through(about_results(change))
    assert refused.value.code == "RESULT_UNSEALABLE"


async def test_a_result_that_was_damaged_once_is_fetched_again() -> None:
    """Faults row 48."""
    damages = iter([True, True])

    def damage(reply: Reply) -> Reply:
        return dataclasses.replace(reply, body=flipped(reply.body)) if next(damages, False) else reply

    assert await result_through(about_results(damage)) == expected_result(1)


async def two_passages(gateway: SealedContourer) -> list[bytes]:
    exchanges = [await gateway.begin(order(passage)) for passage in (PASSAGE, OTHER)]
    for number, exchange in enumerate(exchanges):
        await exchange.add(0, made_payload(number))
        await exchange.commit()
    return [await exchange.result() for exchange in exchanges]


async def test_two_patients_results_cannot_be_swapped() -> None:
    """Faults row 49."""
    kept: list[Reply] = []

    async def swap(asked: Asked, answer: Answer) -> Reply:
        if not asked.path.endswith("/result"):
            return await answer()
        if asked.path.endswith(f"{PASSAGE}/result"):
            reply = await answer()
            if reply.status == 200:
                kept.append(reply)
            return reply
        return kept[0]

    async with (
        contourer() as stand,
        relay(stand, swap) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        with pytest.raises(ContourerRefused) as refused:
            await two_passages(gateway)
        assert refused.value.code == "RESULT_UNSEALABLE"
        between.lie = honest
        for passage in (PASSAGE, OTHER):
            await (await gateway.begin(order(passage))).delete()
        assert len(set(await two_passages(gateway))) == 2, "the control"


async def test_the_result_of_an_earlier_series_under_the_same_passage_is_refused() -> None:
    """A replay: the passage is the same, what was committed is not."""
    first: list[Reply] = []

    async def replay(asked: Asked, answer: Answer) -> Reply:
        reply = await answer()
        if asked.path.endswith("/result") and reply.status == 200:
            first.append(reply)
            return first[0]
        return reply

    async with (
        contourer() as stand,
        relay(stand, replay) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        assert await exchange.result() == expected_result(1)
        await exchange.delete()
        again = await gateway.begin(order())
        await again.add(0, made_payload(1))
        await again.commit()
        with pytest.raises(ContourerRefused) as refused:
            await again.result()
    assert refused.value.code == "RESULT_UNSEALABLE"


def receipt_body(keys: ContourerKeys, asked: Asked, **changes: object) -> bytes:
    said = {
        "kind": "deletion",
        "passage": PASSAGE,
        "cause": "asked",
        "deleted_at": "2026-01-02T03:04:05.678Z",
        "parts": 1,
        "manifest_sha256": "",
        "region": "DE",
        "challenge": asked.query["challenge"],
    }
    statement, signature = signed_statement(keys.signing, {**said, **changes})
    return json.dumps({"statement": statement.decode(), "signature": signature.hex()}).encode()


async def receipt_through(change: Callable[[Asked, Reply], bytes]) -> int:
    """The parts of a second receipt; the first one is honest, so that it may be replayed."""

    async def lie(asked: Asked, answer: Answer) -> Reply:
        reply = await answer()
        if asked.method != "DELETE":
            return reply
        replies.append(reply)
        return Reply(200, change(asked, replies[0])) if len(replies) > 1 else reply

    replies: list[Reply] = []
    async with (
        contourer() as stand,
        relay(stand, lie) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        await (await gateway.begin(order(OTHER))).delete()
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        return (await exchange.delete()).parts


async def test_an_honest_receipt_is_taken() -> None:
    """The control of every receipt below."""
    assert await receipt_through(lambda asked, first: receipt_body(KEYS, asked)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda asked, first: first.body,
        lambda asked, first: receipt_body(STRANGER, asked),
        lambda asked, first: receipt_body(KEYS, asked, challenge="00" * 16),
        lambda asked, first: receipt_body(KEYS, asked, passage=OTHER),
        lambda asked, first: receipt_body(KEYS, asked, region="US"),
        lambda asked, first: receipt_body(KEYS, asked, manifest_sha256="00" * 32),
        lambda asked, first: receipt_body(KEYS, asked).replace(b'\\"parts\\":1', b'\\"parts\\":9'),
        lambda asked, first: b"{}",
        lambda asked, first: b"deleted, trust me",
    ],
    ids=[
        "replayed",
        "another signature",
        "for another question",
        "of another passage",
        "of another region",
        "of another manifest",
        "edited",
        "empty",
        "no receipt",
    ],
)
async def test_a_replayed_or_forged_receipt_is_refused(change: Callable[[Asked, Reply], bytes]) -> None:
    """Faults rows 49 and 51: no receipt is no deletion."""
    with pytest.raises(ContourerRefused) as refused:
        await receipt_through(change)
    assert refused.value.code == "RECEIPT_INVALID"


@pytest.mark.parametrize("forge", ["region", "challenge", "signature"])
async def test_a_contourer_that_lies_about_itself_gets_nothing(forge: str) -> None:
    """R17: the region is attested under the pinned key, for a question of ours."""

    async def lie(asked: Asked, answer: Answer) -> Reply:
        reply = await answer()
        if asked.path != "/v1/contourer":
            return reply
        told = json.loads(reply.body)
        said = json.loads(told["statement"])
        if forge == "region":
            said["region"] = "US"
        if forge == "challenge":
            said["challenge"] = "00" * 16
        statement, signature = signed_statement(
            STRANGER.signing if forge == "signature" else KEYS.signing, said
        )
        return Reply(
            200, json.dumps({"statement": statement.decode(), "signature": signature.hex()}).encode()
        )

    async with (
        contourer() as stand,
        relay(stand, lie) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        with pytest.raises(ContourerRefused) as refused:
            await gateway.begin(order())
        assert refused.value.code == ("CONTOURER_REGION" if forge == "region" else "CONTOURER_UNTRUSTED")
    assert [asked.path for asked in between.asked] == ["/v1/contourer"]


async def test_a_contourer_that_says_it_found_identifiers_stops_the_passage() -> None:
    """Faults row 50, from the gateway's side: it does not matter whether it is true."""

    async def accuse(asked: Asked, answer: Answer) -> Reply:
        if asked.path.endswith("/result"):
            return Reply(422, b'{"code": "identifiers_found", "hint": "", "detail": "Invented^Person"}')
        return await answer()

    with pytest.raises(ContourerRefused) as refused:
        await result_through(accuse)
    assert refused.value.code == "CONTOURER_FOUND_IDENTIFIERS"
    assert "Invented" not in str(refused.value)


async def test_hostile_words_of_a_contourer_reach_no_error() -> None:
    """Faults row 39."""
    hostile = json.dumps({"code": "<script>", "hint": "%n{{7*7}}$(id)", "detail": "\u202e\r\nX"}).encode()

    async def lie(asked: Asked, answer: Answer) -> Reply:
        return Reply(422, hostile) if asked.path.endswith("/result") else await answer()

    with pytest.raises(ContourerRefused) as refused:
        await result_through(lie)
    assert refused.value.code == "CONTOURER_REFUSED"
    assert not [
        part for part in ("script", "7*7", "$(id)", "%n", "\u202e", "\n") if part in str(refused.value)
    ]
