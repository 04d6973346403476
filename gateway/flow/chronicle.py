"""Chronicle: what the clerk is told of passages, in records that cannot carry an identity.

Every call returns when the record is on the disk. Study and series are told as digests under the clinic key, so that a
restarted gateway can recognise them at the PACS and nobody else can.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from gateway.clerk.records import (
    Committed,
    Deed,
    Delivered,
    InstancesCounted,
    PassageOpened,
    PersonActed,
    Record,
    StateChanged,
)
from gateway.flow.series import Series
from gateway.passage import Passage, Step

STUDY: Final = "study"
SERIES: Final = "series"
SOP_INSTANCE: Final = "sop instance"

Digest = Callable[[str, bytes], bytes]
"""Keyed digest of a value of a kind; see `gateway.vault.pseudonyms.keyed_digest`."""


class Link(Protocol):
    """The way to the clerk."""

    async def write(self, record: Record) -> None:
        """Return when the record is on the disk; raise `GatewayError` when it cannot get there."""


class Chronicle:
    """Makes the records of the flow and has them written."""

    def __init__(self, link: Link, digest: Digest) -> None:
        self._link = link
        self._digest = digest

    async def opened(self, series: Series) -> None:
        """A passage begins."""
        passage = series.passage
        if passage.modality not in ("CT", "MR"):
            raise RuntimeError("intake takes CT and MR only")
        await self._link.write(
            PassageOpened(
                at=passage.started,
                passage=passage.id,
                source=passage.source,
                called=passage.called,
                modality=passage.modality,  # type: ignore[arg-type]  # checked above
                study=self._digest(STUDY, series.key.study.encode()).hex(),
                series=self._digest(SERIES, series.key.series.encode()).hex(),
                pseudonym=passage.pseudonym,
            )
        )

    async def counted(self, passage: Passage) -> None:
        """So many instances of a passage are here."""
        await self._link.write(
            InstancesCounted(at=datetime.now(UTC), passage=passage.id, received=passage.received)
        )

    async def moved(self, passage: Passage, step: Step) -> None:
        """A passage entered a state."""
        await self._link.write(
            StateChanged(at=step.at, passage=passage.id, state=step.state, code=step.reason)
        )

    async def committed(self, series: Series, manifest_sha256: bytes, profile: str) -> None:
        """The key of a passage is about to be released."""
        await self._link.write(
            Committed(
                at=datetime.now(UTC),
                passage=series.passage.id,
                manifest=manifest_sha256.hex(),
                slices=len(series.slices),
                model=series.passage.model,
                profile=profile,
                deliver_to=series.passage.deliver_to,
            )
        )

    async def delivered(self, passage: Passage, destination: str, sop_instance_uid: str) -> None:
        """A destination has the structure set."""
        await self._link.write(
            Delivered(
                at=datetime.now(UTC),
                passage=passage.id,
                destination=destination,
                sop_instance=self._digest(SOP_INSTANCE, sop_instance_uid.encode()).hex(),
            )
        )

    async def decided(self, passage_id: str, deed: Deed) -> None:
        """A person released or cancelled a held passage."""
        await self._link.write(PersonActed(at=datetime.now(UTC), deed=deed, passage=passage_id))

    async def switched(self, destination: str, deed: Deed) -> None:
        """A person paused or resumed the deliveries to a destination."""
        await self._link.write(PersonActed(at=datetime.now(UTC), deed=deed, destination=destination))
