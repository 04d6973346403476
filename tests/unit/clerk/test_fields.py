"""No field of a record can carry a text that somebody typed (R2, R22)."""

import json
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from gateway.clerk import wire
from gateway.clerk.fields import (
    Catalogued,
    Configured,
    Digest,
    Hexadecimal,
    MomentText,
    PatientCodeText,
    RegionText,
)
from gateway.clerk.records import Record, read_record, write_record
from tests.unit.clerk.made_records import NAMES, NOON, ONE_OF_EACH

CLOSED_TEXTS = (Configured, Hexadecimal, PatientCodeText, Catalogued, MomentText, RegionText)


def free_fields(model: type[BaseModel]) -> Iterator[str]:
    """Fields of a model, and of the models in it, whose type could carry a text."""
    if model.model_config.get("extra") != "forbid" or not model.model_config.get("strict"):
        yield f"{model.__name__} takes more than its fields"
    for name, field in model.model_fields.items():
        if not _is_closed(field.annotation, _metadata(field)):
            yield f"{model.__name__}.{name}"


def _metadata(field: FieldInfo) -> tuple[Any, ...]:
    return tuple(field.metadata)


def _is_closed(annotation: Any, metadata: tuple[Any, ...] = ()) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_closed(arguments[0], (*metadata, *arguments[1:]))
    if origin in (Union, UnionType):
        return all(_is_closed(argument, metadata) for argument in arguments)
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is Ellipsis and _is_closed(arguments[0])
    if origin is Literal:
        return True
    if annotation is int:  # without a bound a number could carry any text
        return any(getattr(each, "le", None) is not None for each in metadata)
    if annotation is str:
        return any(isinstance(each, CLOSED_TEXTS) for each in metadata)
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return not list(free_fields(annotation))
        return issubclass(annotation, Enum | bool | datetime | NoneType | IPv4Address | IPv6Address)
    return False


def _members(union: Any) -> tuple[type[BaseModel], ...]:
    members: tuple[type[BaseModel], ...] = get_args(get_args(union)[0])
    return members


@pytest.mark.parametrize("model", _members(Record), ids=lambda model: model.__name__)
def test_no_record_has_a_field_for_free_text(model: type[BaseModel]) -> None:
    assert list(free_fields(model)) == []


@pytest.mark.parametrize(
    "model", [*_members(wire.ToClerk), *_members(wire.ToVault)], ids=lambda model: model.__name__
)
def test_no_message_between_vault_and_clerk_has_a_field_for_free_text(model: type[BaseModel]) -> None:
    assert list(free_fields(model)) == []


class _Text(BaseModel, extra="forbid", strict=True):
    note: str


class _ShapedText(BaseModel, extra="forbid", strict=True):
    note: Annotated[str, Field(pattern=r"^[A-Z]+$", max_length=8)]


class _OptionalText(BaseModel, extra="forbid", strict=True):
    note: Digest | str | None = None


class _TextInside(BaseModel, extra="forbid", strict=True):
    notes: tuple[_Text, ...]


class _BoundlessNumber(BaseModel, extra="forbid", strict=True):
    number: int


class _Bytes(BaseModel, extra="forbid", strict=True):
    raw: bytes


class _Anything(BaseModel, extra="forbid", strict=True):
    fact: Any


class _Open(BaseModel, extra="allow", strict=True):
    pass


@pytest.mark.parametrize(
    "model", [_Text, _ShapedText, _OptionalText, _TextInside, _BoundlessNumber, _Bytes, _Anything, _Open]
)
def test_control_a_field_for_free_text_is_caught(model: type[BaseModel]) -> None:
    assert list(free_fields(model))


RECORDS = {record.kind: json.loads(write_record(record)) for record in ONE_OF_EACH}
NAME = "MUSTERMANN"


def _leaves() -> Iterator[tuple[str, str]]:
    for kind, record in RECORDS.items():
        yield from ((kind, field) for field in record)


@pytest.mark.parametrize(("kind", "field"), list(_leaves()))
def test_a_name_finds_no_way_in_through_any_field(kind: str, field: str) -> None:
    record = RECORDS[kind]
    read_record(json.dumps(record), NAMES)
    for value in (NAME, [NAME], NAME.encode().hex(), f"{record[field]}{NAME}"):
        with pytest.raises(ValidationError):
            read_record(json.dumps({**record, field: value}), NAMES)


@pytest.mark.parametrize("kind", RECORDS)
def test_a_name_finds_no_way_in_beside_the_fields(kind: str) -> None:
    with pytest.raises(ValidationError):
        read_record(json.dumps({**RECORDS[kind], "note": NAME}), NAMES)


def test_a_network_address_has_no_zone() -> None:
    record = {**RECORDS["alert"], "address": "fe80::1"}
    read_record(json.dumps(record), NAMES)
    with pytest.raises(ValidationError):
        read_record(json.dumps({**record, "address": f"fe80::1%{NAME}"}), NAMES)


def test_a_time_is_utc() -> None:
    with pytest.raises(ValidationError):
        read_record(json.dumps({**RECORDS["stopped"], "at": "2026-03-01T12:00:00+05:00"}), NAMES)


def test_control_the_same_records_are_taken_with_names_of_the_configuration() -> None:
    stands = '{"kind":"person","at":"2026-03-01T12:00:00Z","deed":"release","person":"%s"}'
    assert read_record(stands % "mueller", NAMES).at == NOON
    with pytest.raises(ValidationError):
        read_record(stands % "meier", NAMES)
    read_record(stands % "meier", None)  # a ledger of other times, read elsewhere
