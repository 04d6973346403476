"""The configuration: frozen models of one YAML file.

Durations end in `_s` (seconds), sizes in `_bytes`; secrets are paths to files, never values. Every key has a default
but the ones that only the administrator can know.
"""

from __future__ import annotations

import datetime
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from gateway.config_checks import findings, is_loopback
from gateway.config_types import AETitle, File, Model, Name, Network, Pattern, Port, Seconds
from gateway.config_words import explained
from gateway.errors import ConfigError, Word
from gateway.yaml_lines import Document, Mistake


def _off(_: object) -> str:
    return "off"


def _is_off(value: object) -> str:
    # YAML reads an unquoted `off` as false.
    return "off" if value is False or value == "off" else "files"


class TLS(Model):
    """DICOM TLS of our own node (PS3.15 B.12); all three files are PEM."""

    certificate_file: File
    key_file: File
    ca_file: File
    """Whom we trust: peers must present a certificate that one of these signed."""
    crl_file: File | None = None
    profile: Literal["bcp195", "bcp195-extended"] = "bcp195"
    """PS3.15 B.12 (TLS 1.2 with ECDHE-GCM, or 1.3) or B.13 (the narrower list)."""
    handshake_s: Seconds = 10


class Dicom(Model):
    """Our own application entity."""

    ae_title: AETitle
    host: str = "127.0.0.1"
    port: Port
    tls: (
        Annotated[
            Annotated[TLS, Tag("files")] | Annotated[Literal["off"], BeforeValidator(_off), Tag("off")],
            Discriminator(_is_off),
        ]
        | None
    ) = None
    """Required on any address but loopback; `off` there is a decision that every report shows."""
    accept_lossy: bool = False
    """Whether lossily compressed images are taken."""


class Query(Model):
    """Where a source can be asked (C-FIND) and told to send again (C-MOVE)."""

    ae_title: AETitle
    host: str
    port: Port
    tls: bool = False
    retrieve: Literal["move", "get"] = "move"
    """How images are pulled: sent to our AE title (C-MOVE), or over our own association (C-GET)."""
    window_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How many days around a passage's start StudyDate is looked at, to find its study again after a restart."""


class Source(Model):
    """Who may store to us."""

    ae_title: AETitle
    addresses: Annotated[tuple[Network, ...], Field(min_length=1, strict=False)]
    """IP addresses or networks from which this AE title may come."""
    certificate_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """With TLS: the fingerprint of the peer's certificate; without it the common name must be the AE title."""
    max_associations: Annotated[int, Field(ge=1)] = 16
    query: Query | None = None


class Destination(Model):
    """A TPS, or another AE that gets the structure sets."""

    name: Name
    ae_title: AETitle
    host: str
    port: Port
    tls: bool = False
    label: str = "CONTOURGATE"
    """StructureSetLabel; `{model}` and `{date}` are filled in, 16 characters are kept."""
    description: str = "Contoured by {model}"
    """SeriesDescription and StructureSetDescription; `{model}` and `{date}` are filled in, 64 characters are kept."""
    rois_file: File | None = None
    """A YAML file that says for ROIs how they are called, coloured, ordered, or that they are left out."""
    roi_name_limit: Annotated[int, Field(ge=4, le=64)] = 16
    confirm: bool = True
    """Whether the destination is asked (C-FIND) after the C-STORE, where it supports that."""


class Match(Model):
    """What a rule matches; every key given must hold."""

    calling_ae_title: AETitle | None = None
    called_ae_title: AETitle | None = None
    modality: Literal["CT", "MR"] | None = None
    body_part: str | None = None
    """BodyPartExamined, case-insensitive."""
    series_description: Pattern | None = None
    """A regular expression, searched in SeriesDescription."""
    min_slices: Annotated[int, Field(ge=1)] | None = None
    max_slices: Annotated[int, Field(ge=1)] | None = None


class Rule(Model):
    """What happens to a series that matches."""

    match: Match = Match()
    model: Name
    deliver_to: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)]
    deliver: Literal["at_once", "after_review"] = "at_once"
    """Whether a person looks at the contours on the console and releases them before they are delivered."""


Retention = Annotated[int, Field(ge=60, le=86400)]
"""Seconds; the contourer deletes after 24 hours at the latest, sooner if the clinic says so (R7)."""


class EmbeddedContourer(Model):
    """A contourer of our own, started as a child on loopback over TLS with pinned keys."""

    kind: Literal["embedded"]
    retention_s: Retention = 86400
    """How long it may keep a passage that is not deleted before."""


class SealedContourer(Model):
    """A contourer that speaks our sealed protocol."""

    kind: Literal["sealed"]
    url: Annotated[str, Field(pattern=r"^https://")]
    identity_file: File
    """What `gateway contourer identity` printed on the contourer's side: its public keys and fingerprint."""
    client_certificate_file: File | None = None
    client_key_file: File | None = None
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    """ISO 3166 code that the contourer must attest before anything is uploaded."""
    retention_s: Retention = 86400
    """How long it may keep a passage that is not deleted before."""


class DicomwebContourer(Model):
    """A DICOMweb store (STOW-RS, QIDO-RS, WADO-RS) in front of a contouring engine."""

    kind: Literal["dicomweb"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    ca_file: File | None = None
    username: str | None = None
    password_file: File | None = None
    poll_s: Seconds = 2
    orthanc_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Where the store is an Orthanc: its REST interface, by which a passage is deleted; DICOMweb has no deletion."""


Contourer = Annotated[EmbeddedContourer | SealedContourer | DicomwebContourer, Field(discriminator="kind")]


class PassageTimes(Model):
    """How long a passage waits for what."""

    quiet_time_s: Seconds = 5
    """A series is complete when nothing of it arrived for so long and no association that brought some is open."""
    deadline_s: Seconds = 1800
    """A passage not delivered after so long raises an alarm."""
    drain_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    """How long a stopping gateway lets passages under way go on; what is left is recovered after the restart."""
    review_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 900
    """How long pseudonymised slices and contours stay viewable in memory after delivery; 0 drops them at once."""


class Alarm(Model):
    """Who is told of a passage that is late or must be sent again, and of what is wrong with the gateway itself."""

    webhook_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Gets a JSON object without any identity by POST; None: only the console and the metrics tell."""
    repeat_s: Seconds = 86400
    """How often it is told again while the passage is still open."""


class Console(Model):
    """The web console."""

    host: str = "127.0.0.1"
    port: Port

    @model_validator(mode="after")
    def _loopback_only(self) -> Console:
        if not is_loopback(self.host):
            raise ValueError("the console has no sign-in yet, so it listens on a loopback address only")
        return self


class Limits(Model):
    """Caps and deadlines of the intake; a safe default for each."""

    memory_bytes: Annotated[int, Field(ge=2**26)] = 4 * 2**30
    """What received instances may take in all."""
    memory_wait_s: Seconds = 20
    """How long a C-STORE waits for room before it is answered 0xA700."""
    instance_bytes: Annotated[int, Field(ge=2**16)] = 64 * 2**20
    """The largest dataset, also after inflation."""
    elements: Annotated[int, Field(ge=100)] = 20_000
    """Elements of a dataset, nested ones included."""
    nesting: Annotated[int, Field(ge=1)] = 16
    """Depth of sequences."""
    pdu_bytes: Annotated[int, Field(ge=4096, le=2**20)] = 128 * 1024
    """The maximum PDU length that we announce."""
    command_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024
    associations: Annotated[int, Field(ge=1)] = 64
    connections: Annotated[int, Field(ge=1)] = 256
    """Connections open at once, associated or not."""
    connections_per_address: Annotated[int, Field(ge=1)] = 32
    associate_s: Seconds = 10
    """From the connection (with TLS: from the handshake) to a whole A-ASSOCIATE-RQ."""
    idle_s: Seconds = 60
    """Between messages of an association."""
    message_s: Seconds = 300
    """From a message's first fragment to its last."""
    min_bytes_per_s: Annotated[int, Field(ge=0)] = 1024
    """Slower than this over `rate_window_s` within a message: aborted."""
    rate_window_s: Seconds = 15
    decode_s: Seconds = 20
    """How long a decoder may take for one compressed or deflated image."""
    slices: Annotated[int, Field(ge=2)] = 5000
    """Instances of one series."""


class Protection(StrEnum):
    """What the vault asks of the kernel."""

    LANDLOCK = "landlock"
    """No file can be created, written or truncated."""
    CORE = "core"
    """No core dump."""
    DUMPABLE = "dumpable"
    """Other processes of the account cannot read our memory."""
    MLOCK = "mlock"
    """No page is swapped out."""
    PERTURB = "perturb"
    """Freed memory is overwritten (`MALLOC_PERTURB_`)."""


class Waiver(Model):
    """A protection that this machine cannot give, knowingly done without."""

    protection: Annotated[Protection, Field(strict=False)]
    until: datetime.date = Field(strict=False)
    """The day on which the waiver ends; the gateway does not start after it."""
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class Lockdown(Model):
    waivers: Annotated[tuple[Waiver, ...], Field(strict=False)] = ()


class Deid(Model):
    """How series are de-identified."""

    profiles: Annotated[tuple[File, ...], Field(strict=False)] = ()
    """Profile files of the site, beside or instead of the shipped ones; the last one for a modality counts."""
    linkage: Literal["study", "patient"] = "study"
    """Whether the contourer can see that two studies are one patient's."""


class Log(Model):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Config(Model):
    """The whole file."""

    dicom: Dicom
    sources: Annotated[tuple[Source, ...], Field(min_length=1, strict=False)]
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1, strict=False)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, strict=False)]
    otherwise: Literal["refuse", "hold"] = "refuse"
    """What happens to a series that no rule matches."""
    contourer: Contourer
    passage: PassageTimes = PassageTimes()
    alarm: Alarm = Alarm()
    console: Console
    state_dir: File
    clinic_key_file: File
    limits: Limits = Limits()
    lockdown: Lockdown = Lockdown()
    deid: Deid = Deid()
    log: Log = Log()


def load(path: Path) -> Config:
    """Read the configuration.

    Raises
    ------
    ConfigError
        CONFIG_UNREADABLE; CONFIG_INVALID with the number of mistakes and the first one's line.
    """
    config, mistakes = _read(path)
    if config is None or mistakes:
        raise ConfigError("CONFIG_INVALID", mistakes=len(mistakes), first_on_line=mistakes[0].line)
    return config


def check(path: Path) -> list[Mistake]:
    """Every mistake of a configuration file, by line; none, where it can be loaded.

    Raises
    ------
    ConfigError
        CONFIG_UNREADABLE.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[Config | None, list[Mistake]]:
    try:
        document = Document(path)
    except OSError as error:
        raise ConfigError("CONFIG_UNREADABLE", reason=Word(os.strerror(error.errno or 0))) from None
    mistakes = list(document.mistakes)
    config = None
    if not isinstance(document.data, dict):
        if not mistakes:
            mistakes.append(document.mistake((), "should be a block of keys"))
        return None, mistakes
    try:
        config = Config.model_validate(document.data, context=path.absolute().parent)
        found = findings(config, datetime.datetime.now(datetime.UTC).date())
    except ValidationError as error:
        found = explained(error, document, Config)
    mistakes.extend(document.mistake(place, message) for place, message in found)
    return config, sorted(mistakes)
