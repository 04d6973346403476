"""What a contourer must speak.

Two clients implement it: `gateway.cloud.sealed` and `gateway.cloud.dicomweb`. A stage of the flow sees only
this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.cloud.payload import Codec, SlicePayload


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of the contourer for one passage."""

    passage_id: str
    model: str
    profile: str
    """Name of the de-identification profile, told to the contourer for its record."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The contourer's signed word that it deleted everything of a passage."""

    passage_id: str
    deleted_at: str
    """RFC 3339, UTC."""
    parts: int
    """Uploaded parts that were deleted."""
    signature: bytes
    """Ed25519 over the statement; empty where the contourer cannot sign (DICOMweb)."""
    statement: bytes = b""
    """Canonical JSON, exactly what was signed: with the signature and the contourer's public key, evidence that
    anyone can check."""


class Exchange(Protocol):
    """One passage's dealings with the contourer.

    Every method retries what is worth retrying by itself, and raises `ContourerUnavailable` only after its
    last try, `ContourerRefused` when trying again is useless.
    """

    async def add(self, index: int, payload: SlicePayload) -> int:
        """Take one pseudonymised slice; returns the bytes uploaded now (0 where nothing goes before commit).

        A sealed contourer gets the ciphertext at once; it cannot read it. Calls may run four at a time.
        """

    def seal(self) -> bytes:
        """Fix what was added: nothing can join any more. Idempotent.

        Returns
        -------
        bytes
            SHA-256 of the manifest, by which `Contourer.join` takes the passage up after a restart.
        """

    async def commit(self) -> None:
        """Release what was sealed: from here on the contourer can read it and works. Idempotent."""

    async def result(self) -> bytes:
        """Wait for the structure set.

        Returns
        -------
        bytes
            A DICOM Part 10 stream, opened and verified to be this passage's, still pseudonymised.
        """

    async def delete(self) -> Receipt:
        """Have everything of the passage deleted; also allowed before commit or after a refusal."""

    async def close(self) -> None:
        """Destroy the passage's content key on our side. Idempotent."""


class Contourer(Protocol):
    """A contouring service."""

    @property
    def codec(self) -> Codec:
        """The codec that suits the uplink now."""

    async def start(self) -> None:
        """Open what is needed to speak."""

    async def describe(self) -> Mapping[str, str]:
        """Reach it and verify who it is: its version, region, models (comma-separated)."""

    async def begin(self, order: Order) -> Exchange:
        """Announce a passage."""

    async def join(self, order: Order, manifest_sha256: bytes) -> Exchange:
        """Take up a passage that was committed before a restart."""

    async def close(self) -> None:
        """The reverse of `start`."""
