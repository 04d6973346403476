"""Whether the gateway takes work, as the console and the probes tell it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import CATALOGUE


@dataclass(frozen=True, slots=True)
class Readiness:
    """What stands in the way of taking another series; nothing does, if `reasons` is empty.

    Raises
    ------
    KeyError
        If a reason is not in the catalogue of errors.
    """

    reasons: tuple[str, ...] = ()
    """Codes of `gateway.errors.CATALOGUE`."""

    def __post_init__(self) -> None:
        for code in self.reasons:
            if code not in CATALOGUE:
                raise KeyError(f"{code} is not in the catalogue of errors")

    @property
    def is_ready(self) -> bool:
        """Whether senders may store now."""
        return not self.reasons

    @property
    def is_draining(self) -> bool:
        """Whether the gateway is being stopped."""
        return "DRAINING" in self.reasons
