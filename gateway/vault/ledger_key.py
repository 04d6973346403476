"""The key that signs the audit ledger: the vault's, never the clerk's."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.vault.keys import ClinicKey


def ledger_key(key: ClinicKey) -> Ed25519PrivateKey:
    """The signing key that belongs to a clinic key; its public half verifies the ledger anywhere."""
    return Ed25519PrivateKey.from_private_bytes(key.derive(b"audit ledger signature"))
