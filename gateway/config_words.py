"""What pydantic found wrong, in words for an administrator.

In: pydantic's errors and the document they are about. Out: a place and a message for each, with the nearest key that
exists where one is unknown, and YAML's own traps (`ON` is a truth value, `010` is eight) called by their name.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.yaml_lines import Document, Place

__all__ = ["explained", "models_in"]

_YAML_KINDS: Final = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    date: "a date",
    datetime: "a time",
}


def explained(
    error: ValidationError, document: Document, model: type[BaseModel]
) -> Iterator[tuple[Place, str]]:
    """Each mistake that pydantic found.

    Parameters
    ----------
    error : ValidationError
    document : Document
        What was validated.
    model : type
        By which model.
    """
    for detail in error.errors(include_url=False, include_context=True):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # it is long enough; its entries have mistakes, each of which is told
        place = _place_in(document.data, detail["loc"])
        match detail["type"]:
            case "missing":
                yield (*place, detail["loc"][-1]), "is missing"
            case "extra_forbidden":
                yield place, "is not a key here" + _did_you_mean(str(place[-1]), detail["loc"], model)
            case "union_tag_not_found":
                yield (*place, "kind"), "is missing: " + " or ".join(_tags(detail["loc"], model))
            case "union_tag_invalid":
                yield (*place, "kind"), f"should be one of {_of(detail, 'expected_tags')}"
            case _:
                yield place, _message(detail, document.written(place))


def _place_in(data: Any, loc: Place) -> tuple[int | str, ...]:
    """The location without the names of union members that pydantic puts between the keys."""
    place: tuple[int | str, ...] = ()
    for part in loc:
        is_there = (
            part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        )
        if is_there:
            data = data[part]
            place = (*place, part)
    return place


def _message(detail: ErrorDetails, written: str | None) -> str:
    value = detail["input"]
    match detail["type"]:
        case _ if value is None:
            return "has no value"
        case "string_type" if written is not None:
            kind = _YAML_KINDS.get(type(value), "something else")
            return f'YAML reads {written} as {kind}; write "{written}" in quotes'
        case "int_type" | "float_type" | "bool_type" if isinstance(value, str):
            return f"{_should_be(detail)}, not a text; quotes make it one"
        case "model_type" | "model_attributes_type":
            return "should be a block of keys"
        case "tuple_type":
            return "should be a list"
        case "too_short":
            return "needs at least one entry"
        case "string_pattern_mismatch":
            return f"should look like {_of(detail, 'pattern')}"
        case _:
            return _should_be(detail)


def _should_be(detail: ErrorDetails) -> str:
    text = detail["msg"].removeprefix("Value error, ")
    for subject in ("Input", "String", "Value"):
        text = text.removeprefix(f"{subject} ")
    return text


def _of(detail: ErrorDetails, fact: str) -> str:
    return str(detail.get("ctx", {}).get(fact, ""))


def _did_you_mean(key: str, loc: Place, model: type[BaseModel]) -> str:
    keys = {name for candidate in _models_at(loc[:-1], model) for name in candidate.model_fields}
    near = difflib.get_close_matches(key, sorted(keys), n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(keys))}"


def _models_at(loc: Place, model: type[BaseModel]) -> list[type[BaseModel]]:
    models = [model]
    for part in loc:
        if isinstance(part, str):
            fields = [one.model_fields[part].annotation for one in models if part in one.model_fields]
            models = [inner for field in fields for inner in models_in(field)] or _tagged(models, part)
    return models


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a field's type: of a block, of a list's entries, of each member of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, tuple):
        for argument in get_args(annotation):
            yield from models_in(argument)


def _tagged(models: list[type[BaseModel]], tag: str) -> list[type[BaseModel]]:
    """Of the members of a union those that carry this tag; all, where the tag is not told by a key."""
    return [one for one in models if tag in _tags_of(one)] or models


def _tags(loc: Place, model: type[BaseModel]) -> list[str]:
    return [tag for one in _models_at(loc, model) for tag in _tags_of(one)]


def _tags_of(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()
