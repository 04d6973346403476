"""Statements: documents that a contourer signs, and the one form in which they are written.

A result, a deletion, the contourer's own identity: each is canonical JSON with an Ed25519 signature over exactly these
bytes, so that the statement, the signature and the pinned public key are evidence that anyone can check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

__all__ = ["EnvelopeError", "canonical", "checked_statement", "signed_statement"]


class EnvelopeError(ValueError):
    """Something does not open, verify or parse: it was altered, or is not this passage's."""


def canonical(document: Mapping[str, object]) -> bytes:
    """The one way to write a document of strings, integers and lists (RFC 8785, of which this is a subset)."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


def signed_statement(key: ed25519.Ed25519PrivateKey, document: Mapping[str, object]) -> tuple[bytes, bytes]:
    """A document in canonical form and the Ed25519 signature (RFC 8032) over exactly these bytes."""
    statement = canonical(document)
    return statement, key.sign(statement)


def checked_statement(
    public_key: bytes, statement: bytes, signature: bytes, expected: Mapping[str, object]
) -> dict[str, object]:
    """What a signed statement says.

    Parameters
    ----------
    public_key : bytes
        32 bytes, raw.
    statement, signature : bytes
    expected : Mapping
        Fields that must have these values: at least its kind and what it is bound to.

    Raises
    ------
    EnvelopeError
        If the signature is wrong, or the statement is about something else.
    """
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
        document = json.loads(statement)
    except (InvalidSignature, ValueError, RecursionError):
        raise EnvelopeError("the statement's signature is wrong") from None
    if not isinstance(document, dict) or any(
        document.get(name) != value or type(document.get(name)) is not type(value)
        for name, value in expected.items()
    ):
        raise EnvelopeError("the statement is about something else")
    return document
