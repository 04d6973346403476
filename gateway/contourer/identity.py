"""The contourer's keys, and who it is to the clinic that pins it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.cloud.envelope import REPLY_SEED_BYTES, RecipientKey
from gateway.cloud.protocol import ContourerIdentity
from gateway.cloud.tls import Certificate
from gateway.errors import ConfigError, Word

__all__ = ["ContourerKeys"]

_FILE: Final = "contourer-keys.json"


class _Stored(BaseModel):
    """What is written to the state folder, or handed to a child through a pipe; secret, in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    region: str
    seed: str
    signing: str
    certificate: str
    key: str


@dataclass(frozen=True)
class ContourerKeys:
    """All that makes a contourer this contourer; secret."""

    region: str
    """ISO 3166 code, or `LOCAL`."""
    seed: bytes = field(repr=False)
    """From which the key is made to which passages are sealed."""
    signing_seed: bytes = field(repr=False)
    """From which the key is made that signs results and receipts."""
    certificate: Certificate = field(repr=False)
    """For TLS."""

    @classmethod
    def generate(cls, region: str) -> Self:
        """New ones, in memory."""
        return cls(
            region,
            secrets.token_bytes(REPLY_SEED_BYTES),
            secrets.token_bytes(32),
            Certificate.self_signed("contourgate contourer"),
        )

    @classmethod
    def kept_in(cls, folder: Path, region: str) -> Self:
        """Those of a state folder, made and written there (mode 0600) when there are none.

        Raises
        ------
        ConfigError
            CONTOURER_KEYS_UNFIT, if they cannot be read or written, others than the owner may read them, or they
            are another region's.
        """
        path = folder / _FILE
        try:
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                keys = cls.generate(region)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(descriptor, "wb") as file:
                    file.write(keys.to_bytes())
                    file.flush()
                    os.fsync(descriptor)
                return keys
            if path.stat().st_mode & 0o077:
                raise ConfigError("CONTOURER_KEYS_UNFIT", mistake=Word("readable by others"))
            keys = cls.from_bytes(path.read_bytes())
        except OSError:
            raise ConfigError("CONTOURER_KEYS_UNFIT", mistake=Word("not readable or writable")) from None
        except ValueError:
            raise ConfigError("CONTOURER_KEYS_UNFIT", mistake=Word("damaged")) from None
        if keys.region != region:
            raise ConfigError("CONTOURER_KEYS_UNFIT", mistake=Word("made for another region"))
        return keys

    def to_bytes(self) -> bytes:
        """All of it, secret."""
        return (
            _Stored(
                region=self.region,
                seed=self.seed.hex(),
                signing=self.signing_seed.hex(),
                certificate=self.certificate.certificate.hex(),
                key=self.certificate.key.hex(),
            )
            .model_dump_json()
            .encode("ascii")
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            If it is something else; the text does not show it.
        """
        try:
            stored = _Stored.model_validate_json(data)
            keys = cls(
                stored.region,
                bytes.fromhex(stored.seed),
                bytes.fromhex(stored.signing),
                Certificate(bytes.fromhex(stored.certificate), bytes.fromhex(stored.key)),
            )
            _ = keys.public
        except (ValidationError, ValueError):
            raise ValueError("not a contourer's keys") from None
        return keys

    @property
    def recipient(self) -> RecipientKey:
        """The key to which passages are sealed."""
        return RecipientKey(self.seed)

    @property
    def signing(self) -> ed25519.Ed25519PrivateKey:
        """The key that signs."""
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.signing_seed)

    @property
    def public(self) -> ContourerIdentity:
        """What the clinic pins."""
        return ContourerIdentity(
            region=self.region,
            hpke_public_key=self.recipient.public.hex(),
            receipt_public_key=self.signing.public_key().public_bytes_raw().hex(),
            certificate_sha256=self.certificate.sha256,
        )
