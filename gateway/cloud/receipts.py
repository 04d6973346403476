"""Deletion receipts: verify one, and notice that one is missing (R7, R8)."""

from __future__ import annotations

import binascii
import json
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.cloud.contourer import Receipt
from gateway.cloud.protocol import DAY_S, ContourerIdentity
from gateway.cloud.statements import EnvelopeError, canonical, checked_statement
from gateway.errors import ContourerRefused

__all__ = ["Deletions", "receipt_of", "signed_answer", "since_boot"]

_FIELDS: Final = frozenset(
    {"kind", "passage", "cause", "deleted_at", "parts", "manifest_sha256", "region", "challenge"}
)
"""Of a receipt: exactly these, so that it can be rebuilt from typed fields and holds no text of anybody's."""
_CAUSES: Final = frozenset({"asked", "retention", "identifiers_found", "not_held"})


def since_boot() -> float:
    """Seconds, monotonic, also while the machine sleeps: no change of the clock moves a limit."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


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
        if not (isinstance(deleted_at, str) and type(parts) is int and parts >= 0 and is_ours):
            raise EnvelopeError("the receipt lacks a field")
        if said.keys() != _FIELDS or said["cause"] not in _CAUSES or canonical(said) != statement:
            raise EnvelopeError("the receipt is not in the form of the protocol")
        if datetime.fromisoformat(deleted_at).tzinfo is None:
            raise EnvelopeError("a time without its zone")
    except (EnvelopeError, ValueError):
        raise ContourerRefused("RECEIPT_INVALID") from None
    return Receipt(passage_id, deleted_at, parts, signature, statement)


class _Owed(NamedTuple):
    committed: datetime
    due_s: float
    """On the monotonic clock."""


class Deletions:
    """Which passages are owed a receipt, and for how long already.

    Parameters
    ----------
    limit_s : float
        After the commit, by when the contourer must have deleted.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, limit_s: float = DAY_S, clock: Callable[[], float] = since_boot) -> None:
        self._limit_s: Final = limit_s
        self._clock = clock
        self._owed: dict[str, _Owed] = {}

    def committed(self, passage_id: str, at: datetime, *, age_s: float = 0.0) -> None:
        """From here on a receipt is owed.

        Parameters
        ----------
        passage_id : str
        at : datetime
            Aware.
        age_s : float
            How long ago that was, as far as a restarted gateway can tell; a clock that was set back makes nothing
            younger than now.
        """
        self._owed.setdefault(passage_id, _Owed(at, self._clock() + self._limit_s - max(0.0, age_s)))

    def is_owed(self, passage_id: str) -> bool:
        """Whether a passage's receipt is still to come."""
        return passage_id in self._owed

    def received(self, receipt: Receipt) -> bool:
        """Take a verified receipt; whether the deletion was in time: the receipt is here, or says so."""
        owed = self._owed.pop(receipt.passage_id, None)
        if owed is None or self._clock() <= owed.due_s:
            return True
        return datetime.fromisoformat(receipt.deleted_at) - owed.committed <= timedelta(seconds=self._limit_s)

    def overdue(self) -> tuple[str, ...]:
        """The passages whose receipt should be here: each is an alarm."""
        now = self._clock()
        return tuple(passage for passage, owed in self._owed.items() if now > owed.due_s)
