"""Rules: which model and which destinations a series gets. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config import Match, Rule


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a rule can match. Lives in the vault only: a description may name a patient."""

    calling_ae_title: str
    called_ae_title: str
    modality: str
    body_part: str
    series_description: str


def matches(match: Match, facts: SeriesFacts, slices: int | None) -> bool:
    """Whether every key that `match` gives holds.

    Parameters
    ----------
    slices : int or None
        How many slices the series has; None while they still arrive: the counts are then not judged.
    """
    return (
        match.calling_ae_title in (None, facts.calling_ae_title)
        and match.called_ae_title in (None, facts.called_ae_title)
        and match.modality in (None, facts.modality)
        and (match.body_part is None or match.body_part.casefold() == facts.body_part.casefold())
        and (
            match.series_description is None
            or bool(re.search(match.series_description, facts.series_description))
        )
        and (slices is None or match.min_slices is None or slices >= match.min_slices)
        and (slices is None or match.max_slices is None or slices <= match.max_slices)
    )


def rule_for(rules: Sequence[Rule], facts: SeriesFacts, slices: int | None = None) -> Rule | None:
    """The first rule that matches; None where none does."""
    return next((rule for rule in rules if matches(rule.match, facts, slices)), None)
