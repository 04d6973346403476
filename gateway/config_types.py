"""The kinds of values that the configuration has: AE titles, addresses, names, ports, durations, paths."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

__all__ = ["AETitle", "File", "Model", "Name", "Network", "Pattern", "Port", "Seconds"]


class Model(BaseModel):
    """A block of keys: no others, of exactly these types, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=False)


def _ae_title(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x5B\x5D-\x7E](?:[\x20-\x5B\x5D-\x7E]{0,14}[\x21-\x5B\x5D-\x7E])?", text):
        raise ValueError(
            "an AE title has 1 to 16 printable ASCII characters, no backslash, no space at its ends"
        )
    return text


def _network(text: str) -> str:
    ipaddress.ip_network(text, strict=False)
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    return path if info.context is None else info.context / path


AETitle = Annotated[str, AfterValidator(_ae_title)]
"""PS3.5 VR AE."""
Network = Annotated[str, AfterValidator(_network)]
"""An IP address, or a network such as 10.20.0.0/24."""
Pattern = Annotated[str, AfterValidator(_pattern)]
"""A regular expression."""
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
"""A name that the administrator gives to something; shown in logs, metrics and the console."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
File = Annotated[Path, Field(strict=False), AfterValidator(_from_folder)]
"""A path; a relative one is taken from the configuration file's folder."""
