"""Everything of a passage ends: when asked, after its time, or at once; with a receipt and nothing else left (R7)."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from gateway.cloud.envelope import Manifest, Part
from gateway.cloud.protocol import DAY_S, Announcement, Reason, Stage
from gateway.cloud.statements import checked_statement
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.refusal import Refusal
from gateway.contourer.retention import Caps, Held, Retention, SealedResult, since_boot

PASSAGE = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
KEYS = ContourerKeys.generate("DE")
TERMS = Announcement(model="head", profile="ct")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """A retention with its clock and its records."""

    def __init__(self, caps: Caps | None = None) -> None:
        self.clock = Clock()
        self.records: list[dict[str, str | int]] = []
        self.retention = Retention(KEYS.signing, "DE", self.records.append, caps, self.clock)

    def announced(self, passage_id: str = PASSAGE, terms: Announcement = TERMS) -> Held:
        return self.retention.announce("clinic", passage_id, terms)[0]

    def put(self, held: Held, index: int, part: bytes) -> bool:
        return self.retention.put(held, index, part, hashlib.sha256(part).digest())


def refused(reason: Reason) -> pytest.RaisesExc[Refusal]:
    return pytest.raises(Refusal, match=f"^{reason.value}$")


def test_a_passage_is_deleted_when_its_time_is_over() -> None:
    kept = Kept()
    held = kept.announced(terms=Announcement(model="head", profile="ct", retention_s=3600))
    kept.put(held, 0, b"ciphertext")
    kept.clock.now += 3599
    assert kept.retention.delete_expired() == 0
    kept.clock.now += 1
    assert kept.retention.delete_expired() == 1
    assert held.parts == {}
    assert held.stage is Stage.DELETED
    with refused(Reason.DELETED):
        kept.retention.passage("clinic", PASSAGE)
    assert kept.retention.deletion("clinic", PASSAGE).cause == "retention"


def test_a_day_is_the_longest_whatever_happens_in_between() -> None:
    kept = Kept()
    held = kept.announced()
    kept.clock.now += DAY_S - 1
    kept.put(held, 0, b"late")
    assert kept.retention.delete_expired() == 0
    kept.clock.now += 1
    assert kept.retention.delete_expired() == 1


def test_the_clock_does_not_follow_the_wall() -> None:
    """Faults row 55: a clock that jumps by a day deletes nothing early and keeps nothing longer."""
    assert 0 < since_boot() < 1e9


async def test_the_time_is_kept_by_a_task() -> None:
    kept = Kept()
    held = kept.announced(terms=Announcement(model="head", profile="ct", retention_s=60))
    task = asyncio.create_task(kept.retention.keep_time())
    await asyncio.sleep(0)
    task.cancel()
    assert held.stage is Stage.RECEIVING
    kept.clock.now += 60
    task = asyncio.create_task(kept.retention.keep_time())
    await asyncio.sleep(0)
    assert held.stage is Stage.DELETED
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_result_replaces_the_scan() -> None:
    """R7: deleted after use."""
    kept = Kept(Caps(memory_bytes=1000))
    held = kept.announced()
    kept.put(held, 0, bytes(900))
    kept.retention.keep_result(held, SealedResult(bytes(100), b"", b""))
    assert held.parts == {}
    assert held.sealed_key == b""
    other = kept.announced(OTHER)
    assert kept.put(other, 0, bytes(900)), "the scan's memory was not given back"
    with refused(Reason.BUSY):
        kept.put(other, 1, b"x")
    assert kept.retention.delete("clinic", PASSAGE, "asked").parts == 1
    assert kept.put(other, 1, bytes(100))


def test_a_receipt_says_what_was_deleted_and_answers_the_question() -> None:
    kept = Kept()
    held = kept.announced()
    kept.put(held, 0, b"a")
    held.manifest = Manifest(PASSAGE, "head", "ct", bytes(1216), (Part(bytes(32), 1),))
    deletion = kept.retention.delete("clinic", PASSAGE, "asked")
    statement, signature = kept.retention.receipt(deletion, "00ff")
    public = bytes.fromhex(KEYS.public.receipt_public_key)
    said = checked_statement(public, statement, signature, {"passage": PASSAGE, "challenge": "00ff"})
    assert said["parts"] == 1
    assert said["manifest_sha256"] == held.manifest.sha256.hex()


def test_deleting_twice_is_one_deletion() -> None:
    kept = Kept()
    kept.announced()
    first = kept.retention.delete("clinic", PASSAGE, "asked")
    assert kept.retention.delete("clinic", PASSAGE, "asked") is first
    assert [record["event"] for record in kept.records] == ["announced", "deleted"]


def test_another_client_neither_sees_nor_deletes() -> None:
    kept = Kept()
    held = kept.announced()
    with refused(Reason.NOT_FOUND):
        kept.retention.passage("rival", PASSAGE)
    with refused(Reason.NOT_FOUND):
        kept.retention.deletion("rival", PASSAGE)
    assert kept.retention.delete("rival", PASSAGE, "asked").cause == "not_held"
    assert held.stage is Stage.RECEIVING
    assert kept.retention.announce("rival", PASSAGE, TERMS)[1], "a client's id collides with another's"


def test_a_passage_with_identifiers_does_not_come_back() -> None:
    kept = Kept()
    kept.announced()
    kept.retention.delete("clinic", PASSAGE, "identifiers_found")
    for attempt in (kept.announced, lambda: kept.retention.passage("clinic", PASSAGE)):
        with refused(Reason.IDENTIFIERS_FOUND):
            attempt()


def test_one_that_was_deleted_for_another_cause_may_come_back() -> None:
    """The control of the refusal above."""
    kept = Kept()
    kept.announced()
    kept.retention.delete("clinic", PASSAGE, "asked")
    assert kept.announced().stage is Stage.RECEIVING
    with refused(Reason.NOT_FOUND):
        kept.retention.deletion("clinic", PASSAGE)


def test_other_terms_for_the_same_passage_are_refused() -> None:
    kept = Kept()
    assert kept.retention.announce("clinic", PASSAGE, TERMS)[1]
    assert not kept.retention.announce("clinic", PASSAGE, TERMS)[1]
    with refused(Reason.TERMS_CONFLICT):
        kept.announced(terms=Announcement(model="pelvis", profile="ct"))


def test_caps_hold() -> None:
    kept = Kept(Caps(memory_bytes=100, part_bytes=50, parts=2, passages=1))
    held = kept.announced()
    with refused(Reason.BUSY):
        kept.announced(OTHER)
    with refused(Reason.TOO_LARGE):
        kept.put(held, 0, bytes(51))
    with refused(Reason.TOO_LARGE):
        kept.put(held, 2, b"x")
    with refused(Reason.BAD_REQUEST):
        kept.announced("../../etc")


def test_nothing_joins_after_the_commit() -> None:
    kept = Kept()
    held = kept.announced()
    kept.put(held, 0, b"a")
    held.manifest = Manifest(PASSAGE, "head", "ct", bytes(1216), (Part(bytes(32), 1),))
    assert not kept.put(held, 0, b"a")
    with refused(Reason.MANIFEST_CONFLICT):
        kept.put(held, 1, b"b")


def test_records_hold_ids_counts_and_causes_only() -> None:
    kept = Kept()
    held = kept.announced()
    kept.put(held, 0, b"ciphertext")
    kept.retention.delete("clinic", PASSAGE, "asked")
    assert json.loads(json.dumps(kept.records)) == [
        {"event": "announced", "passage": PASSAGE, "client": "clinic", "model": "head"},
        {"event": "deleted", "passage": PASSAGE, "client": "clinic", "cause": "asked", "parts": 1},
    ]
