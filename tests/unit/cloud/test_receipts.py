"""A receipt is believed only about its passage, for the question asked; a missing one is noticed (R7, R8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.clerk.records import Deleted
from gateway.cloud.contourer import Receipt
from gateway.cloud.receipts import Deletions, receipt_of
from gateway.cloud.statements import signed_statement
from gateway.contourer.identity import ContourerKeys
from gateway.errors import ContourerRefused

PASSAGE = "0123456789abcdef" * 2
CHALLENGE = "00ff" * 8
KEYS = ContourerKeys.generate("DE")
STATEMENT = {
    "kind": "deletion",
    "passage": PASSAGE,
    "cause": "asked",
    "deleted_at": "2026-01-02T03:04:05.678Z",
    "parts": 7,
    "manifest_sha256": "ab" * 32,
    "region": "DE",
    "challenge": CHALLENGE,
}


def answer(keys: ContourerKeys = KEYS, **changes: object) -> bytes:
    statement, signature = signed_statement(keys.signing, {**STATEMENT, **changes})
    return json.dumps({"statement": statement.decode(), "signature": signature.hex()}).encode()


def received(body: bytes) -> Receipt:
    return receipt_of(body, KEYS.public, PASSAGE, CHALLENGE, manifests={"", "ab" * 32})


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
        {"parts": -1},
        {"cause": "a whim"},
        {"remark": "a text of somebody's"},
    ],
    ids=str,
)
def test_a_receipt_about_anything_else_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ContourerRefused) as refused:
        received(answer(KEYS, **changes))
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
HOUR_S = 3600


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def after(self, hours: float) -> None:
        self.now += hours * HOUR_S


def receipt_at(at: datetime) -> Receipt:
    return Receipt(PASSAGE, at.isoformat(), 1, b"")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_passage_without_a_receipt_is_overdue_after_the_limit_and_not_before(clock: Clock) -> None:
    """Faults row 51."""
    deletions = Deletions(clock=clock)
    deletions.committed(PASSAGE, COMMITTED)
    clock.after(23)
    assert deletions.overdue() == ()
    clock.after(2)
    assert deletions.overdue() == (PASSAGE,)


def test_a_receipt_ends_the_debt(clock: Clock) -> None:
    """The control of the alarm."""
    deletions = Deletions(clock=clock)
    deletions.committed(PASSAGE, COMMITTED)
    assert deletions.is_owed(PASSAGE)
    assert deletions.received(receipt_at(COMMITTED + timedelta(hours=2)))
    assert not deletions.is_owed(PASSAGE)
    clock.after(25)
    assert deletions.overdue() == ()


def test_a_receipt_that_comes_late_tells_by_itself_whether_the_deletion_was_late(clock: Clock) -> None:
    for hours, is_in_time in ((2, True), (25, False)):
        deletions = Deletions(clock=clock)
        deletions.committed(PASSAGE, COMMITTED)
        clock.after(30)
        assert deletions.received(receipt_at(COMMITTED + timedelta(hours=hours))) is is_in_time


def test_committing_again_does_not_move_the_limit(clock: Clock) -> None:
    deletions = Deletions(clock=clock)
    deletions.committed(PASSAGE, COMMITTED)
    clock.after(20)
    deletions.committed(PASSAGE, COMMITTED + timedelta(hours=20))
    clock.after(5)
    assert deletions.overdue() == (PASSAGE,)


def test_what_a_restart_found_is_as_old_as_it_is(clock: Clock) -> None:
    deletions = Deletions(clock=clock)
    deletions.committed(PASSAGE, COMMITTED, age_s=20 * HOUR_S)
    clock.after(5)
    assert deletions.overdue() == (PASSAGE,)


def test_a_clock_that_was_set_back_makes_no_commit_younger_than_now(clock: Clock) -> None:
    """Faults row 55."""
    deletions = Deletions(clock=clock)
    deletions.committed(PASSAGE, COMMITTED, age_s=-48 * HOUR_S)
    clock.after(25)
    assert deletions.overdue() == (PASSAGE,)


def test_a_receipt_is_rebuilt_from_the_fields_of_its_record() -> None:
    receipt = received(answer())
    said = json.loads(receipt.statement)
    record = Deleted(
        at=COMMITTED,
        passage=receipt.passage_id,
        deleted_at=receipt.deleted_at,
        parts=receipt.parts,
        is_in_time=True,
        cause=said["cause"],
        manifest=said["manifest_sha256"],
        region=said["region"],
        challenge=said["challenge"],
        signature=receipt.signature.hex(),
    )
    KEYS.signing.public_key().verify(bytes.fromhex(record.signature or ""), record.statement())
    assert record.model_copy(update={"parts": 8}).statement() != receipt.statement
