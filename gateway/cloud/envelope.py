"""The envelope: how slices, the key to them, the result and the contourer's statements are sealed and signed.

Both sides use it. What is sealed here can be opened only under the same passage and the same manifest, so nothing
can be swapped between two patients.

========= ===================================================== ======================================
what      sealed or signed with                                 bound to
========= ===================================================== ======================================
slice     AES-256-GCM, one random key per passage               passage, index
that key  HPKE to the contourer (given at commit, not before)   passage, digest of the manifest
result    HPKE to the passage's reply key                       passage, digest of the manifest
statement Ed25519 by the contourer                              whatever the statement says
========= ===================================================== ======================================

HPKE is RFC 9180 base mode with MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM: safe as long as either X25519 or
ML-KEM holds, so what is recorded today stays sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.cloud.statements import EnvelopeError, canonical

__all__ = [
    "REPLY_SEED_BYTES",
    "ContentKey",
    "EnvelopeError",
    "Manifest",
    "Part",
    "RecipientKey",
    "is_passage_id",
    "seal_result",
]

REPLY_SEED_BYTES: Final = 96
"""A recipient key is made from so many secret bytes: 64 for ML-KEM-768 (FIPS 203 d and z), 32 for X25519."""
SEALED_SLICE_EXTRA_BYTES: Final = 28
"""Nonce and tag: what sealing adds to a slice."""
PARTS_LIMIT: Final = 20_000
"""The most slices of a manifest."""

_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_MLKEM_PUBLIC_BYTES: Final = 1184
_X25519_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32

_SLICE: Final = b"contourgate slice v1\0"
_KEY: Final = b"contourgate passage key v1\0"
_RESULT: Final = b"contourgate result v1\0"


def is_passage_id(text: str) -> bool:
    """Whether the text is 32 hexadecimal digits in lower case."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def _bytes_of(passage_id: str) -> bytes:
    if not is_passage_id(passage_id):
        raise EnvelopeError("not a passage id")
    return passage_id.encode("ascii")


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed slice as the manifest lists it."""

    sha256: bytes
    """Of the ciphertext."""
    size: int
    """Bytes of the ciphertext."""


@dataclass(frozen=True)
class Manifest:
    """All that is released at commit, in order, and what to do with it."""

    passage_id: str
    model: str
    profile: str
    reply_key: bytes
    """Public key to which the result is to be sealed."""
    parts: tuple[Part, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical(
            {
                "version": 1,
                "passage": self.passage_id,
                "model": self.model,
                "profile": self.profile,
                "reply_key": self.reply_key.hex(),
                "parts": [[part.sha256.hex(), part.size] for part in self.parts],
            }
        )

    @cached_property
    def sha256(self) -> bytes:
        """The digest that stands for it everywhere."""
        return hashlib.sha256(self.to_bytes()).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote, and only that.

        Raises
        ------
        EnvelopeError
            If it is not canonical, or a field is missing, unknown or out of range.
        """
        try:
            document = json.loads(data)
            manifest = cls(
                passage_id=document["passage"],
                model=document["model"],
                profile=document["profile"],
                reply_key=bytes.fromhex(document["reply_key"]),
                parts=tuple(Part(bytes.fromhex(digest), size) for digest, size in document["parts"]),
            )
            # Writing it again proves every type, every field and the form at once.
            is_canonical = manifest.to_bytes() == data
        except (ValueError, TypeError, KeyError, RecursionError):
            raise EnvelopeError("not a manifest") from None
        sound = (
            is_canonical
            and is_passage_id(manifest.passage_id)
            and len(manifest.reply_key) == _MLKEM_PUBLIC_BYTES + _X25519_BYTES
            and 1 <= len(manifest.parts) <= PARTS_LIMIT
            and all(
                len(part.sha256) == 32 and type(part.size) is int and part.size > 0 for part in manifest.parts
            )
            and all(type(name) is str and len(name) <= 64 for name in (manifest.model, manifest.profile))
        )
        if not sound:
            raise EnvelopeError("not a manifest")
        return manifest


def _binding(label: bytes, passage_id: str, manifest_sha256: bytes) -> bytes:
    """The `info` of RFC 9180 5.1; the passage and the digest have fixed lengths, so nothing can slide."""
    if len(manifest_sha256) != 32:
        raise EnvelopeError("not a SHA-256")
    return label + _bytes_of(passage_id) + manifest_sha256


def _public_key(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    if len(raw) != _MLKEM_PUBLIC_BYTES + _X25519_BYTES:
        raise EnvelopeError("not a public key of this suite")
    try:
        return hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_BYTES]),
            x25519.X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC_BYTES:]),
        )
    except ValueError:
        raise EnvelopeError("not a public key of this suite") from None


class RecipientKey:
    """A private key to which something can be sealed: the contourer's, or a passage's reply key.

    Parameters
    ----------
    seed : bytes
        `REPLY_SEED_BYTES` secret bytes; the same seed makes the same key, so a gateway that restarted can open the
        result of a passage that it committed before.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != REPLY_SEED_BYTES:
            raise EnvelopeError("a recipient key needs a seed of 96 bytes")
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(seed[64:])
        self._key = hpke.MLKEM768X25519PrivateKey(kem, curve)
        self.public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def _open(self, sealed: bytes, info: bytes) -> bytes:
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise EnvelopeError("does not open under this passage and manifest") from None

    def open_result(self, sealed: bytes, passage_id: str, manifest_sha256: bytes) -> bytes:
        """The structure set that `seal_result` sealed.

        Raises
        ------
        EnvelopeError
            If it was altered, or sealed for another key, passage or manifest.
        """
        return self._open(sealed, _binding(_RESULT, passage_id, manifest_sha256))

    def open_content_key(self, sealed: bytes, manifest: Manifest) -> ContentKey:
        """The key to a passage's slices that `ContentKey.released_to` sealed.

        Raises
        ------
        EnvelopeError
            As `open_result`.
        """
        key = self._open(sealed, _binding(_KEY, manifest.passage_id, manifest.sha256))
        return ContentKey(manifest.passage_id, key)


def seal_result(result: bytes, reply_key: bytes, passage_id: str, manifest_sha256: bytes) -> bytes:
    """Seal a structure set to a passage's public reply key.

    Raises
    ------
    EnvelopeError
        If that is not a public key.
    """
    return _SUITE.encrypt(result, _public_key(reply_key), _binding(_RESULT, passage_id, manifest_sha256))


class ContentKey:
    """The key to one passage's slices; random, and nowhere but here until it is released.

    Sealing is deterministic: the nonce is a keyed digest of the index and the slice. So a slice that has to be
    uploaded again has the same ciphertext, nobody has to keep it, and another slice never meets the same nonce.

    Parameters
    ----------
    passage_id : str
    key : bytes, optional
        32 bytes; random ones, if left out.
    """

    __slots__ = ("_aead", "_key", "_nonce_key", "_passage")

    def __init__(self, passage_id: str, key: bytes | None = None) -> None:
        key = secrets.token_bytes(_KEY_BYTES) if key is None else key
        if len(key) != _KEY_BYTES:
            raise EnvelopeError("a content key has 32 bytes")
        self._passage = _bytes_of(passage_id)
        derived = HKDFExpand(SHA256(), 2 * _KEY_BYTES, _SLICE).derive(key)
        self._key: bytes | None = key
        self._aead: AESGCM | None = AESGCM(derived[:_KEY_BYTES])
        self._nonce_key = derived[_KEY_BYTES:]

    def _present(self) -> AESGCM:
        if self._aead is None:
            raise EnvelopeError("the key of this passage was destroyed")
        return self._aead

    def _associated(self, index: int) -> bytes:
        return _SLICE + self._passage + index.to_bytes(4, "big")

    def seal(self, index: int, plaintext: bytes) -> bytes:
        """Nonce (12 bytes), ciphertext and tag (16 bytes) of a slice."""
        aead, associated = self._present(), self._associated(index)
        digest = hashlib.sha256(plaintext).digest()
        nonce = hmac.digest(self._nonce_key, associated + digest, "sha256")[:_NONCE_BYTES]
        return nonce + aead.encrypt(nonce, plaintext, associated)

    def open(self, index: int, sealed: bytes) -> bytes:
        """The slice that was sealed under this index.

        Raises
        ------
        EnvelopeError
            If it was altered, or is another passage's or index's.
        """
        try:
            return self._present().decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._associated(index)
            )
        except (InvalidTag, ValueError):
            raise EnvelopeError("the slice does not open") from None

    def released_to(self, contourer_key: bytes, manifest: Manifest) -> bytes:
        """The key, sealed to the contourer: whoever opens it can read every slice of the manifest."""
        if self._key is None:
            raise EnvelopeError("the key of this passage was destroyed")
        return _SUITE.encrypt(
            self._key, _public_key(contourer_key), _binding(_KEY, manifest.passage_id, manifest.sha256)
        )

    def destroy(self) -> None:
        """Forget the key: what was sealed and not released can never be opened. Idempotent."""
        self._key, self._aead, self._nonce_key = None, None, b""
