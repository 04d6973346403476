"""What a contourer holds of its clients' passages, in memory only, and the end of it.

Parts are ciphertext for as long as they are here; a plaintext slice exists only while it is passed to the engine. A
passage is deleted when its client asks, when its time is over (24 h after the announcement at the latest, R7),
or at once when identifiers were found (R9). Every deletion leaves a signed receipt and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import ed25519

from gateway.cloud.envelope import Manifest, is_passage_id
from gateway.cloud.protocol import Announcement, Reason, Stage
from gateway.cloud.receipts import since_boot
from gateway.cloud.statements import signed_statement
from gateway.contourer.records import Recorder, moment
from gateway.contourer.refusal import Refusal

__all__ = ["Caps", "Deletion", "Held", "Retention", "SealedResult", "since_boot"]

Cause = Literal["asked", "retention", "identifiers_found", "not_held"]
"""Why nothing of a passage is here any more; `not_held`: nothing of it is known, as after a restart."""

_RECEIPTS_KEPT: Final = 10_000
_LOOK_S: Final = 30.0
"""How often the end of retention is looked for at least: an alarm clock does not run while a machine sleeps."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What a contourer takes in."""

    memory_bytes: int = 8 * 2**30
    """Of all passages."""
    part_bytes: int = 72 * 2**20
    parts: int = 5000
    passages: int = 1000


@dataclass(frozen=True, slots=True)
class SealedResult:
    """A structure set, sealed to the passage's reply key, and the signed statement about it."""

    sealed: bytes
    statement: bytes
    signature: bytes


@dataclass(slots=True, eq=False)
class Held:
    """One passage."""

    client: str
    id: str
    terms: Announcement
    expires: float
    """On the clock of `since_boot`."""
    stage: Stage = Stage.RECEIVING
    reason: Reason | None = None
    """Why it failed."""
    detail: str = ""
    """The engine's own code for it."""
    parts: dict[int, bytes] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    """SHA-256 of each part that was uploaded; they stay when the parts go."""
    manifest: Manifest | None = None
    sealed_key: bytes = b""
    result: SealedResult | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the stage changes, then replaced."""

    def move(self, stage: Stage, reason: Reason | None = None) -> None:
        """Enter a stage and wake whoever waits for it."""
        self.stage, self.reason = stage, reason
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    @property
    def size(self) -> int:
        """Bytes held."""
        result = len(self.result.sealed) if self.result is not None else 0
        return sum(map(len, self.parts.values())) + result


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is left of a passage that was deleted."""

    passage_id: str
    cause: Cause
    deleted_at: str
    """RFC 3339, UTC."""
    parts: int
    manifest_sha256: str
    """Hexadecimal; empty where it was never committed."""


class Retention:
    """The passages of all clients.

    Parameters
    ----------
    signing : Ed25519PrivateKey
        Signs the receipts.
    region : str
        Said in each receipt.
    record : Recorder
    caps : Caps
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        signing: ed25519.Ed25519PrivateKey,
        region: str,
        record: Recorder,
        caps: Caps | None = None,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self._signing = signing
        self._region = region
        self._record = record
        self._caps = caps or Caps()
        self._clock = clock
        self._held: dict[tuple[str, str], Held] = {}
        self._deletions: OrderedDict[tuple[str, str], Deletion] = OrderedDict()
        self._bytes = 0

    def announce(self, client: str, passage_id: str, terms: Announcement) -> tuple[Held, bool]:
        """The passage, and whether it is new.

        Raises
        ------
        Refusal
            BAD_REQUEST, TERMS_CONFLICT, BUSY; IDENTIFIERS_FOUND for one that was refused for that.
        """
        if not is_passage_id(passage_id):
            raise Refusal(Reason.BAD_REQUEST)
        known = self._held.get((client, passage_id))
        if known is not None:
            if known.terms != terms:
                raise Refusal(Reason.TERMS_CONFLICT)
            return known, False
        deletion = self._deletions.get((client, passage_id))
        if deletion is not None and deletion.cause == "identifiers_found":
            raise Refusal(Reason.IDENTIFIERS_FOUND)
        if len(self._held) >= self._caps.passages or self._bytes >= self._caps.memory_bytes:
            raise Refusal(Reason.BUSY, retry_after_s=30)
        held = Held(client, passage_id, terms, self._clock() + terms.retention_s)
        self._held[client, passage_id] = held
        self._record({"event": "announced", "passage": passage_id, "client": client, "model": terms.model})
        return held, True

    def passage(self, client: str, passage_id: str) -> Held:
        """A passage of this client.

        Raises
        ------
        Refusal
            NOT_FOUND, DELETED or IDENTIFIERS_FOUND.
        """
        held = self._held.get((client, passage_id))
        if held is not None:
            return held
        deletion = self._deletions.get((client, passage_id))
        if deletion is None:
            raise Refusal(Reason.NOT_FOUND)
        raise Refusal(Reason.IDENTIFIERS_FOUND if deletion.cause == "identifiers_found" else Reason.DELETED)

    def put(self, held: Held, index: int, part: bytes, sha256: bytes) -> bool:
        """Keep one part; whether it is new.

        Raises
        ------
        Refusal
            PART_CONFLICT, TOO_LARGE, BUSY, or MANIFEST_CONFLICT after the commit.
        """
        known = held.digests.get(index)
        if known is not None:
            if known != sha256:
                raise Refusal(Reason.PART_CONFLICT)
            return False
        if held.manifest is not None:
            raise Refusal(Reason.MANIFEST_CONFLICT)
        if not 0 <= index < self._caps.parts or len(part) > self._caps.part_bytes:
            raise Refusal(Reason.TOO_LARGE)
        if self._bytes + len(part) > self._caps.memory_bytes:
            raise Refusal(Reason.BUSY, retry_after_s=10)
        held.parts[index], held.digests[index] = part, sha256
        self._bytes += len(part)
        return True

    def keep_result(self, held: Held, result: SealedResult) -> None:
        """Keep the result until the passage is deleted; the scan has served its purpose and goes now."""
        self._bytes -= held.size
        held.parts.clear()
        held.sealed_key, held.result = b"", result
        self._bytes += held.size

    def delete(self, client: str, passage_id: str, cause: Cause) -> Deletion:
        """Delete all of a passage.

        One that is gone already gives the deletion that was; an unknown one gives the word that nothing is held.
        """
        held = self._held.pop((client, passage_id), None)
        if held is None:
            known = self._deletions.get((client, passage_id))
            return known or Deletion(passage_id, "not_held", moment(), 0, "")
        self._bytes -= held.size
        deletion = Deletion(
            passage_id,
            cause,
            moment(),
            len(held.digests),
            held.manifest.sha256.hex() if held.manifest is not None else "",
        )
        held.parts.clear()
        held.digests.clear()
        held.sealed_key, held.result = b"", None
        held.move(Stage.DELETED, Reason.IDENTIFIERS_FOUND if cause == "identifiers_found" else Reason.DELETED)
        self._deletions[client, passage_id] = deletion
        if len(self._deletions) > _RECEIPTS_KEPT:
            self._deletions.popitem(last=False)
        self._record(
            {
                "event": "deleted",
                "passage": passage_id,
                "client": client,
                "cause": cause,
                "parts": deletion.parts,
            }
        )
        return deletion

    def deletion(self, client: str, passage_id: str) -> Deletion:
        """The deletion of a passage that is gone.

        Raises
        ------
        Refusal
            NOT_FOUND, also while the passage is still here.
        """
        deletion = self._deletions.get((client, passage_id))
        if deletion is None or (client, passage_id) in self._held:
            raise Refusal(Reason.NOT_FOUND)
        return deletion

    def receipt(self, deletion: Deletion, challenge: str) -> tuple[bytes, bytes]:
        """The signed receipt of a deletion.

        Parameters
        ----------
        deletion : Deletion
        challenge : str
            What the client made up for this question, so that an old receipt cannot answer it.

        Returns
        -------
        tuple of bytes
            The statement in canonical JSON and its signature.
        """
        return signed_statement(
            self._signing,
            {
                "kind": "deletion",
                "passage": deletion.passage_id,
                "cause": deletion.cause,
                "deleted_at": deletion.deleted_at,
                "parts": deletion.parts,
                "manifest_sha256": deletion.manifest_sha256,
                "region": self._region,
                "challenge": challenge,
            },
        )

    def delete_expired(self) -> int:
        """Delete every passage whose time is over; how many."""
        now = self._clock()
        over = [key for key, held in self._held.items() if held.expires <= now]
        for client, passage_id in over:
            self.delete(client, passage_id, "retention")
        return len(over)

    async def keep_time(self) -> None:
        """Delete what is over, for as long as the contourer runs."""
        while True:
            self.delete_expired()
            due = min((held.expires for held in self._held.values()), default=float("inf"))
            await asyncio.sleep(max(0.0, min(due - self._clock(), _LOOK_S)))
