"""The sealed client against a running contourer, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import ssl

import aiohttp
import pytest

from gateway.cloud.protocol import content_digest
from gateway.cloud.tls import Certificate, client_context
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.retention import Caps
from gateway.dicom.encode import element
from gateway.errors import ContourerRefused, ContourerUnavailable
from tests.contourer_stand import (
    CLIENT,
    KEYS,
    OTHER,
    PASSAGE,
    QUICK,
    contourer,
    expected_result,
    made_payload,
    order,
)


async def test_a_series_goes_out_and_its_structure_set_comes_back() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        sent = await asyncio.gather(*(exchange.add(index, made_payload(index)) for index in range(12)))
        assert all(size > 0 for size in sent)
        await exchange.commit()
        await exchange.commit()
        assert await exchange.result() == expected_result(12)
        receipt = await exchange.delete()
        assert receipt.parts == 12
        await exchange.close()
        await exchange.close()
    assert [record["event"] for record in stand.records] == [
        "announced",
        "committed",
        "contoured",
        "deleted",
        "stopped",
    ]


async def test_the_same_slice_again_is_uploaded_once() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        assert await exchange.result() == expected_result(1)


async def test_another_slice_under_the_same_index_is_refused() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        with pytest.raises(ContourerRefused, match="part_conflict"):
            await exchange.add(0, made_payload(1))


async def test_a_gateway_that_restarted_joins_and_opens_the_result() -> None:
    async with contourer() as stand:
        async with stand.gateway() as gateway:
            exchange = await gateway.begin(order())
            await exchange.add(0, made_payload(0))
            digest = exchange.seal()
            await exchange.commit()
        async with stand.gateway() as gateway:
            joined = await gateway.join(order(), digest)
            await joined.commit()
            assert joined.seal() == digest
            assert await joined.result() == expected_result(1)
            assert (await joined.delete()).parts == 1


async def test_a_passage_that_was_lost_and_cannot_be_sent_again_is_refused() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        joined = await gateway.join(order(), bytes(32))
        with pytest.raises(ContourerRefused) as refused:
            await joined.result()
    assert refused.value.code == "CONTOURER_LOST"


async def test_a_contourer_in_another_region_gets_nothing() -> None:
    """R17."""
    async with contourer() as stand, stand.gateway(region="CH") as gateway:
        with pytest.raises(ContourerRefused) as refused:
            await gateway.begin(order())
        assert refused.value.code == "CONTOURER_REGION"
    assert stand.events("announced") == []


async def test_the_right_region_is_let_through() -> None:
    """The control of the region check."""
    async with contourer() as stand, stand.gateway(region="DE") as gateway:
        assert (await gateway.describe())["region"] == "DE"
        await gateway.begin(order())
    assert len(stand.events("announced")) == 1


@pytest.mark.parametrize("field", ["certificate_sha256", "receipt_public_key"])
async def test_a_contourer_that_is_not_the_pinned_one_gets_nothing(field: str) -> None:
    """R20."""
    other = ContourerKeys.generate("DE").public
    pinned = KEYS.public.model_copy(update={field: getattr(other, field)})
    async with contourer() as stand, stand.gateway(identity=pinned) as gateway:
        with pytest.raises(ContourerRefused) as refused:
            await gateway.begin(order())
        assert refused.value.code == "CONTOURER_UNTRUSTED"
    assert stand.events("announced") == []


async def test_a_key_sealed_to_another_contourer_is_refused() -> None:
    pinned = KEYS.public.model_copy(
        update={"hpke_public_key": ContourerKeys.generate("DE").public.hpke_public_key}
    )
    async with contourer() as stand, stand.gateway(identity=pinned) as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        with pytest.raises(ContourerRefused, match="key_unsealable"):
            await exchange.commit()
    assert stand.events("committed") == []


@pytest.mark.parametrize("certificate", [None, Certificate.self_signed("clinic")], ids=["none", "another"])
async def test_a_client_without_the_registered_certificate_is_refused(
    certificate: Certificate | None,
) -> None:
    """R20: mutual authentication."""
    hasty = dataclasses.replace(QUICK, give_up_s=0.2)
    async with contourer() as stand, stand.gateway(certificate=certificate, patience=hasty) as gateway:
        with pytest.raises(ContourerUnavailable, match="closed without an answer"):
            await gateway.begin(order())
    assert stand.events("announced") == []


async def test_clients_do_not_see_each_other() -> None:
    """Two clinics at one contourer: the other's passage does not exist."""
    rival = Certificate.self_signed("rival")
    async with (
        contourer(clients=(CLIENT.certificate, rival.certificate)) as stand,
        stand.gateway() as ours,
        stand.gateway(certificate=rival) as theirs,
    ):
        exchange = await ours.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        spying = await theirs.join(order(), exchange.seal())
        with pytest.raises(ContourerRefused) as refused:
            await spying.result()
        assert refused.value.code == "CONTOURER_LOST"
        assert (await spying.delete()).parts == 0
        assert await exchange.result() == expected_result(1)


async def test_deleting_what_the_contourer_does_not_hold_is_attested_too() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        assert (await exchange.delete()).parts == 1
        again = await exchange.delete()
        assert again.parts == 1
        unknown = await gateway.join(order(OTHER), bytes(32))
        receipt = await unknown.delete()
        assert receipt.parts == 0
        assert json.loads(receipt.statement)["cause"] == "not_held"


async def test_a_deleted_passage_may_be_begun_again() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.delete()
        await exchange.close()
        exchange = await gateway.begin(order(model="other"))
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        assert await exchange.result() == expected_result(1)


async def test_a_passage_begun_before_a_restart_and_not_committed_is_begun_again() -> None:
    async with contourer() as stand:
        for model in ("echo", "echo", "other"):
            async with stand.gateway() as gateway:
                exchange = await gateway.begin(order(model=model))
                await exchange.add(0, made_payload(0))
        async with stand.gateway() as gateway:
            exchange = await gateway.begin(order())
            await exchange.add(0, made_payload(0))
            await exchange.commit()
            assert await exchange.result() == expected_result(1)


async def test_an_unknown_model_is_refused_before_anything_is_uploaded() -> None:
    async with contourer(models=frozenset({"pelvis"})) as stand, stand.gateway() as gateway:
        assert (await gateway.describe())["models"] == "pelvis"
        with pytest.raises(ContourerRefused, match="unknown_model"):
            await gateway.begin(order(model="thorax"))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("crash", "engine_crashed"),
        ("cut", "engine_crashed"),
        ("babble", "engine_rejected"),
        ("refuse", "TOO_FEW_SLICES"),
    ],
)
async def test_an_engine_that_fails_fails_the_passage_and_nothing_else(model: str, told: str) -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        failing = await gateway.begin(order(model=model))
        await failing.add(0, made_payload(0))
        await failing.commit()
        with pytest.raises(ContourerRefused, match=told) as refused:
            await failing.result()
        assert refused.value.code == "CONTOURER_FAILED"
        sound = await gateway.begin(order(OTHER))
        await sound.add(0, made_payload(0))
        await sound.commit()
        assert await sound.result() == expected_result(1)


async def test_asking_again_after_a_failure_contours_again() -> None:
    """A held passage that a person releases goes back to waiting for its result."""
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order(model="crash"))
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        for _ in range(2):
            with pytest.raises(ContourerRefused, match="engine_crashed"):
                await exchange.result()
    assert len(stand.events("failed")) == 2


async def test_an_engine_that_hangs_is_ended() -> None:
    async with contourer(timeout_s=0.5) as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order(model="hang"))
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        with pytest.raises(ContourerRefused, match="engine_timeout"):
            await exchange.result()


async def test_deleting_during_the_work_ends_the_work() -> None:
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order(model="hang"))
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        await asyncio.sleep(0.2)
        await exchange.delete()
        sound = await gateway.begin(order(OTHER))
        await sound.add(0, made_payload(0))
        await sound.commit()
        assert await sound.result() == expected_result(1)


async def test_a_slice_that_does_not_decode_fails_the_passage() -> None:
    broken = dataclasses.replace(made_payload(0), coded=b"\xff\x0a" + bytes(40))
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, broken)
        await exchange.commit()
        with pytest.raises(ContourerRefused, match="slice_invalid"):
            await exchange.result()


async def test_a_full_contourer_asks_to_wait() -> None:
    async with contourer(caps=Caps(memory_bytes=1500)) as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        with pytest.raises(ContourerUnavailable) as unavailable:
            await exchange.add(1, made_payload(1))
        assert unavailable.value.code == "CONTOURER_BUSY"
        await exchange.delete()
        again = await gateway.begin(order(OTHER))
        await again.add(1, made_payload(1))


async def test_a_slice_that_is_not_de_identified_ends_the_passage_and_leaves_a_breach_record() -> None:
    """R9; faults row 50."""
    name = element(0x00100010, b"PN", b"Invented^Person")
    async with contourer() as stand, stand.gateway() as gateway:
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.add(1, made_payload(1, changes={0x00100010: name}))
        await exchange.commit()
        with pytest.raises(ContourerRefused) as refused:
            await exchange.result()
        assert refused.value.code == "CONTOURER_FOUND_IDENTIFIERS"
        receipt = await exchange.delete()
        assert json.loads(receipt.statement)["cause"] == "identifiers_found"
        with pytest.raises(ContourerRefused) as refused:
            await gateway.begin(order())
        assert refused.value.code == "CONTOURER_FOUND_IDENTIFIERS"
    (breach,) = stand.events("breach")
    assert breach["findings"] == "(0010,0010) pseudonym"
    assert "Invented" not in json.dumps(stand.records)
    assert stand.events("contoured") == []


async def test_tls_1_1_is_refused() -> None:
    """R20."""
    old = client_context(CLIENT)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with contourer() as stand, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(stand.endpoint.url + "/v1/contourer", ssl=old)


async def test_a_request_that_breaks_the_protocol_is_answered_with_a_code_and_a_hint() -> None:
    tls = client_context(CLIENT)
    body = b"ciphertext"
    good = {"Content-Digest": content_digest(body)}
    async with contourer(caps=Caps(part_bytes=4096)) as stand, stand.gateway() as gateway:
        await gateway.begin(order())
        passage = f"{stand.endpoint.url}/v1/passages/{PASSAGE}"
        base = stand.endpoint.url
        async with aiohttp.ClientSession() as session:
            for method, url, kwargs, status, code in [
                ("GET", base + "/", {}, 404, "bad_request"),
                ("PATCH", passage, {}, 405, "bad_request"),
                ("PUT", base + "/v1/passages/NOT-AN-ID", {"data": b"{}"}, 400, "bad_request"),
                (
                    "PUT",
                    passage,
                    {"data": b'{"model":"m","profile":"p","retention_s":9e9}'},
                    400,
                    "bad_request",
                ),
                ("PUT", passage, {"data": b'{"model":"../m","profile":"p"}'}, 400, "bad_request"),
                ("PUT", passage, {"data": b'{"model":"m","profile":"p"}'}, 409, "terms_conflict"),
                ("PUT", passage + "/parts/0", {"data": body}, 400, "bad_request"),
                ("PUT", passage + "/parts/-1", {"data": body, "headers": good}, 400, "bad_request"),
                ("PUT", passage + "/parts/5000", {"data": body, "headers": good}, 413, "too_large"),
                ("PUT", passage + "/parts/0", {"data": b"other", "headers": good}, 422, "digest_mismatch"),
                ("PUT", passage + "/parts/0", {"data": bytes(5000), "headers": good}, 413, "too_large"),
                ("POST", passage + "/commit", {"data": b"{}"}, 422, "manifest_invalid"),
                ("POST", passage + "/commit", {"data": b"[" * 4000}, 422, "manifest_invalid"),
                ("GET", passage + "/result", {}, 409, "not_committed"),
                ("GET", passage + "/result?wait_s=x", {}, 400, "bad_request"),
                ("GET", passage + "/receipt", {}, 404, "not_found"),
                ("DELETE", passage + "?challenge=zz", {}, 400, "bad_request"),
                ("GET", base + f"/v1/passages/{OTHER}", {}, 404, "not_found"),
            ]:
                async with session.request(method, url, ssl=tls, **kwargs) as response:
                    told = await response.json()
                    assert (url, response.status, told["code"]) == (url, status, code)
                    assert told["hint"]


async def test_a_part_is_kept_once_whatever_the_client_repeats() -> None:
    tls = client_context(CLIENT)
    body = b"ciphertext"
    async with contourer() as stand, stand.gateway() as gateway:
        await gateway.begin(order())
        url = f"{stand.endpoint.url}/v1/passages/{PASSAGE}"
        async with aiohttp.ClientSession() as session:
            statuses = []
            for content in (body, body, b"other"):
                headers = {"Content-Digest": content_digest(content)}
                async with session.put(url + "/parts/3", data=content, headers=headers, ssl=tls) as response:
                    statuses.append(response.status)
            async with session.get(url, ssl=tls) as response:
                state = await response.json()
    assert statuses == [201, 200, 409]
    assert state["stage"] == "receiving"
    assert list(state["parts"]) == ["3"]
