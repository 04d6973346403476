"""TLS between the gateway and a contourer: both ends pinned, TLS 1.2 or newer, keys from memory (R20).

Neither side trusts a certificate authority. The gateway knows the fingerprint of the one certificate that the
contourer may show; the contourer knows the certificates of its clients.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificate", "client_context", "fingerprint", "server_context"]

_LIFETIME: Final = datetime.timedelta(days=3650)
"""A pinned certificate is replaced by a new pin, not by the calendar."""


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate in DER, in hexadecimal."""
    return hashlib.sha256(der).hexdigest()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its private key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def self_signed(cls, name: str) -> Self:
        """A new one, ECDSA P-256, in memory.

        Parameters
        ----------
        name : str
            The common name; nobody checks it, because the certificate itself is pinned.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))  # for a clock that is late
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    @property
    def sha256(self) -> str:
        """The fingerprint."""
        return fingerprint(ssl.PEM_cert_to_DER_cert(self.certificate.decode("ascii")))

    def check(self) -> None:
        """Verify that the two belong together.

        Raises
        ------
        ValueError
            If they are not PEM, or the key is not the certificate's.
        """
        try:
            self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except ssl.SSLError:
            raise ValueError("not a certificate with its key") from None

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give it to a context without a file on a disk: `ssl` reads only paths, so it gets one into memory.

        Raises
        ------
        ssl.SSLError
            If the key is not the certificate's.
        """
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, self.certificate + self.key)
            # An empty password, so that an enciphered key is an error and not a question on the terminal.
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
        finally:
            os.close(descriptor)


def client_context(certificate: Certificate | None) -> ssl.SSLContext:
    """The gateway's end.

    It checks no chain: whoever uses it must compare the peer's fingerprint before the first byte is sent, as
    `gateway.cloud.transport` does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        certificate.load_into(context)
    return context


def server_context(certificate: Certificate, clients: Sequence[bytes]) -> ssl.SSLContext:
    """The contourer's end.

    Parameters
    ----------
    certificate : Certificate
    clients : sequence of bytes
        Certificates of the clients, PEM. Each is trusted for itself, not for what it signs. None: anyone may
        connect.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate.load_into(context)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata="\n".join(client.decode("ascii") for client in clients))
    return context
