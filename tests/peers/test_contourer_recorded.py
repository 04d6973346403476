"""Everything that arrives at the contourer, recorded: before the commit none of it can be read (R1, R21)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence

import pytest

from gateway.cloud.envelope import ContentKey, Manifest, Part, RecipientKey
from gateway.cloud.payload import Codec, SlicePayload, pack
from gateway.cloud.statements import EnvelopeError
from gateway.deid.profile import load_profiles
from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made
from tests.contourer_stand import KEYS, PASSAGE, contourer, order, reply_seed
from tests.relay import Asked, relay

PROFILE = load_profiles()["CT"]
SLICES = 4
SOURCE = [made.image(index, side=32) for index in range(SLICES)]


def leaving() -> list[SlicePayload]:
    """The slices of a made patient, de-identified and packed as the gateway does it."""
    payloads = []
    for dataset in SOURCE:
        instance = parse_instance(made.encoded(dataset), "1.2.840.10008.1.2.1", limits=WalkLimits())
        pseudonyms = Pseudonyms(ClinicKey(b"k" * 32), scope_of(instance, "study"))
        payloads.append(pack(deidentify(instance, pseudonyms, PROFILE), Codec.JPEGXL))
    return payloads


def readable(payloads: Sequence[SlicePayload]) -> Iterator[bytes]:
    """What must not be there: identifiers, pseudonyms, and any stretch of a header or of coded pixels."""
    for dataset in SOURCE:
        for element in dataset:
            if element.VR in ("PN", "LO", "SH", "DA", "UI") and len(str(element.value)) >= 5:
                yield str(element.value).encode()
    for payload in payloads:
        yield payload.sop_instance_uid.encode()
        packed = payload.to_bytes()
        yield from (
            packed[at : at + 12] for at in range(48, len(packed) - 12, 12) if any(packed[at : at + 12])
        )


def found(recorded: Sequence[Asked], payloads: Sequence[SlicePayload]) -> list[bytes]:
    """What of it is there."""
    everything = b"\n".join(
        asked.path.encode() + repr(asked.query).encode() + repr(asked.headers).encode() + asked.body
        for asked in recorded
    )
    return [text for text in readable(payloads) if text in everything]


def opened(recorded: Sequence[Asked], recipient: RecipientKey) -> list[bytes]:
    """Everything that the holder of the contourer's keys can open."""
    keys: list[ContentKey] = []
    for asked in recorded:
        if asked.path.endswith("/commit"):
            told = json.loads(asked.body)
            manifest = Manifest.from_bytes(told["manifest"].encode())
            keys.append(recipient.open_content_key(base64.b64decode(told["sealed_key"]), manifest))
    slices = []
    for key in keys:
        for asked in recorded:
            if "/parts/" in asked.path:
                slices.append(key.open(int(asked.path.rsplit("/", 1)[1]), asked.body))
    return slices


async def recorded_passage(*, commits: bool) -> tuple[list[Asked], list[SlicePayload]]:
    payloads = leaving()
    async with (
        contourer() as stand,
        relay(stand) as between,
        stand.gateway(url=between.endpoint.url) as gateway,
    ):
        exchange = await gateway.begin(order())
        for index, payload in enumerate(payloads):
            assert await exchange.add(index, payload) > 0
        exchange.seal()
        if commits:
            await exchange.commit()
            await exchange.result()
            await exchange.delete()
        await exchange.close()
    return between.asked, payloads


async def test_before_the_commit_the_contourer_has_everything_and_can_read_nothing() -> None:
    recorded, payloads = await recorded_passage(commits=False)
    bodies = [asked.body for asked in recorded if "/parts/" in asked.path]
    assert len(bodies) == SLICES
    assert found(recorded, payloads) == []
    assert opened(recorded, KEYS.recipient) == []
    for body in bodies:
        assert len(zlib.compress(body, 9)) > 0.99 * len(body), "the ciphertext has structure"


def manifest_of(recorded: Sequence[Asked]) -> Manifest:
    """The one under which the key would be released: an attacker could compute all of it but the reply key."""
    parts = {int(a.path.rsplit("/", 1)[1]): a.body for a in recorded if "/parts/" in a.path}
    listed = tuple(Part(hashlib.sha256(parts[index]).digest(), len(parts[index])) for index in sorted(parts))
    return Manifest(PASSAGE, "echo", "contouring-ct", RecipientKey(reply_seed(PASSAGE)).public, listed)


def keys_in(data: bytes, manifest: Manifest) -> list[ContentKey]:
    """Every window of the bytes that is a sealed key."""
    length = len(ContentKey(PASSAGE).released_to(KEYS.recipient.public, manifest))
    recipient, found_keys = KEYS.recipient, []
    for at in range(len(data) - length + 1):
        with contextlib.suppress(EnvelopeError):
            found_keys.append(recipient.open_content_key(data[at : at + length], manifest))
    return found_keys


async def test_no_recorded_bytes_before_the_commit_are_a_sealed_key() -> None:
    """Whatever window of the recording is taken for the sealed key, the contourer's private key does not open it."""
    recorded, _ = await recorded_passage(commits=False)
    manifest = manifest_of(recorded)
    everything = b"".join(asked.body for asked in recorded)
    assert keys_in(everything, manifest) == []
    sealed = ContentKey(PASSAGE).released_to(KEYS.recipient.public, manifest)
    assert len(keys_in(everything[:700] + sealed + everything[700:900], manifest)) == 1, "the control"


async def test_after_the_commit_the_contourer_reads_the_slices_and_no_identifier() -> None:
    """The control: the same search over the same recording, with the key in it, opens every slice."""
    recorded, payloads = await recorded_passage(commits=True)
    assert opened(recorded, KEYS.recipient) == [payload.to_bytes() for payload in payloads]
    assert found(recorded, payloads) == [], "something was sent outside the seal"
    identifiers = [str(SOURCE[0].PatientName), str(SOURCE[0].PatientID), str(SOURCE[0].SOPInstanceUID)]
    for slice_ in opened(recorded, KEYS.recipient):
        assert not [name for name in identifiers if name.encode() in slice_]


async def test_a_client_that_does_not_seal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the search."""
    monkeypatch.setattr(ContentKey, "seal", lambda self, index, plaintext: plaintext)
    recorded, payloads = await recorded_passage(commits=False)
    assert len(found(recorded, payloads)) > 20


async def test_another_contourer_cannot_open_what_was_released_to_this_one() -> None:
    recorded, _ = await recorded_passage(commits=True)
    with pytest.raises(EnvelopeError):
        opened(recorded, RecipientKey(bytes(96)))
