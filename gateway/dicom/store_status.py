"""What the status of a C-STORE response means to the one who sent (PS3.4 B.2.3, PS3.7 C)."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Verdict", "judge"]


class Verdict(Enum):
    """What a status means for a delivery."""

    DELIVERED = "delivered"
    WARNED = "warned"
    """Stored, with a reservation: elements coerced or discarded, a mismatch noted."""
    DUPLICATE = "duplicate"
    """It was there already: an earlier response of the peer was lost."""
    LATER = "retried"
    REFUSED = "refused"
    """Not this object. Some peers say so when they are only busy, so it is tried a few times."""


_DUPLICATE_SOP_INSTANCE: Final = 0x0111
_LATER: Final = frozenset({0x0110, 0x0124, 0x0210, 0x0211, 0x0212, 0x0213, 0xFE00})
"""Processing failure, not authorised, the peer's own confusion, resource limitation, cancelled."""
_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})


def judge(status: int) -> Verdict:
    """What a status means."""
    if status == 0:
        return Verdict.DELIVERED
    if status in _WARNINGS or status >> 12 == 0xB:
        return Verdict.WARNED
    if status == _DUPLICATE_SOP_INSTANCE:
        return Verdict.DUPLICATE
    if status in _LATER or status >> 8 == 0xA7:
        return Verdict.LATER
    return Verdict.REFUSED
