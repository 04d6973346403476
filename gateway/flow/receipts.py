"""Receipts: whether the contourer proves in time that it deleted what it could read (R7, R8).

In: that a passage's key was released, and verified receipts. Out: a record of each receipt, and an alarm for each that
is missing 24 hours after the release, also after a restart: the journal keeps what is owed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic import ValidationError

from gateway.clerk.records import Deleted
from gateway.clerk.standing import OpenPassage
from gateway.cloud.contourer import Receipt
from gateway.cloud.receipts import Deletions
from gateway.errors import ContourerRefused, GatewayError
from gateway.flow.chronicle import Link
from gateway.flow.concerns import Concerns
from gateway.metrics import Metrics

_log = structlog.get_logger()

LOOK_S: Final = 30.0
"""How often it is looked whether a receipt should be here."""
FOUND: Final = "CONTOURER_FOUND_IDENTIFIERS"


class Receipts:
    """Takes receipts, and misses them.

    Parameters
    ----------
    link : Link
        The way to the clerk.
    deletions : Deletions
    """

    def __init__(self, link: Link, deletions: Deletions, concerns: Concerns, metrics: Metrics) -> None:
        self._link = link
        self._deletions = deletions
        self._concerns = concerns
        self._metrics = metrics

    def take_up(self, passages: Sequence[OpenPassage]) -> None:
        """Note what was owed before a restart."""
        now = datetime.now(UTC)
        for passage in passages:
            if passage.committed is not None and passage.is_owed_a_receipt:
                at = passage.committed.at
                self._deletions.committed(passage.id, at, age_s=(now - at).total_seconds())
            elif passage.deleted is not None:
                self._warn(passage.deleted)
        self.look()

    def committed(self, passage_id: str) -> None:
        """The key of a passage is released: a receipt is owed."""
        self._deletions.committed(passage_id, datetime.now(UTC))

    def is_owed(self, passage_id: str) -> bool:
        """Whether a passage's receipt is still to come."""
        return self._deletions.is_owed(passage_id)

    async def received(self, receipt: Receipt) -> None:
        """Take a verified receipt, and have it recorded.

        Raises
        ------
        ContourerRefused
            RECEIPT_INVALID, if it cannot be written down.
        """
        record = _record(receipt)
        record = record.model_copy(update={"is_in_time": self._deletions.received(receipt)})
        self._concerns.end("RECEIPT_MISSING", receipt.passage_id)
        self._warn(record)
        outcome = "in_time" if record.is_in_time else "late"
        self._metrics.receipts_total.labels(outcome if receipt.signature else "unsigned").inc()
        _log.info("deleted at the contourer", passage=receipt.passage_id, count=receipt.parts)
        try:
            await self._link.write(record)
        except GatewayError as error:  # the clerk is lost, which has its own alarm; the record is kept for it
            _log.warning("receipt not recorded yet", passage=receipt.passage_id, reason=error.code)

    def ended(self, passage_id: str) -> None:
        """A passage is over: whoever ended it knows what was wrong with it."""
        self._concerns.end(FOUND, passage_id)

    def look(self) -> None:
        """Raise the alarm for what should be here."""
        for passage_id in self._deletions.overdue():
            self._concerns.begin("RECEIPT_MISSING", passage_id)

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def _warn(self, record: Deleted) -> None:
        if record.cause == "identifiers_found":
            self._concerns.begin(FOUND, record.passage)


def _record(receipt: Receipt) -> Deleted:
    said = json.loads(receipt.statement) if receipt.statement else {}
    try:
        record = Deleted(
            at=datetime.now(UTC),
            passage=receipt.passage_id,
            deleted_at=receipt.deleted_at,
            parts=receipt.parts,
            is_in_time=True,
            cause=said.get("cause"),
            manifest=said.get("manifest_sha256") or None,
            region=said.get("region"),
            challenge=said.get("challenge"),
            signature=receipt.signature.hex() or None,
        )
    except ValidationError:  # its message quotes the input
        raise ContourerRefused("RECEIPT_INVALID") from None
    if receipt.statement and record.statement() != receipt.statement:
        raise ContourerRefused("RECEIPT_INVALID")
    return record
