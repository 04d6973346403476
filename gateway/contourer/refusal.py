"""How a contourer says no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.cloud.protocol import Reason

__all__ = ["STATUS", "Refusal"]

STATUS: Final[Mapping[Reason, int]] = {
    Reason.BAD_REQUEST: 400,
    Reason.CLIENT_UNKNOWN: 403,
    Reason.NOT_FOUND: 404,
    Reason.DELETED: 410,
    Reason.BUSY: 429,
    Reason.TOO_LARGE: 413,
    Reason.UNKNOWN_MODEL: 422,
    Reason.TERMS_CONFLICT: 409,
    Reason.PART_CONFLICT: 409,
    Reason.PARTS_MISSING: 409,
    Reason.DIGEST_MISMATCH: 422,
    Reason.MANIFEST_INVALID: 422,
    Reason.MANIFEST_CONFLICT: 409,
    Reason.NOT_COMMITTED: 409,
    Reason.KEY_UNSEALABLE: 422,
    Reason.SLICE_UNSEALABLE: 422,
    Reason.SLICE_INVALID: 422,
    Reason.IDENTIFIERS_FOUND: 422,
    Reason.ENGINE_REJECTED: 422,
    Reason.ENGINE_CRASHED: 422,
    Reason.ENGINE_TIMEOUT: 422,
}
"""The HTTP status of each reason (RFC 9110)."""


class Refusal(Exception):
    """A request that is not granted, or a passage that failed; the client learns the reason.

    Parameters
    ----------
    reason : Reason
    retry_after_s : int, optional
        When to try again, for `BUSY`.
    detail : str
        The engine's own code, for `ENGINE_REJECTED`: capital letters and underscores.
    """

    def __init__(self, reason: Reason, retry_after_s: int | None = None, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason: Final = reason
        self.retry_after_s: Final = retry_after_s
        self.detail: Final = detail
