"""When a peer has had time enough; pure, the time is told.

Nothing is timed while bytes come in. Instead the association is looked at now and then: what it is doing has a name
(its phase, in which the number of messages answered only grows), and what has not changed since the last look has been
going on since then. So a deadline holds to within the time between two looks, and costs a slice nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.config import Limits
from gateway.dicom.association import Association
from gateway.dicom.state_machine import State

ARTIM_S: Final = 2.0
"""How long a peer has to close the connection when the association is over (PS3.8 section 9.1.5)."""
RELEASE_S: Final = 2.0
"""How long a peer has to answer our A-RELEASE-RQ."""


class _Phase(NamedTuple):
    state: State
    answered: int
    in_message: bool
    is_storing: bool


class Deadlines:
    """The deadlines and the minimum rate of one association.

    Parameters
    ----------
    limits : Limits
    now : float
        Monotonic seconds, as everywhere here.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits: Final = limits
        self._phase: _Phase | None = None
        self._since = self._window_since = now
        self._window_bytes = 0

    def passed(self, association: Association, now: float) -> str | None:
        """Return the code of the deadline that has passed, or None.

        Returns
        -------
        str or None
            `NOT_ASSOCIATED_IN_TIME`, `NOT_CLOSED_IN_TIME`, `MESSAGE_TOO_LONG_UNDER_WAY`, `TOO_SLOW` or `IDLE`.
        """
        phase = _Phase(
            association.state, association.answered, association.in_message, association.is_storing
        )
        if phase != self._phase:
            self._phase = phase
            self._since = self._window_since = now
            self._window_bytes = association.bytes_received
            return None
        elapsed_s = now - self._since
        match association.state:
            case State.AWAITING_ASSOCIATE_RQ:
                return "NOT_ASSOCIATED_IN_TIME" if elapsed_s > self._limits.associate_s else None
            case State.AWAITING_TRANSPORT_CLOSE:
                return "NOT_CLOSED_IN_TIME" if elapsed_s > ARTIM_S else None
            case State.AWAITING_RELEASE_RP | State.COLLISION_AWAITING_RELEASE_RP:
                return "IDLE" if elapsed_s > RELEASE_S else None
            case State.ESTABLISHED if association.in_message:
                if elapsed_s > self._limits.message_s:
                    return "MESSAGE_TOO_LONG_UNDER_WAY"
                return "TOO_SLOW" if self._is_too_slow(association.bytes_received, now) else None
            case State.ESTABLISHED if not association.is_storing:
                return "IDLE" if elapsed_s > self._limits.idle_s else None
            case _:
                return None

    def _is_too_slow(self, bytes_received: int, now: float) -> bool:
        window_s = now - self._window_since
        if window_s < self._limits.rate_window_s:
            return False
        received = bytes_received - self._window_bytes
        self._window_since, self._window_bytes = now, bytes_received
        return received < self._limits.min_bytes_per_s * window_s
