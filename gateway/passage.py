"""A passage: one image series' way from the sender to the TPS and back.

The states and the transitions between them are the one table below; everything that needs to know what may
follow what reads it here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

from gateway.errors import GatewayError


class State(StrEnum):
    """Where a passage stands. The order is the order of the way."""

    RECEIVING = "receiving"
    """Instances arrive; each is checked, pseudonymised, sealed and uploaded as it comes."""
    COMPLETE = "complete"
    """The series is whole, as far as can be known."""
    CHECKED = "checked"
    """Geometry, completeness and pixels passed every gate."""
    SEALED = "sealed"
    """Every slice is encrypted and uploaded; the contourer cannot read any of it yet."""
    COMMITTED = "committed"
    """The key is released."""
    CONTOURING = "contouring"
    """The contourer acknowledged the work."""
    RETURNED = "returned"
    """The sealed result is here and was opened."""
    INSPECTED = "inspected"
    """Every reference of the structure set resolves to this passage."""
    RESTORED = "restored"
    """The structure set bears the patient's identity again."""
    DELIVERED = "delivered"
    """Every destination has it."""
    HELD = "held"
    """A person is needed; the reason says why. Nothing is lost."""
    FAILED = "failed"
    """Ended without delivery; the reason says why."""
    CANCELLED = "cancelled"
    """Ended by a person."""


WAY: tuple[State, ...] = (
    State.RECEIVING,
    State.COMPLETE,
    State.CHECKED,
    State.SEALED,
    State.COMMITTED,
    State.CONTOURING,
    State.RETURNED,
    State.INSPECTED,
    State.RESTORED,
    State.DELIVERED,
)
"""The way of a passage that nothing stops."""

ENDS: frozenset[State] = frozenset({State.DELIVERED, State.FAILED, State.CANCELLED})
"""States that nothing follows."""


def _transitions() -> dict[State, frozenset[State]]:
    table: dict[State, frozenset[State]] = {end: frozenset() for end in ENDS}
    for here, after in pairwise(WAY):
        table[here] = frozenset({after, State.HELD, State.FAILED})
    table[State.HELD] = frozenset({*WAY[:-1], State.FAILED, State.CANCELLED})
    return table


TRANSITIONS: Mapping[State, frozenset[State]] = _transitions()
"""What may follow what. From `HELD` a passage returns only to the state it came from: see `Passage.move`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a passage's history."""

    state: State
    at: datetime
    """Aware, UTC."""
    reason: str | None = None
    """A code of `gateway.errors.CATALOGUE`, for `HELD` and `FAILED`."""


@dataclass(slots=True, eq=False)
class Passage:
    """The record that travels.

    It carries no identity and no pixels; those are the vault's, under the same `id`.
    """

    source: str
    """The calling AE title, as configured under `sources`."""
    called: str
    """The AE title of ours that was called."""
    modality: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    """32 hexadecimal digits, random: says nothing about the patient."""
    pseudonym: str = ""
    """What this passage's patient is called outside the vault."""
    model: str = ""
    deliver_to: tuple[str, ...] = ()
    """Names under `destinations`."""
    received: int = 0
    """Instances received, without exact re-sends."""
    uploaded: int = 0
    """Slices whose ciphertext the contourer has acknowledged."""
    delivered_to: tuple[str, ...] = ()
    """Names of the destinations that have confirmed."""
    error: GatewayError | None = None
    """Why it is held or has failed."""
    waiting: GatewayError | None = None
    """What keeps it where it is although nobody is needed: an outage that is tried again by itself."""
    is_late: bool = False
    """Whether its deadline has passed."""
    history: list[Step] = field(default_factory=list)
    """From the first instance on; the last entry is where it stands."""

    def __post_init__(self) -> None:
        if not self.history:
            self.history.append(Step(State.RECEIVING, datetime.now(UTC)))

    @property
    def state(self) -> State:
        """Where it stands now."""
        return self.history[-1].state

    @property
    def since(self) -> datetime:
        """When it came to where it stands, UTC."""
        return self.history[-1].at

    @property
    def started(self) -> datetime:
        """When its first instance arrived, UTC."""
        return self.history[0].at

    @property
    def has_ended(self) -> bool:
        """Whether nothing will follow."""
        return self.state in ENDS

    @property
    def needs_a_person(self) -> bool:
        """Whether nothing goes on before somebody decides."""
        return self.state is State.HELD

    @property
    def held_from(self) -> State | None:
        """The state to which a held passage returns when a person releases it."""
        if self.state is not State.HELD:
            return None
        return next(step.state for step in reversed(self.history) if step.state is not State.HELD)

    def move(self, to: State, *, error: GatewayError | None = None, at: datetime | None = None) -> Step:
        """Go to another state.

        Parameters
        ----------
        to : State
        error : GatewayError, optional
            Why; required for `HELD` and `FAILED`.
        at : datetime, optional
            Aware UTC; now, if left out.

        Raises
        ------
        ValueError
            If the table does not allow it: a fault of the program, not of the input.
        """
        allowed = TRANSITIONS[self.state]
        if to not in allowed or (self.state is State.HELD and to in WAY and to is not self.held_from):
            raise ValueError(f"a passage does not go from {self.state} to {to}")
        if (error is None) == (to in (State.HELD, State.FAILED)):
            raise ValueError(f"{to} {'needs' if error is None else 'takes no'} reason")
        self.error, self.waiting = error, None
        step = Step(to, at or datetime.now(UTC), error.code if error else None)
        self.history.append(step)
        return step
