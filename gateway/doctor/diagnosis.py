"""What an examination says, and the page that they make together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Diagnosis", "Finding", "is_green"]


class Finding(StrEnum):
    """How an examination ended."""

    WELL = "well"
    CAUTION = "caution"
    """The gateway runs, but not as it should."""
    ILL = "ill"
    """The gateway does not start, cannot do its work, or its evidence is not sound."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one examination found."""

    finding: Finding
    subject: str
    text: str
    """In one line; configured names, numbers and words of this program only."""


def is_green(diagnoses: Iterable[Diagnosis]) -> bool:
    """Whether nothing is ill."""
    return all(one.finding is not Finding.ILL for one in diagnoses)
