"""How the passages stood that were open when the vault last stopped, put together from the journal's records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.clerk.records import (
    Committed,
    Deleted,
    Delivered,
    InstancesCounted,
    OfPassage,
    PassageOpened,
    Record,
    StateChanged,
)
from gateway.passage import ENDS, State


@dataclass(slots=True)
class OpenPassage:
    """A passage that had not ended, or for which the contourer owes a deletion receipt."""

    id: str
    state: State
    since: datetime
    """When it came to that state, UTC."""
    code: str | None = None
    """Why it is held."""
    opened: PassageOpened | None = None
    """None only where the journal was damaged."""
    received: int = 0
    """Instances, as far as they were counted in the journal."""
    committed: Committed | None = None
    """With it the passage can be joined at the contourer."""
    delivered: list[Delivered] = field(default_factory=list)
    deleted: Deleted | None = None
    """The contourer's receipt for what was committed last."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing but the deletion at the contourer is open."""
        return self.state in ENDS

    @property
    def is_owed_a_receipt(self) -> bool:
        """Whether the contourer was given the key and has not said yet that it deleted everything."""
        return self.committed is not None and self.deleted is None


def open_passages(records: Iterable[Record]) -> Sequence[OpenPassage]:
    """Put the records of each passage together.

    Parameters
    ----------
    records : iterable of Record
        Of passages that are still open, each passage's in the order of writing.

    Returns
    -------
    sequence of OpenPassage
        In the order in which they were opened.
    """
    passages: dict[str, OpenPassage] = {}
    for record in records:
        if not isinstance(record, OfPassage):
            continue
        passage = passages.get(record.passage)
        if passage is None:
            passage = passages[record.passage] = OpenPassage(record.passage, State.RECEIVING, record.at)
        if isinstance(record, PassageOpened):
            passage.opened = record
        elif isinstance(record, StateChanged):
            passage.state, passage.since, passage.code = record.state, record.at, record.code
        elif isinstance(record, InstancesCounted):
            passage.received = record.received
        elif isinstance(record, Committed):
            passage.committed, passage.deleted = record, None
        elif isinstance(record, Deleted):
            passage.deleted = record
        elif isinstance(record, Delivered):
            passage.delivered.append(record)
    return tuple(passages.values())
