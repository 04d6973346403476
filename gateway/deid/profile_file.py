"""Profile files: YAML in, what they declare out.

A site may write a profile of its own, or extend one with `extends:`. What is read here is not believed yet: see
`gateway.deid.profile`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.uid import CTImageStorage, MRImageStorage

from gateway.deid.codes import Option
from gateway.deid.declared import Action, Attribute, Declared
from gateway.errors import ConfigError, Fact, Word

__all__ = ["SHIPPED", "read_profile"]

SHIPPED: Final = ("contouring-ct", "contouring-mr")
"""The profiles of the package."""

_SOP_CLASSES: Final = {
    "CTImageStorage": (str(CTImageStorage), "CT"),
    "MRImageStorage": (str(MRImageStorage), "MR"),
}
_LARGEST_BYTES: Final = 256 * 1024
_LONGEST_CHAIN: Final = 4
"""How often a profile may extend one that extends another."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_ ]{0,15}$")]
_Words = Annotated[tuple[_Word, ...], Field(min_length=1, max_length=200, strict=False)]
_Bounds = Annotated[tuple[float, float], Field(strict=False)]
_Type = Annotated[
    Literal["1", "1C", "2", "2C", "3"], BeforeValidator(lambda t: str(t) if isinstance(t, int) else t)
]


class _AttributeFile(_Model):
    """One attribute as a profile file gives it."""

    type: _Type
    action: Annotated[Action, Field(strict=False)]
    reason: Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[ -~]+$")]
    values: _Words | None = None
    positions: Annotated[tuple[_Words, ...], Field(min_length=1, max_length=8, strict=False)] | None = None
    at_least: Annotated[int, Field(ge=1)] = 1
    fill: _Word | None = None
    if_empty: _Word | None = None
    value: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -\[\]-~]+$")] | None = None
    range: _Bounds | None = None
    count: Annotated[tuple[int, int], Field(strict=False)] | None = None
    unless: str | None = None
    when: Annotated[tuple[str, str], Field(strict=False)] | None = None


class _ProfileFile(_Model):
    """A profile file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    extends: str | None = None
    sop_class: Literal["CTImageStorage", "MRImageStorage"] | None = None
    options: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    text_gate: bool | None = None
    without: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Attributes of the extended profile that are not wanted."""
    attributes: Mapping[str, _AttributeFile] = {}


def read_profile(source: str | Path) -> Declared:
    """Read one profile, and what it extends.

    Parameters
    ----------
    source : str or Path
        The name of a shipped profile, or a file; a file's `extends` may name either.

    Raises
    ------
    ConfigError
        CONFIG_UNREADABLE or CONFIG_INVALID.
    """
    return _merged(source, _LONGEST_CHAIN)


def _merged(source: str | Path, depth: int) -> Declared:
    where = _file_word(source)
    if depth == 0:
        _wrong(where, because=Word("extends goes round or too deep"))
    file = _parsed(source, where)
    base: Declared | None = None
    if file.extends is not None:
        beside = source.parent / file.extends if isinstance(source, Path) else None
        base = _merged(file.extends if file.extends in SHIPPED or beside is None else beside, depth - 1)
    if file.sop_class is None and base is None:
        _wrong(where, because=Word("sop_class or extends is missing"))
    attributes = {attribute.keyword: attribute for attribute in base.attributes} if base else {}
    for keyword in file.without:
        if keyword not in attributes:
            _wrong(where, because=Word("without names an attribute that is not there"))
        del attributes[keyword]
    for keyword, entry in file.attributes.items():
        attributes[keyword] = _attribute(keyword, entry, where)
    if file.sop_class is not None:
        sop_class_uid, modality = _SOP_CLASSES[file.sop_class]
    elif base is not None:
        sop_class_uid, modality = base.sop_class_uid, base.modality
    inherited = base.options if base else ()
    gate = base.text_gate if base else True
    return Declared(
        name=file.name,
        sop_class_uid=sop_class_uid,
        modality=modality,
        options=inherited if file.options is None else _options(file.options, where),
        text_gate=gate if file.text_gate is None else file.text_gate,
        attributes=tuple(sorted(attributes.values(), key=lambda attribute: attribute.tag)),
    )


def _options(labels: Sequence[str], where: Word) -> tuple[Option, ...]:
    try:
        options = {Option.labelled(label) for label in labels}
    except ValueError:
        _wrong(where, because=Word("an option that PS3.15 does not know"))
    return tuple(sorted(options, key=lambda option: option.code))


def _attribute(keyword: str, entry: _AttributeFile, where: Word) -> Attribute:
    tag = tag_for_keyword(keyword)
    if tag is None:
        _wrong(where, because=Word("a keyword that PS3.6 does not know"))
    vr = dictionary_VR(tag)
    single = re.fullmatch(r"[0-9]+", dictionary_VM(tag))
    fewest, most = entry.count or ((int(single[0]),) * 2 if single else (1, 8))
    return Attribute(
        tag=tag,
        keyword=keyword,
        vr=vr,
        type=entry.type,
        action=entry.action,
        reason=entry.reason,
        positions=tuple(frozenset(words) for words in entry.positions or ()),
        values=frozenset(entry.values or ()),
        at_least=entry.at_least,
        fill=entry.fill or "",
        if_empty=entry.if_empty or "",
        value=entry.value or "",
        bounds=entry.range,
        fewest=fewest,
        most=most,
        unless=entry.unless or "",
        when=entry.when,
    )


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, where YAML's own loader would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.MarkedYAMLError(problem="a key stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _parsed(source: str | Path, where: Word) -> _ProfileFile:
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                text = file.read(_LARGEST_BYTES + 1).decode("utf-8")
        else:
            text = files("gateway.deid").joinpath("data", f"{source}.yaml").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError("CONFIG_UNREADABLE", file=where) from None
    if len(text) > _LARGEST_BYTES:
        _wrong(where, because=Word("too large"))
    try:
        return _ProfileFile.model_validate(yaml.load(text, Loader=_Loader))  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError("CONFIG_UNREADABLE", file=where, line=line) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError("CONFIG_UNREADABLE", file=where) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        _wrong(where, key=_word(place or "profile"), because=_word(first["type"].replace("_", " ")))


def _wrong(where: Word, **facts: Fact) -> NoReturn:
    raise ConfigError("CONFIG_INVALID", file=where, **facts)


def _file_word(source: str | Path) -> Word:
    return _word(source.name if isinstance(source, Path) else source)


def _word(text: str) -> Word:
    """Text of the administrator's own file, as far as it may stand in a log."""
    return Word(re.sub(r"[^A-Za-z0-9 _.:/()-]", "-", text).lstrip(" _.:/()-")[:80] or "unnamed")
