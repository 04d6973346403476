"""The field types that a record may have: none of them can carry a text that somebody typed.

A field is an enum, a bounded number, a UTC time, a network address, hexadecimal digits of a fixed count, a patient
code, a code of the catalogue, or a name of the configuration. The last is checked against the names that the clerk
was started with, so that even this text cannot be one that came over the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from gateway.config import Config
from gateway.errors import CATALOGUE

_PATIENT_CODE: Final = re.compile(r"P-[0-9A-HJKMNP-TV-Z]{8}")
"""As `Pseudonyms.patient_code` makes them (Crockford's base 32)."""
_MOMENT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)


class Kind(StrEnum):
    """What a name of the configuration names."""

    AE_TITLE = "ae_title"
    DESTINATION = "destination"
    MODEL = "model"
    PROFILE = "profile"
    PERSON = "person"


class Names(BaseModel):
    """Every name that a record may carry."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ae_title: frozenset[str]
    destination: frozenset[str]
    model: frozenset[str]
    profile: frozenset[str]
    person: frozenset[str]

    def __or__(self, other: Names) -> Names:
        """The names of both."""
        return Names(**{kind: getattr(self, kind) | getattr(other, kind) for kind in Names.model_fields})

    @classmethod
    def of(cls, config: Config, *, profiles: frozenset[str], persons: frozenset[str] = frozenset()) -> Names:
        """The names of a configuration.

        Parameters
        ----------
        config : Config
        profiles : frozenset of str
            Names of the de-identification profiles.
        persons : frozenset of str
            Names of the console's users.
        """
        return cls(
            ae_title=frozenset({config.dicom.ae_title, *(source.ae_title for source in config.sources)}),
            destination=frozenset(destination.name for destination in config.destinations),
            model=frozenset(rule.model for rule in config.rules),
            profile=profiles,
            person=persons,
        )


@dataclass(frozen=True, slots=True)
class Configured:
    """A `str` that is a name of the configuration.

    Validation takes the `Names` from its context and refuses every other text. Without a context, which is where
    the vault makes a record, nothing is checked: the clerk decides.
    """

    kind: Kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(
            self._check, core_schema.str_schema(strict=True, min_length=1, max_length=64)
        )

    def _check(self, text: str, info: ValidationInfo) -> str:
        if isinstance(info.context, Names) and text not in getattr(info.context, self.kind):
            raise ValueError(f"not a {self.kind} of the configuration")
        return text


@dataclass(frozen=True, slots=True)
class Hexadecimal:
    """A `str` of exactly so many lower-case hexadecimal digits."""

    digits: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(strict=True, pattern=f"^[0-9a-f]{{{self.digits}}}$")


@dataclass(frozen=True, slots=True)
class PatientCodeText:
    """A `str` that has the form of a patient code."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(strict=True, pattern=f"^{_PATIENT_CODE.pattern}$")


@dataclass(frozen=True, slots=True)
class RegionText:
    """A `str` that has the form of a country's code of ISO 3166, or is `LOCAL`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(strict=True, pattern="^([A-Z]{2}|LOCAL)$")


@dataclass(frozen=True, slots=True)
class MomentText:
    """A `str` that is a time of RFC 3339, as somebody else wrote it: what they signed has to be rebuilt exactly."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(strict=True, pattern=_MOMENT)


@dataclass(frozen=True, slots=True)
class Catalogued:
    """A `str` that is a code of `gateway.errors.CATALOGUE`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(CATALOGUE))


def _in_utc(time: datetime) -> datetime:
    if time.utcoffset() != timedelta(0):
        raise ValueError("times are aware and UTC")
    return time.astimezone(UTC)


def _without_scope(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("an address has no zone: that would be a text")
    return address


AETitle = Annotated[str, Configured(Kind.AE_TITLE)]
DestinationName = Annotated[str, Configured(Kind.DESTINATION)]
ModelName = Annotated[str, Configured(Kind.MODEL)]
ProfileName = Annotated[str, Configured(Kind.PROFILE)]
PersonName = Annotated[str, Configured(Kind.PERSON)]
PassageId = Annotated[str, Hexadecimal(32)]
Digest = Annotated[str, Hexadecimal(64)]
"""SHA-256 of something that is no secret, or a keyed digest of something that is."""
Signature = Annotated[str, Hexadecimal(128)]
"""Ed25519."""
PatientCode = Annotated[str, PatientCodeText()]
Code = Annotated[str, Catalogued()]
Count = Annotated[int, Field(ge=0, le=2**53)]
Region = Annotated[str, RegionText()]
"""Where a contourer keeps everything; `LOCAL` is the gateway's own machine."""
Moment = Annotated[str, MomentText()]
UtcTime = Annotated[datetime, AfterValidator(_in_utc)]
Address = Annotated[IPv4Address | IPv6Address, AfterValidator(_without_scope)]
