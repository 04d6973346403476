"""Nothing opens but under its own passage, index, manifest and key (R21, R32)."""

from __future__ import annotations

import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cloud.envelope import REPLY_SEED_BYTES, ContentKey, Manifest, Part, RecipientKey, seal_result
from gateway.cloud.statements import EnvelopeError, canonical, checked_statement, signed_statement

PASSAGE = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
CONTOURER = RecipientKey(bytes(range(96)))
REPLY = RecipientKey(bytes(96))


def manifest(passage_id: str = PASSAGE, model: str = "head") -> Manifest:
    return Manifest(passage_id, model, "ct-basic", REPLY.public, (Part(bytes(32), 99), Part(bytes(32), 98)))


def test_a_slice_opens_under_its_passage_and_index() -> None:
    key = ContentKey(PASSAGE)
    assert key.open(3, key.seal(3, b"slice")) == b"slice"


def test_a_slice_does_not_open_under_another_index() -> None:
    key = ContentKey(PASSAGE)
    with pytest.raises(EnvelopeError):
        key.open(4, key.seal(3, b"slice"))


def test_a_slice_does_not_open_under_another_passage_even_with_the_same_key() -> None:
    with pytest.raises(EnvelopeError):
        ContentKey(OTHER, bytes(32)).open(3, ContentKey(PASSAGE, bytes(32)).seal(3, b"slice"))


def test_a_slice_that_is_sealed_again_has_the_same_ciphertext() -> None:
    key = ContentKey(PASSAGE)
    assert key.seal(0, b"slice") == key.seal(0, b"slice")


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=3)), unique=True, max_size=40))
def test_two_slices_never_share_a_nonce(slices: list[tuple[int, bytes]]) -> None:
    key = ContentKey(PASSAGE)
    assert len({key.seal(index, slice_)[:12] for index, slice_ in slices}) == len(slices)


def test_two_passages_with_the_same_slice_have_nothing_in_common() -> None:
    assert ContentKey(PASSAGE).seal(0, b"slice")[:12] != ContentKey(PASSAGE).seal(0, b"slice")[:12]


def test_a_destroyed_key_neither_opens_nor_is_released() -> None:
    key = ContentKey(PASSAGE)
    sealed = key.seal(0, b"slice")
    key.destroy()
    key.destroy()
    with pytest.raises(EnvelopeError):
        key.open(0, sealed)
    with pytest.raises(EnvelopeError):
        key.released_to(CONTOURER.public, manifest())


def test_the_released_key_opens_the_slices() -> None:
    key = ContentKey(PASSAGE)
    released = CONTOURER.open_content_key(key.released_to(CONTOURER.public, manifest()), manifest())
    assert released.open(1, key.seal(1, b"slice")) == b"slice"


@pytest.mark.parametrize(
    "changed",
    [
        manifest(OTHER),
        manifest(model="pelvis"),
        dataclasses.replace(manifest(), parts=manifest().parts[:1]),
        dataclasses.replace(manifest(), parts=(Part(bytes(31) + b"\1", 99), Part(bytes(32), 98))),
        dataclasses.replace(manifest(), reply_key=CONTOURER.public),
    ],
    ids=["passage", "model", "fewer parts", "another part", "reply key"],
)
def test_the_released_key_does_not_open_under_a_changed_manifest(changed: Manifest) -> None:
    sealed = ContentKey(PASSAGE).released_to(CONTOURER.public, manifest())
    with pytest.raises(EnvelopeError):
        CONTOURER.open_content_key(sealed, changed)


def test_another_contourer_cannot_open_the_key() -> None:
    sealed = ContentKey(PASSAGE).released_to(CONTOURER.public, manifest())
    with pytest.raises(EnvelopeError):
        RecipientKey(b"\1" * 96).open_content_key(sealed, manifest())


def test_a_restarted_gateway_opens_the_result_with_a_key_from_the_same_seed() -> None:
    sealed = seal_result(b"rtstruct", REPLY.public, PASSAGE, manifest().sha256)
    assert RecipientKey(bytes(96)).open_result(sealed, PASSAGE, manifest().sha256) == b"rtstruct"


@pytest.mark.parametrize(
    ("passage", "digest"),
    [(OTHER, manifest().sha256), (PASSAGE, manifest(model="pelvis").sha256)],
    ids=["another passage", "another manifest"],
)
def test_a_result_does_not_open_under_anything_else(passage: str, digest: bytes) -> None:
    sealed = seal_result(b"rtstruct", REPLY.public, PASSAGE, manifest().sha256)
    with pytest.raises(EnvelopeError):
        REPLY.open_result(sealed, passage, digest)


def test_the_released_key_is_no_result() -> None:
    """One key may serve both ends in a test set-up; the labels keep the two apart."""
    sealed = ContentKey(PASSAGE).released_to(REPLY.public, manifest())
    with pytest.raises(EnvelopeError):
        REPLY.open_result(sealed, PASSAGE, manifest().sha256)


@given(at=st.integers(0, 5000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_noticed(at: int, bit: int) -> None:
    result = bytearray(seal_result(b"rtstruct" * 20, REPLY.public, PASSAGE, manifest().sha256))
    result[at % len(result)] ^= 1 << bit
    with pytest.raises(EnvelopeError):
        REPLY.open_result(bytes(result), PASSAGE, manifest().sha256)
    key = ContentKey(PASSAGE)
    sealed = bytearray(key.seal(0, b"slice" * 20))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(EnvelopeError):
        key.open(0, bytes(sealed))


@given(data=st.binary(max_size=1400))
@settings(max_examples=60, deadline=None)
def test_random_bytes_open_as_nothing(data: bytes) -> None:
    for attempt in (
        lambda: REPLY.open_result(data, PASSAGE, bytes(32)),
        lambda: ContentKey(PASSAGE).open(0, data),
        lambda: Manifest.from_bytes(data),
        lambda: checked_statement(bytes(32), data, data[:64], {}),
    ):
        with pytest.raises(EnvelopeError):
            attempt()


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_bytes(manifest().to_bytes()) == manifest()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(extra=1),
        lambda d: d.update(version=2),
        lambda d: d.update(passage="../x"),
        lambda d: d.update(model=7),
        lambda d: d.update(model="m" * 65),
        lambda d: d.update(reply_key="00"),
        lambda d: d.update(parts=[]),
        lambda d: d.update(parts=[["00" * 32, -1]]),
        lambda d: d.update(parts=[["00" * 32, 1.0]]),
        lambda d: d.update(parts=[["00" * 32, True]]),
        lambda d: d.update(parts=[["00" * 31, 1]]),
        lambda d: d.update(parts=[["AB" * 32, 1]]),
        lambda d: d.pop("profile"),
    ],
)
def test_a_manifest_with_one_wrong_field_is_refused(change) -> None:
    document = json.loads(manifest().to_bytes())
    change(document)
    with pytest.raises(EnvelopeError):
        Manifest.from_bytes(canonical(document))


def test_a_manifest_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(EnvelopeError):
        Manifest.from_bytes(manifest().to_bytes().replace(b",", b", ", 1))
    with pytest.raises(EnvelopeError):
        Manifest.from_bytes(b"[" * 100_000)


@pytest.mark.parametrize("seed", [b"", bytes(95), bytes(97)])
def test_a_seed_of_another_length_makes_no_key(seed: bytes) -> None:
    assert len(seed) != REPLY_SEED_BYTES
    with pytest.raises(EnvelopeError):
        RecipientKey(seed)


@pytest.mark.parametrize("public", [b"", bytes(1215), bytes(1217), b"\xff" * 1216])
def test_what_is_no_public_key_gets_nothing_sealed(public: bytes) -> None:
    with pytest.raises(EnvelopeError):
        seal_result(b"rtstruct", public, PASSAGE, manifest().sha256)


SIGNER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = SIGNER.public_key().public_bytes_raw()


def test_a_statement_verifies_for_what_it_says() -> None:
    statement, signature = signed_statement(SIGNER, {"kind": "deletion", "passage": PASSAGE, "parts": 1})
    assert checked_statement(PUBLIC, statement, signature, {"passage": PASSAGE})["parts"] == 1


@pytest.mark.parametrize(
    "expected", [{"passage": OTHER}, {"kind": "result"}, {"challenge": "x"}, {"parts": True}]
)
def test_a_statement_about_something_else_is_refused(expected: dict[str, object]) -> None:
    statement, signature = signed_statement(SIGNER, {"kind": "deletion", "passage": PASSAGE, "parts": 1})
    with pytest.raises(EnvelopeError, match="something else"):
        checked_statement(PUBLIC, statement, signature, expected)


def test_a_statement_that_was_edited_or_signed_by_another_is_refused() -> None:
    statement, signature = signed_statement(SIGNER, {"kind": "deletion", "parts": 1})
    for forged, by in (
        (statement.replace(b"1", b"2"), signature),
        (statement, ed25519.Ed25519PrivateKey.generate().sign(statement)),
        (statement, b""),
    ):
        with pytest.raises(EnvelopeError, match="signature"):
            checked_statement(PUBLIC, forged, by, {})
