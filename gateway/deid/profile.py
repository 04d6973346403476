"""A profile: what may leave of an image of one SOP class, with a reason for each attribute."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.deid.attribute import Attribute
from gateway.deid.codes import Option
from gateway.deid.recipe import Recipe, compiled
from gateway.deid.statement import statement

__all__ = ["Profile"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that was proved.

    Made by `gateway.deid.load` only.
    """

    name: str
    sop_class_uid: str
    modality: str
    options: tuple[Option, ...]
    """Declared options, in the order of their codes."""
    text_gate: bool
    """Whether a series under this profile leaves only after text was looked for in its pixels."""
    attributes: tuple[Attribute, ...]
    """In the order of their tags."""
    recipe: Recipe = field(init=False, repr=False, compare=False)
    """The same, compiled: what `gateway.flow.deidentify` follows for each slice."""

    def __post_init__(self) -> None:
        said = statement(self.name, self.options, text_gate=self.text_gate)
        object.__setattr__(self, "recipe", compiled(self.attributes, said))

    def attribute(self, tag: int) -> Attribute | None:
        """What the profile says about a tag; None where it does not let it leave."""
        return next((attribute for attribute in self.attributes if attribute.tag == tag), None)
