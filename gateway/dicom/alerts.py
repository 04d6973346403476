"""Security alerts of the intake: who tried what, told once a minute however often it was tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class AlertKind(StrEnum):
    """What was tried."""

    ADDRESS_NOT_ADMITTED = "address_not_admitted"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_ASSOCIATIONS = "too_many_associations"
    TLS_REFUSED = "tls_refused"
    """No, an expired, a foreign or a revoked certificate; an old protocol; no TLS at all; silence."""
    CERTIFICATE_OF_ANOTHER = "certificate_of_another"
    """A valid certificate with another peer's AE title."""
    CALLED_AE_TITLE = "called_ae_title"
    CALLING_AE_TITLE = "calling_ae_title"
    CALLING_ADDRESS = "calling_address"
    """A known AE title from an address of another source."""
    NOT_ASSOCIATED_IN_TIME = "not_associated_in_time"
    NOT_DICOM = "not_dicom"
    PROTOCOL_VIOLATED = "protocol_violated"


@dataclass(frozen=True, slots=True)
class SecurityAlert:
    """One or more attempts of one kind from one address."""

    kind: AlertKind
    address: str
    """The peer's IP address; empty where several are counted together."""
    source: str
    """The configured AE title, where one was named rightly; else empty."""
    count: int
    """Attempts since the alert before."""


@dataclass(slots=True)
class _Quiet:
    since: float
    source: str
    count: int


class AlertGate:
    """Lets one alert of a kind and an address through in a while, and counts the others.

    Parameters
    ----------
    alert : callable
        Gets the alerts.
    clock : callable
        Monotonic seconds.
    quiet_s : float
        How long the same is only counted.
    addresses : int
        More than so many kinds and addresses at once are counted together, so that no flood takes memory.
    """

    def __init__(
        self,
        alert: Callable[[SecurityAlert], None],
        clock: Callable[[], float],
        *,
        quiet_s: float = 60,
        addresses: int = 1000,
    ) -> None:
        self._alert: Final = alert
        self._clock: Final = clock
        self._quiet_s: Final = quiet_s
        self._addresses: Final = addresses
        self._quiet: dict[tuple[AlertKind, str], _Quiet] = {}

    def raise_alert(self, kind: AlertKind, address: str, source: str = "") -> None:
        """Tell it now, or count it."""
        self.tell_counted()
        if len(self._quiet) >= self._addresses and (kind, address) not in self._quiet:
            address = source = ""
        quiet = self._quiet.get((kind, address))
        if quiet is not None:
            quiet.count += 1
            return
        self._quiet[kind, address] = _Quiet(self._clock(), source, 0)
        self._alert(SecurityAlert(kind, address, source, 1))

    def tell_counted(self) -> None:
        """Tell what was counted and not told for long enough; call it now and then."""
        now = self._clock()
        while self._quiet:
            # In order of `since`: what is told again is put behind the others.
            key, quiet = next(iter(self._quiet.items()))
            if now - quiet.since < self._quiet_s:
                return
            del self._quiet[key]
            if quiet.count:
                self._quiet[key] = _Quiet(now, quiet.source, 0)
                self._alert(SecurityAlert(*key, quiet.source, quiet.count))
