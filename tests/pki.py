"""A certification authority for tests: certificates good, expired, foreign and revoked."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """One CA and a folder for its files.

    Parameters
    ----------
    folder : Path
        Where `ca.pem` and what is issued are put.
    """

    def __init__(self, folder: Path, name: str = "Made CA") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._issued: dict[str, x509.Certificate] = {}
        self._certificate = self._sign(self._name, self._key.public_key(), is_ca=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, common_name: str, *, file_name: str = "", starts_in_days: float = -1, ends_in_days: float = 365
    ) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._sign(subject, key.public_key(), starts=starts_in_days, ends=ends_in_days)
        self._issued[common_name] = certificate
        stem = file_name or common_name
        certificate_file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key_file.chmod(0o600)
        return certificate_file, key_file

    def sha256(self, common_name: str) -> str:
        """Return the fingerprint of what was issued last to a name."""
        return hashlib.sha256(self.der(common_name)).hexdigest()

    def der(self, common_name: str) -> bytes:
        """Return what was issued last to a name."""
        return self._issued[common_name].public_bytes(serialization.Encoding.DER)

    def revoke(self, *common_names: str, ends_in_days: float = 1) -> Path:
        """Return the file of a CRL that names them."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder(self._name, now - DAY, now + ends_in_days * DAY)
        for name in common_names:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(self._issued[name].serial_number, now - DAY).build()
            )
        crl_file = self.folder / "crl.pem"
        crl_file.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return crl_file

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        is_ca: bool = False,
        starts: float = -1,
        ends: float = 365,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now + starts * DAY)
            .not_valid_after(now + ends * DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
