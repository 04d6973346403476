"""The sealed protocol: the words that the gateway and a contourer of ours have in common.

All requests go over TLS (R20), under `/v1`; a passage is visible only to the client that announced it.

====== ================================= =============================================================
GET    /contourer?challenge=             who it is, signed: version, region, models
PUT    /passages/{id}                    announce: model, profile, retention
GET    /passages/{id}                    stage, digests of the parts that are there, reason
PUT    /passages/{id}/parts/{index}      one sealed slice, with Content-Digest (RFC 9530); idempotent
POST   /passages/{id}/commit             the manifest and the sealed key; idempotent
GET    /passages/{id}/result?wait_s=     the sealed structure set, or 202 while there is none
DELETE /passages/{id}?challenge=         delete all of it; answers with the signed receipt
GET    /passages/{id}/receipt            the receipt of what was deleted without being asked
====== ================================= =============================================================

An error is JSON: a code of `Reason` and a hint for a person.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CONTENT_DIGEST",
    "SIGNATURE",
    "STATEMENT",
    "Announcement",
    "ContourerIdentity",
    "Reason",
    "Stage",
    "content_digest",
    "digest_header",
    "digest_in",
]

CONTENT_DIGEST: Final = "Content-Digest"
STATEMENT: Final = "Contourgate-Statement"
"""Header of a result: the signed statement about it, in base64."""
SIGNATURE: Final = "Contourgate-Signature"
"""Header of a result: the Ed25519 signature over the statement, in base64."""

DAY_S: Final = 24 * 60 * 60
"""The longest that a contourer keeps anything of a passage (R7)."""


class Stage(StrEnum):
    """Where a passage stands at the contourer."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    CONTOURING = "contouring"
    DONE = "done"
    FAILED = "failed"
    DELETED = "deleted"


class Reason(StrEnum):
    """Why a contourer does not do what was asked."""

    BAD_REQUEST = "bad_request"
    CLIENT_UNKNOWN = "client_unknown"
    NOT_FOUND = "not_found"
    """It knows nothing of the passage: never announced, or it restarted."""
    DELETED = "deleted"
    BUSY = "busy"
    TOO_LARGE = "too_large"
    UNKNOWN_MODEL = "unknown_model"
    TERMS_CONFLICT = "terms_conflict"
    """Announced before with another model, profile or retention."""
    PART_CONFLICT = "part_conflict"
    """Another content was uploaded under this index."""
    PARTS_MISSING = "parts_missing"
    DIGEST_MISMATCH = "digest_mismatch"
    """The body is not what Content-Digest says: damaged on the way."""
    MANIFEST_INVALID = "manifest_invalid"
    MANIFEST_CONFLICT = "manifest_conflict"
    """Committed before under another manifest."""
    NOT_COMMITTED = "not_committed"
    KEY_UNSEALABLE = "key_unsealable"
    SLICE_UNSEALABLE = "slice_unsealable"
    SLICE_INVALID = "slice_invalid"
    IDENTIFIERS_FOUND = "identifiers_found"
    """A slice is not de-identified (R9): everything was deleted at once."""
    ENGINE_REJECTED = "engine_rejected"
    """The engine cannot contour such a series."""
    ENGINE_CRASHED = "engine_crashed"
    ENGINE_TIMEOUT = "engine_timeout"

    @property
    def hint(self) -> str:
        """What a person on the clinic's side should do."""
        return _HINTS[self]


_HINTS: Final[dict[Reason, str]] = {
    Reason.BAD_REQUEST: "The request does not follow the protocol; compare the versions of both sides.",
    Reason.CLIENT_UNKNOWN: "Register the gateway's client certificate with the contourer.",
    Reason.NOT_FOUND: "Announce the passage and upload its parts again.",
    Reason.DELETED: "Announce the passage and upload its parts again.",
    Reason.BUSY: "Try again after the time in Retry-After.",
    Reason.TOO_LARGE: "The part or the passage is larger than this contourer takes.",
    Reason.UNKNOWN_MODEL: "Choose one of the models that the contourer offers.",
    Reason.TERMS_CONFLICT: "Delete the passage before it is announced with other terms.",
    Reason.PART_CONFLICT: "Delete the passage before another content is uploaded.",
    Reason.PARTS_MISSING: "Ask which parts are there and upload the others.",
    Reason.DIGEST_MISMATCH: "The upload was damaged on the way; send it again.",
    Reason.MANIFEST_INVALID: "The manifest does not match the uploaded parts; compare the versions of both sides.",
    Reason.MANIFEST_CONFLICT: "Delete the passage before it is committed with another manifest.",
    Reason.NOT_COMMITTED: "Commit the passage first.",
    Reason.KEY_UNSEALABLE: "The key was sealed to another contourer; compare the pinned identity.",
    Reason.SLICE_UNSEALABLE: "A part does not open under the released key.",
    Reason.SLICE_INVALID: "A slice does not parse or decode; compare the versions of both sides.",
    Reason.IDENTIFIERS_FOUND: "A slice carries what a de-identified image must not. Everything was deleted.",
    Reason.ENGINE_REJECTED: "The model cannot contour this series.",
    Reason.ENGINE_CRASHED: "The engine broke down; commit again to try once more.",
    Reason.ENGINE_TIMEOUT: "The engine took too long; commit again to try once more.",
}


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Announcement(_Message):
    """The body of the PUT that announces a passage."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    profile: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    retention_s: Annotated[int, Field(ge=60, le=DAY_S)] = DAY_S
    """When everything is deleted at the latest, counted from the announcement."""


class ContourerIdentity(_Message):
    """Who a contourer is: what the clinic pins. Public, in hexadecimal."""

    version: Literal[1] = 1
    region: Annotated[str, Field(pattern=r"^([A-Z]{2}|LOCAL)$")]
    """ISO 3166 code of the country where everything stays (R17); `LOCAL` is the gateway's own machine."""
    hpke_public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{2432}$")]
    """MLKEM768-X25519: content keys are sealed to it."""
    receipt_public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Ed25519: results, receipts and the region are signed with its private half."""
    certificate_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the TLS certificate, DER."""


def content_digest(body: bytes) -> str:
    """The value of Content-Digest for a body (RFC 9530 section 2)."""
    return digest_header(hashlib.sha256(body).digest())


def digest_header(sha256: bytes) -> str:
    """The value of Content-Digest for a body with this SHA-256."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def digest_in(header: str) -> bytes | None:
    """The SHA-256 that a Content-Digest names; nothing, if it names none."""
    found = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):", header)
    if found is None:
        return None
    try:
        return base64.b64decode(found.group(1), validate=True)
    except binascii.Error:
        return None
