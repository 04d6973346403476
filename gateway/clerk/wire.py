"""What the vault and the clerk say to each other, one message a packet (AF_UNIX, SOCK_SEQPACKET).

The vault numbers its records from 1 in each of its lives (an epoch). After it starts, and each time a clerk says
hello, it attaches and sends again whatever has no receipt; the clerk takes numbers only in order and writes none
twice. Every message is of closed types, as the records are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.clerk.fields import Count, Digest, Names
from gateway.clerk.journal import Epoch
from gateway.clerk.records import Damaged, Record
from gateway.config import Protection


class Trouble(StrEnum):
    """Why the clerk cannot write now."""

    DISK_FULL = "disk_full"
    READ_ONLY = "read_only"
    INPUT_OUTPUT = "input_output"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Attach(_Message):
    """Vault: this is who I am, and the number of the next record that I send."""

    type: Literal["attach"] = "attach"
    epoch: Epoch
    next: Count
    wants_open: bool
    """Whether the passages that were open before are to be told."""


class Write(_Message):
    """Vault: write this."""

    type: Literal["write"] = "write"
    epoch: Epoch
    number: Count
    record: Annotated[Record, Field(discriminator="kind")]


class Hello(_Message):
    """Clerk: I have just started and know nothing of you."""

    type: Literal["hello"] = "hello"


class Written(_Message):
    """Clerk: everything up to this number is on the disk."""

    type: Literal["written"] = "written"
    epoch: Epoch
    number: Count
    entries: Count
    """How many entries the ledger has now."""
    head: Digest
    """Hash of the last of them."""


class Refused(_Message):
    """Clerk: this is not a record, or it carries a name that is not of the configuration."""

    type: Literal["refused"] = "refused"
    epoch: Epoch
    number: Count


class Health(_Message):
    """Clerk: whether I can write."""

    type: Literal["health"] = "health"
    trouble: Trouble | None = None


class Open(_Message):
    """Clerk: a record of a passage that has not ended; without a record, that was all."""

    type: Literal["open"] = "open"
    epoch: Epoch
    """Of the vault that asked."""
    record: Annotated[Record, Field(discriminator="kind")] | None = None


class Found(_Message):
    """Clerk: a file was not as I had left it."""

    type: Literal["found"] = "found"
    damage: Damaged


class Setup(BaseModel):
    """What the supervisor gives a clerk on its standard input before anything else."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: Names
    waived: tuple[Protection, ...]


ToClerk = Annotated[Attach | Write, Field(discriminator="type")]
ToVault = Annotated[Hello | Written | Refused | Health | Open | Found, Field(discriminator="type")]

TO_CLERK: TypeAdapter[ToClerk] = TypeAdapter(ToClerk)
TO_VAULT: TypeAdapter[ToVault] = TypeAdapter(ToVault)

LARGEST_MESSAGE = 16 * 1024
"""Bytes; no record comes near."""


def pack(message: ToClerk | ToVault) -> bytes:
    """The message as a packet."""
    return message.model_dump_json(exclude_none=True).encode("ascii")
