"""A profile: what may leave of an image of one SOP class, read, proved and compiled at start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.deid.declared import Action, Attribute, Declared
from gateway.deid.profile_file import SHIPPED, read_profile
from gateway.deid.proof import prove
from gateway.deid.recipe import Recipe, compiled
from gateway.deid.statement import Said, statement

__all__ = ["SHIPPED", "Action", "Attribute", "Profile", "load_profile", "load_profiles"]


@dataclass(frozen=True, slots=True)
class Profile(Declared):
    """A profile that was proved; made by `load_profile` and `load_profiles` only."""

    said: tuple[Said, ...]
    """The computed attributes."""
    recipe: Recipe
    """The whole, compiled: what `gateway.flow.deidentify` follows for each slice."""


def load_profiles(paths: Sequence[Path] = ()) -> dict[str, Profile]:
    """The profile of each modality: the shipped ones, then the site's files.

    Parameters
    ----------
    paths : sequence of Path
        `deid.profiles` of the configuration; the last one for a modality counts.

    Raises
    ------
    ConfigError
        CONFIG_UNREADABLE, CONFIG_INVALID or DEID_PROFILE_DISHONEST.
    """
    sources: list[str | Path] = [*SHIPPED, *paths]
    profiles = [load_profile(source) for source in sources]
    return {profile.modality: profile for profile in profiles}


def load_profile(source: str | Path) -> Profile:
    """Read, prove and compile one profile.

    Parameters
    ----------
    source : str or Path
        The name of a shipped profile, or a file.

    Raises
    ------
    ConfigError
        CONFIG_UNREADABLE, CONFIG_INVALID or DEID_PROFILE_DISHONEST.
    """
    declared = read_profile(source)
    prove(declared)
    said = statement(declared.name, declared.options, text_gate=declared.text_gate)
    return Profile(
        name=declared.name,
        sop_class_uid=declared.sop_class_uid,
        modality=declared.modality,
        options=declared.options,
        text_gate=declared.text_gate,
        attributes=declared.attributes,
        said=said,
        recipe=compiled(declared.attributes, said),
    )
