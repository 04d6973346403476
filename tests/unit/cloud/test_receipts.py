"""A receipt is believed only about its passage, for the question asked; a missing one is noticed (R7, R8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.cloud.contourer import Receipt
from gateway.cloud.receipts import Deletions, receipt_of
from gateway.cloud.statements import signed_statement
from gateway.contourer.identity import ContourerKeys
from gateway.errors import ContourerRefused

PASSAGE = "0123456789abcdef" * 2
KEYS = ContourerKeys.generate("DE")
STATEMENT = {
    "kind": "deletion",
    "passage": PASSAGE,
    "cause": "asked",
    "deleted_at": "2026-01-02T03:04:05.678Z",
    "parts": 7,
    "manifest_sha256": "ab" * 32,
    "region": "DE",
    "challenge": "00ff",
}


def answer(keys: ContourerKeys = KEYS, **changes: object) -> bytes:
    statement, signature = signed_statement(keys.signing, {**STATEMENT, **changes})
    return json.dumps({"statement": statement.decode(), "signature": signature.hex()}).encode()


def received(body: bytes) -> Receipt:
    return receipt_of(body, KEYS.public, PASSAGE, "00ff", manifests={"", "ab" * 32})


def test_a_sound_receipt_is_taken_with_the_bytes_that_were_signed() -> None:
    receipt = received(answer())
    assert (receipt.passage_id, receipt.parts) == (PASSAGE, 7)
    KEYS.signing.public_key().verify(receipt.signature, receipt.statement)


@pytest.mark.parametrize(
    "changes",
    [
        {"passage": "fedcba9876543210" * 2},
        {"challenge": "00fe"},
        {"challenge": ""},
        {"kind": "result"},
        {"region": "US"},
        {"manifest_sha256": "cd" * 32},
        {"parts": "7"},
        {"parts": True},
        {"deleted_at": "yesterday"},
        {"deleted_at": "2026-01-02T03:04:05"},
        {"deleted_at": 5},
    ],
    ids=str,
)
def test_a_receipt_about_anything_else_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ContourerRefused) as refused:
        received(answer(**changes))
    assert refused.value.code == "RECEIPT_INVALID"


@pytest.mark.parametrize(
    "body",
    [
        answer(ContourerKeys.generate("DE")),
        answer().replace(b"7", b"8"),
        b"",
        b"[]",
        b"{}",
        b'{"statement": 1, "signature": 2}',
        b'{"statement": "\xc3\xa9", "signature": "00"}',
        b"[" * 100_000,
    ],
    ids=["another key", "edited", "empty", "list", "object", "numbers", "not ASCII", "deep"],
)
def test_a_forged_receipt_is_refused(body: bytes) -> None:
    with pytest.raises(ContourerRefused) as refused:
        received(body)
    assert refused.value.code == "RECEIPT_INVALID"


COMMITTED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def receipt_at(at: datetime) -> Receipt:
    return Receipt(PASSAGE, at.isoformat(), 1, b"")


def test_a_passage_without_a_receipt_is_overdue_after_the_limit_and_not_before() -> None:
    """Faults row 51."""
    deletions = Deletions()
    deletions.committed(PASSAGE, COMMITTED)
    assert deletions.overdue(COMMITTED + timedelta(hours=23)) == ()
    assert deletions.overdue(COMMITTED + timedelta(hours=25)) == (PASSAGE,)


def test_a_receipt_ends_the_debt() -> None:
    """The control of the alarm."""
    deletions = Deletions()
    deletions.committed(PASSAGE, COMMITTED)
    assert deletions.received(receipt_at(COMMITTED + timedelta(hours=2)))
    assert deletions.overdue(COMMITTED + timedelta(hours=25)) == ()


def test_a_receipt_that_tells_of_a_late_deletion_is_late() -> None:
    deletions = Deletions()
    deletions.committed(PASSAGE, COMMITTED)
    assert not deletions.received(receipt_at(COMMITTED + timedelta(hours=25)))


def test_committing_again_does_not_move_the_limit() -> None:
    deletions = Deletions()
    deletions.committed(PASSAGE, COMMITTED)
    deletions.committed(PASSAGE, COMMITTED + timedelta(hours=20))
    assert deletions.overdue(COMMITTED + timedelta(hours=25)) == (PASSAGE,)
