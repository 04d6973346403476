"""Who may connect and associate; the first four gates of the intake.

In the order in which they are asked: the address (`admits_address`), the number of connections (`connection_refusal`),
then, when the A-ASSOCIATE-RQ is there, `association_refusal`: called AE title, calling AE title with its address and
certificate, the number of associations. Pure: it counts nothing itself and opens nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.config import Config, Source
from gateway.dicom.alerts import AlertKind
from gateway.dicom.negotiation import AssociateRequest, Rejection

CertificateMatches = Callable[[Source], bool]
"""Whether the certificate that the peer presented is a source's; always true where TLS is off."""


class Refusal(NamedTuple):
    """Why a connection or an association is refused."""

    code: str
    """For metrics and logs."""
    rejection: Rejection
    alert: AlertKind | None
    source: str = ""
    """The configured AE title concerned."""


class Admission:
    """The configuration, as the questions that the acceptor asks.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self._called_ae_title: Final = config.dicom.ae_title
        self._limits: Final = config.limits
        self._sources: Final = {source.ae_title: source for source in config.sources}
        self._networks: Final = {
            source.ae_title: tuple(ipaddress.ip_network(text, strict=False) for text in source.addresses)
            for source in config.sources
        }

    def admits_address(self, address: str) -> bool:
        """Whether any source may come from there."""
        return any(self._is_from(ae_title, address) for ae_title in self._sources)

    def source_at(self, address: str) -> str:
        """Return the AE title of the only source that comes from there; empty where there is none or a choice."""
        at = [ae_title for ae_title in self._sources if self._is_from(ae_title, address)]
        return at[0] if len(at) == 1 else ""

    def connection_refusal(self, *, from_address: int, in_all: int) -> Refusal | None:
        """Say why one more connection is one too many.

        Parameters
        ----------
        from_address, in_all : int
            Connections open now.
        """
        if from_address >= self._limits.connections_per_address or in_all >= self._limits.connections:
            return Refusal("TOO_MANY_CONNECTIONS", Rejection.LOCAL_LIMIT, AlertKind.TOO_MANY_CONNECTIONS)
        return None

    def association_refusal(
        self,
        request: AssociateRequest,
        address: str,
        certificate_matches: CertificateMatches,
        *,
        of_source: Callable[[str], int],
        in_all: int,
        draining: bool,
    ) -> Refusal | None:
        """Say why an association is rejected, or None.

        Parameters
        ----------
        request : AssociateRequest
        address : str
            The peer's.
        certificate_matches : callable
        of_source : callable
            Associations that an AE title has open now.
        in_all : int
            Associations open now.
        draining : bool
            Whether nothing new is taken.
        """
        if request.called_ae_title != self._called_ae_title:
            return Refusal("CALLED_AE_TITLE_UNKNOWN", Rejection.CALLED_AE_TITLE, AlertKind.CALLED_AE_TITLE)
        source = self._sources.get(request.calling_ae_title or "")
        if source is None:
            return Refusal("CALLING_AE_TITLE_UNKNOWN", Rejection.CALLING_AE_TITLE, AlertKind.CALLING_AE_TITLE)
        name = source.ae_title
        if not self._is_from(name, address):
            return Refusal(
                "CALLING_ADDRESS_WRONG", Rejection.CALLING_AE_TITLE, AlertKind.CALLING_ADDRESS, name
            )
        if not certificate_matches(source):
            return Refusal(
                "CERTIFICATE_OF_ANOTHER", Rejection.CALLING_AE_TITLE, AlertKind.CERTIFICATE_OF_ANOTHER, name
            )
        if draining:
            return Refusal("DRAINING", Rejection.CONGESTION, None, name)
        if in_all >= self._limits.associations or of_source(name) >= source.max_associations:
            return Refusal(
                "TOO_MANY_ASSOCIATIONS", Rejection.LOCAL_LIMIT, AlertKind.TOO_MANY_ASSOCIATIONS, name
            )
        return None

    def _is_from(self, ae_title: str, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._networks[ae_title])


def normal_address(address: str) -> str:
    """Return an IP address as text, an IPv4 address that came over IPv6 as IPv4, without a zone."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip)
