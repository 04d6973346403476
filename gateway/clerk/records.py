"""Records: the closed set of what may reach the disk (R2, R22).

The vault makes them, the clerk validates each again and writes it. There is no field that takes a free text (see
`gateway.clerk.fields`), so a patient's name has no way in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.clerk.fields import (
    Address,
    AETitle,
    Code,
    Count,
    DestinationName,
    Digest,
    Hexadecimal,
    ModelName,
    Moment,
    Names,
    PassageId,
    PatientCode,
    PersonName,
    ProfileName,
    Region,
    Signature,
    UtcTime,
)
from gateway.cloud.statements import canonical
from gateway.config import Protection
from gateway.dicom.alerts import AlertKind
from gateway.passage import State

__all__ = [
    "Alerted",
    "ClockJumped",
    "Committed",
    "Damaged",
    "Deed",
    "Deleted",
    "Delivered",
    "InstancesCounted",
    "LedgerFault",
    "LedgerSealed",
    "OfPassage",
    "PassageOpened",
    "PassageRecord",
    "PersonActed",
    "Reconfigured",
    "Record",
    "Started",
    "StateChanged",
    "Stopped",
    "read_record",
    "write_record",
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    is_evidence: ClassVar[bool] = True
    """Whether it belongs in the audit ledger."""

    at: UtcTime


class OfPassage(_Record):
    """A record of one passage; needed to go on after a crash, so it is in the journal too."""

    passage: PassageId


class PassageOpened(OfPassage):
    """The first instance of a series is held."""

    kind: Literal["opened"] = "opened"
    source: AETitle
    """Who called."""
    called: AETitle
    modality: Literal["CT", "MR"]
    study: Digest
    """Keyed digest of the StudyInstanceUID."""
    series: Digest
    """Keyed digest of the SeriesInstanceUID."""
    pseudonym: PatientCode | None = None


class InstancesCounted(OfPassage):
    """How many instances of a passage have arrived."""

    is_evidence = False

    kind: Literal["counted"] = "counted"
    received: Count


class StateChanged(OfPassage):
    """A passage has come to another state."""

    kind: Literal["state"] = "state"
    state: State
    code: Code | None = None
    """Why, for `HELD` and `FAILED`."""


class Committed(OfPassage):
    """The key of a passage was released: from here on the contourer can read it (R11)."""

    kind: Literal["committed"] = "committed"
    manifest: Digest
    """SHA-256 of the manifest; with it the passage is joined again after a restart."""
    slices: Count
    model: ModelName
    profile: ProfileName
    deliver_to: tuple[DestinationName, ...] = ()
    """Whom the result is for: after a restart it tells whether everybody has it."""


class Delivered(OfPassage):
    """A destination has the structure set."""

    kind: Literal["delivered"] = "delivered"
    destination: DestinationName
    sop_instance: Digest
    """Keyed digest of the SOPInstanceUID that was delivered."""


class Deleted(OfPassage):
    """The contourer has deleted everything of a passage (R7): its receipt, verified.

    `statement` rebuilds exactly what the contourer signed, so that with its public key the signature is evidence that
    anyone can check.
    """

    kind: Literal["deleted"] = "deleted"
    deleted_at: Moment
    parts: Count
    """Uploaded parts that were deleted."""
    is_in_time: bool
    """Whether that was within 24 hours of the commit (R8)."""
    cause: Literal["asked", "retention", "identifiers_found", "not_held"] | None = None
    manifest: Digest | None = None
    """None where nothing of it was ever committed, or known."""
    region: Region | None = None
    challenge: Annotated[str, Hexadecimal(32)] | None = None
    """What we made up for this question."""
    signature: Signature | None = None
    """None at a contourer that cannot sign (DICOMweb)."""

    def statement(self) -> bytes:
        """What was signed, in canonical JSON."""
        return canonical(
            {
                "kind": "deletion",
                "passage": self.passage,
                "cause": self.cause or "",
                "deleted_at": self.deleted_at,
                "parts": self.parts,
                "manifest_sha256": self.manifest or "",
                "region": self.region or "",
                "challenge": self.challenge or "",
            }
        )


class Alerted(_Record):
    """Somebody tried what is not allowed (R39)."""

    kind: Literal["alert"] = "alert"
    alert: AlertKind
    count: Count
    """Attempts since the alert before."""
    address: Address | None = None
    source: AETitle | None = None
    """Where a configured peer was named rightly."""


class Started(_Record):
    """The vault runs."""

    kind: Literal["started"] = "started"
    configuration: Digest
    """SHA-256 of the configuration file."""
    in_force: tuple[Protection, ...]
    waived: tuple[Protection, ...]


class Reconfigured(_Record):
    """The vault has taken over a changed configuration file."""

    kind: Literal["reconfigured"] = "reconfigured"
    configuration: Digest
    """SHA-256 of the configuration file."""
    is_whole: bool
    """Whether all of it is in force; else some keys wait for a restart."""


class Stopped(_Record):
    """The vault has stopped by itself."""

    kind: Literal["stopped"] = "stopped"
    was_drained: bool
    """Whether every passage had ended before."""


class ClockJumped(_Record):
    """The machine's clock was set: times before and after do not compare."""

    kind: Literal["clock"] = "clock"
    seconds: Annotated[int, Field(ge=-(2**53), le=2**53)]
    """By how much; negative: backwards."""


class Deed(StrEnum):
    """What a person did."""

    RELEASE = "release"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


class PersonActed(_Record):
    """A person did something at the console."""

    kind: Literal["person"] = "person"
    deed: Deed
    person: PersonName | None = None
    """None at a console that has no sign-in."""
    passage: PassageId | None = None
    destination: DestinationName | None = None
    """Whose deliveries were paused or resumed."""


class LedgerSealed(_Record):
    """The vault signed the ledger so far, with a key that the clerk does not have."""

    kind: Literal["seal"] = "seal"
    entries: Count
    """How many entries the signature covers."""
    head: Digest
    """Hash of the last of them."""
    signature: Signature
    """Ed25519 over `gateway.clerk.ledger.sealed_text`."""


class LedgerFault(StrEnum):
    """What can be wrong with the ledger; the first and the last also with the journal."""

    LINE_DAMAGED = "line_damaged"
    """The text of an entry does not fit its checksum."""
    CHAIN_BROKEN = "chain_broken"
    """An entry does not follow the one before it: entries were altered, removed, added or exchanged."""
    SEAL_INVALID = "seal_invalid"
    """A signature is not the vault's."""
    SEAL_MISMATCH = "seal_mismatch"
    """The entries are not those that were signed."""
    TRUNCATED = "truncated"
    """Entries that were signed are missing at the end: it was cut or an older copy was put back."""
    HEAD_MISSING = "head_missing"
    """The file with the last signature is gone or unreadable although there are signatures."""
    CHANGED_MEANWHILE = "changed_meanwhile"
    """Somebody else changed the file while the clerk had it open."""


class Damaged(_Record):
    """The clerk found a file not as it had left it; written into the ledger, so that it stays known."""

    kind: Literal["damaged"] = "damaged"
    file: Literal["journal", "ledger"]
    fault: LedgerFault
    entry: Count
    """The first entry of the ledger that is wrong or missing, from 1; 0 for the journal."""
    offset: Count
    """Where in the file, bytes."""
    signed_entries: Count
    """How many entries the last signature covered."""


PassageRecord = PassageOpened | InstancesCounted | StateChanged | Committed | Delivered | Deleted

Record = Annotated[
    PassageRecord
    | Alerted
    | Started
    | Reconfigured
    | Stopped
    | ClockJumped
    | PersonActed
    | LedgerSealed
    | Damaged,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[Record] = TypeAdapter(Record)


def write_record(record: Record) -> bytes:
    """The record as one line of JSON, without the line's end."""
    return record.model_dump_json(exclude_none=True).encode("ascii")


def read_record(text: bytes | str, names: Names | None) -> Record:
    """Read and validate what `write_record` wrote.

    Parameters
    ----------
    text : bytes or str
    names : Names, optional
        The names of the configuration; without them (a ledger of years ago, verified elsewhere) any name is taken.

    Raises
    ------
    pydantic.ValidationError
        If it is not exactly a record. Its message can hold the input: never log it.
    """
    return _ADAPTER.validate_json(text, strict=True, context=names)
