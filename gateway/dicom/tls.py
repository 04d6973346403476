"""DICOM over TLS (PS3.15 B.12 and B.13; BCP 195, RFC 9325): contexts for both directions, and whose certificate it is.

Both sides always present a certificate. Who may be who is decided twice: the certificate must be signed by one of
`ca_file`, and it must be the one of the AE title that is claimed (`belongs_to`).
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import ssl
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.config import TLS, Source
from gateway.errors import ConfigError, Word

_CIPHERS: Final = {
    "bcp195": "ECDHE+AESGCM:ECDHE+CHACHA20",
    "bcp195-extended": "ECDHE+AESGCM",
}
"""TLS 1.2: ephemeral elliptic curve keys and authenticated encryption. Every suite of TLS 1.3 is of that kind."""

_log = structlog.get_logger()


class ServerTLS:
    """The TLS side of the acceptor; renewed certificates and CRLs are taken up without a restart.

    Parameters
    ----------
    tls : TLS

    Raises
    ------
    ConfigError
        `TLS_UNFIT` if a file cannot be read or key and certificate do not belong together.
    """

    def __init__(self, tls: TLS) -> None:
        self._tls: Final = tls
        self._seen = self._files()
        self._context = server_context(tls)
        self._not_after = not_after(tls.certificate_file)

    @property
    def handshake_s(self) -> float:
        """How long a peer has for the handshake."""
        return self._tls.handshake_s

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection, made anew when a file has changed.

        Where the new files are unfit, the old ones stay in force and it is logged.
        """
        seen = self._files()
        if seen != self._seen:
            self._seen = seen
            try:
                context, self._not_after = server_context(self._tls), not_after(self._tls.certificate_file)
                self._context = context
                _log.info("tls files taken up")
            except ConfigError as error:
                _log.error("tls files not taken up", reason=error.code)
        return self._context

    @property
    def not_after(self) -> datetime.datetime:
        """When our certificate in force ends (UTC)."""
        return self._not_after

    def days_left(self, now: datetime.datetime) -> float:
        """Return how many days our certificate in force is still valid at `now` (UTC)."""
        return (self._not_after - now) / datetime.timedelta(days=1)

    def _files(self) -> list[tuple[int, int, int] | None]:
        tls = self._tls
        files = (tls.certificate_file, tls.key_file, tls.ca_file, tls.crl_file)
        return [None if path is None else _fingerprint_of_file(path) for path in files]


def server_context(tls: TLS) -> ssl.SSLContext:
    """Return a context that wants a certificate from whoever connects.

    Raises
    ------
    ConfigError
        `TLS_UNFIT`.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    # A resumed session would not be checked against a certificate that was revoked meanwhile.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def client_context(tls: TLS) -> ssl.SSLContext:
    """Return a context for our own calls, which presents our certificate.

    The peer is known by its CA and not by its host name: AEs are configured by address, and their certificates seldom
    name it.

    Raises
    ------
    ConfigError
        `TLS_UNFIT`.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, tls)


def _context(protocol: int, tls: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS[tls.profile])
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=_no_password)
        context.load_verify_locations(tls.ca_file)
        if tls.crl_file is not None:
            context.load_verify_locations(tls.crl_file)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (OSError, ValueError):
        raise ConfigError("TLS_UNFIT", what=Word("dicom.tls")) from None
    return context


def _no_password() -> str:
    """Refuse an encrypted key; without this, OpenSSL would ask on the terminal."""
    raise ValueError


def not_after(certificate_file: Path) -> datetime.datetime:
    """Return when a certificate ends (UTC).

    Parameters
    ----------
    certificate_file : Path
        PEM; the first certificate in it counts.

    Raises
    ------
    ConfigError
        `TLS_UNFIT`.
    """
    try:
        return x509.load_pem_x509_certificate(certificate_file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        raise ConfigError("TLS_UNFIT", what=Word("dicom.tls.certificate_file")) from None


def belongs_to(certificate: bytes | None, source: Source) -> bool:
    """Say whether a peer's certificate is the one of a source.

    Parameters
    ----------
    certificate : bytes or None
        DER, as presented; its chain is already verified.
    source : Source
        Its `certificate_sha256` decides where it is given, else the only common name must be the AE title.
    """
    if certificate is None:
        return False
    if source.certificate_sha256 is not None:
        return hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), source.certificate_sha256)
    try:
        names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(
            NameOID.COMMON_NAME
        )
    except ValueError:
        return False
    return [name.value for name in names] == [source.ae_title]


def _fingerprint_of_file(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
