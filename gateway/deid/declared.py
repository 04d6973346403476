"""What a profile declares: the attributes that may leave, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.deid.codes import Option

__all__ = ["Action", "Attribute", "Declared"]


class Action(StrEnum):
    """What happens to an attribute that is listed."""

    NUMBER = "number"
    CODE = "code"
    UID = "uid"
    PSEUDONYM = "pseudonym"
    CONSTANT = "constant"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that may leave."""

    tag: int
    keyword: str
    vr: str
    """Of PS3.6; `US or SS` where PixelRepresentation decides."""
    type: str
    """1, 1C, 2, 2C or 3, as the IOD has it."""
    action: Action
    reason: str
    positions: tuple[frozenset[str], ...] = ()
    """CODE: the words allowed at each position; what follows an unknown word is left out with it."""
    values: frozenset[str] = frozenset()
    """CODE: the words allowed anywhere; unknown ones are left out."""
    at_least: int = 1
    """CODE: fewer known words than this are no value."""
    fill: str = ""
    """CODE with positions: what stands at the last position where no known word does."""
    if_empty: str = ""
    """CODE with values: the word that an element without a value stands for; an absent element stands for nothing."""
    value: str = ""
    """CONSTANT."""
    bounds: tuple[float, float] | None = None
    """NUMBER: the range, both ends included; a number outside is no value."""
    fewest: int = 1
    """NUMBER and CODE: how many values there must be."""
    most: int = 1
    unless: str = ""
    """Keyword of another attribute; this one is left out where that one goes out."""
    when: tuple[str, str] | None = None
    """Keyword of a CODE and one of its words; this one is left out unless that one says it."""

    @property
    def words(self) -> frozenset[str]:
        """Every word that a CODE may put out."""
        return self.values.union(*self.positions)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a profile's file says, before it is proved."""

    name: str
    sop_class_uid: str
    modality: str
    options: tuple[Option, ...]
    """Declared options, in the order of their codes."""
    text_gate: bool
    """Whether a series under this profile leaves only after text was looked for in its pixels."""
    attributes: tuple[Attribute, ...]
    """In the order of their tags."""

    def attribute(self, tag: int) -> Attribute | None:
        """What the profile says about a tag; None where it does not let it leave."""
        return next((attribute for attribute in self.attributes if attribute.tag == tag), None)
