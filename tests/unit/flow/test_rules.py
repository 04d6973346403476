"""The first rule whose every key holds decides."""

import pytest

from gateway.config import Match, Rule
from gateway.flow.rules import SeriesFacts, rule_for

FACTS = SeriesFacts("PACS", "CONTOURGATE", "CT", "CHEST", "Thorax 3.0 B30f")


def rule(model: str, **match: object) -> Rule:
    return Rule(match=Match(**match), model=model, deliver_to=("tps",))


def test_the_first_match_wins() -> None:
    rules = [rule("mr", modality="MR"), rule("thorax", body_part="chest"), rule("any")]
    chosen = rule_for(rules, FACTS)
    assert chosen is not None
    assert chosen.model == "thorax"


def test_no_match_is_none() -> None:
    assert rule_for([rule("mr", modality="MR")], FACTS) is None


@pytest.mark.parametrize(
    "match",
    [
        {"calling_ae_title": "OTHER"},
        {"called_ae_title": "OTHER"},
        {"modality": "MR"},
        {"body_part": "HEAD"},
        {"series_description": "^thorax$"},
    ],
    ids=lambda match: next(iter(match)),
)
def test_each_key_must_hold(match: dict[str, object]) -> None:
    assert rule_for([rule("x", **match)], FACTS) is None


def test_slice_counts_are_judged_only_when_known() -> None:
    rules = [rule("few", max_slices=10), rule("many", min_slices=11)]
    assert [r.model for r in (rule_for(rules, FACTS), rule_for(rules, FACTS, 11)) if r] == ["few", "many"]
