"""Deletion receipts: verify one, and notice that one is missing (R7, R8)."""

from __future__ import annotations

import binascii
import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.cloud.contourer import Receipt
from gateway.cloud.protocol import DAY_S, ContourerIdentity
from gateway.cloud.statements import EnvelopeError, checked_statement
from gateway.errors import ContourerRefused

__all__ = ["Deletions", "receipt_of", "signed_answer"]


def signed_answer(body: bytes) -> tuple[bytes, bytes]:
    """Statement and signature of an answer that carries both as JSON.

    Raises
    ------
    EnvelopeError
        If it does not.
    """
    try:
        document = json.loads(body)
        return document["statement"].encode("ascii"), bytes.fromhex(document["signature"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
        raise EnvelopeError("not a signed answer") from None


def receipt_of(
    body: bytes,
    identity: ContourerIdentity,
    passage_id: str,
    challenge: str,
    *,
    manifests: Collection[str] | None = None,
) -> Receipt:
    """The receipt in an answer, verified.

    Parameters
    ----------
    body : bytes
        JSON with the statement and its signature.
    identity : ContourerIdentity
        Who must have signed it.
    passage_id, challenge : str
        What it must be about, and the answer to what question; so no receipt can be used twice.
    manifests : collection of str, optional
        Digests of the manifest, in hexadecimal, that it may name; left out: any.

    Raises
    ------
    ContourerRefused
        RECEIPT_INVALID.
    """
    try:
        statement, signature = signed_answer(body)
        said = checked_statement(
            bytes.fromhex(identity.receipt_public_key),
            statement,
            signature,
            {"kind": "deletion", "passage": passage_id, "challenge": challenge, "region": identity.region},
        )
        deleted_at, parts, manifest = said.get("deleted_at"), said.get("parts"), said.get("manifest_sha256")
        is_ours = manifests is None or manifest in manifests
        if not (isinstance(deleted_at, str) and type(parts) is int and is_ours):
            raise EnvelopeError("the receipt lacks a field")
        if datetime.fromisoformat(deleted_at).tzinfo is None:
            raise EnvelopeError("a time without its zone")
    except (EnvelopeError, ValueError):
        raise ContourerRefused("RECEIPT_INVALID") from None
    return Receipt(passage_id, deleted_at, parts, signature, statement)


class Deletions:
    """Which passages are owed a receipt, and for how long already.

    Parameters
    ----------
    limit_s : float
        After the commit, by when the contourer must have deleted.
    """

    def __init__(self, limit_s: float = DAY_S) -> None:
        self._limit: Final = timedelta(seconds=limit_s)
        self._owed: dict[str, datetime] = {}

    def committed(self, passage_id: str, at: datetime) -> None:
        """From here on a receipt is owed.

        Parameters
        ----------
        passage_id : str
        at : datetime
            Aware.
        """
        self._owed.setdefault(passage_id, at)

    def received(self, receipt: Receipt) -> bool:
        """Take a verified receipt; whether it says that the deletion was in time."""
        committed = self._owed.pop(receipt.passage_id, None)
        return committed is None or datetime.fromisoformat(receipt.deleted_at) - committed <= self._limit

    def overdue(self, now: datetime | None = None) -> tuple[str, ...]:
        """The passages whose receipt should be here: each is an alarm."""
        now = now or datetime.now(UTC)
        return tuple(passage for passage, committed in self._owed.items() if now - committed > self._limit)
