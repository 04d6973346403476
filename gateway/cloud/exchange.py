"""One passage's dealings with a contourer that speaks the sealed protocol.

Each slice is sealed and uploaded as it comes; the contourer cannot read it. The key goes out at commit, with the
manifest of all parts. Whatever the contourer forgets (it keeps nothing on a disk) is uploaded again, under the same
key and therefore in the same ciphertext, so it never contours two versions of one passage.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Final

from gateway.cloud.contourer import Order, Receipt
from gateway.cloud.envelope import ContentKey, Manifest, Part, RecipientKey
from gateway.cloud.failures import Answered, refusal_of
from gateway.cloud.payload import SlicePayload
from gateway.cloud.protocol import (
    CONTENT_DIGEST,
    SIGNATURE,
    STATEMENT,
    Announcement,
    ContourerIdentity,
    Reason,
    digest_header,
    digest_in,
)
from gateway.cloud.receipts import receipt_of
from gateway.cloud.statements import EnvelopeError, checked_statement
from gateway.cloud.transport import Answer, Transport
from gateway.cloud.uplink import Uplink
from gateway.errors import ContourerRefused, ContourerUnavailable, Word

__all__ = ["SealedExchange"]

UPLOADS_AT_ONCE: Final = 4
_POLL_S: Final = 25.0
_RESULT_LIMIT_BYTES: Final = 512 << 20
_TRIES: Final = 5
"""How often a passage is begun again that the contourer lost, and a damaged result fetched again."""
_LOST: Final = frozenset({Reason.NOT_FOUND, Reason.DELETED, Reason.NOT_COMMITTED, Reason.PARTS_MISSING})


class SealedExchange:
    """See `gateway.cloud.contourer.Exchange`.

    Parameters
    ----------
    order : Order
    transport : Transport
    identity : ContourerIdentity
    reply : RecipientKey
        To which the result is to be sealed.
    retention_s : int
        How long the contourer may keep the passage.
    uplink : Uplink
    manifest_sha256 : bytes
        Of a passage that was committed before a restart; empty for a new one.
    """

    def __init__(
        self,
        order: Order,
        transport: Transport,
        identity: ContourerIdentity,
        reply: RecipientKey,
        retention_s: int,
        uplink: Uplink,
        manifest_sha256: bytes = b"",
    ) -> None:
        self._order = order
        self._transport = transport
        self._identity = identity
        self._reply = reply
        self._terms = Announcement(model=order.model, profile=order.profile, retention_s=retention_s)
        self._uplink = uplink
        self._joined = manifest_sha256
        self._key = ContentKey(order.passage_id)
        self._payloads: dict[int, SlicePayload] = {}
        self._parts: dict[int, Part] = {}
        self._manifest: Manifest | None = None
        self._has_failed = False
        self._lanes = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._path = f"/v1/passages/{order.passage_id}"

    async def begin(self) -> None:
        """Tell the contourer of a new passage; what it may still have under this id from before goes."""
        try:
            if await self._announce():
                return
        except Answered as answered:
            if answered.reason is not Reason.TERMS_CONFLICT:
                raise refusal_of(answered) from None
        await self._delete(None)
        try:
            await self._announce()
        except Answered as answered:
            raise refusal_of(answered) from None

    async def add(self, index: int, payload: SlicePayload) -> int:
        """Seal a slice and upload it; returns the bytes that the contourer acknowledged.

        A slice whose upload failed is nevertheless taken: it may be added again, and `commit` uploads what is
        missing.
        """
        if self._manifest is not None or self._joined:
            raise RuntimeError("a slice was added after the passage was sealed")
        sealed = self._key.seal(index, payload.to_bytes())
        self._payloads[index] = payload
        self._parts[index] = Part(hashlib.sha256(sealed).digest(), len(sealed))
        try:
            return await self._upload(index, sealed)
        except Answered as answered:
            if answered.reason not in _LOST:
                raise refusal_of(answered) from None
        try:
            await self._announce()
            return await self._upload(index, sealed)
        except Answered as answered:
            raise refusal_of(answered) from None

    def seal(self) -> bytes:
        """Fix what was added, and its order; returns the manifest's SHA-256. Idempotent.

        Raises
        ------
        RuntimeError
            If there is no slice, or one is missing from the middle: a fault of the program.
        """
        if self._manifest is None and not self._joined:
            if not self._parts or self._parts.keys() != set(range(len(self._parts))):
                raise RuntimeError("the slices are not numbered from 0 without a gap")
            self._manifest = Manifest(
                self._order.passage_id,
                self._order.model,
                self._order.profile,
                self._reply.public,
                tuple(self._parts[index] for index in range(len(self._parts))),
            )
        return self._manifest_sha256

    async def commit(self) -> None:
        """Release the key, once everything is there. Idempotent."""
        if self._joined:
            return
        self.seal()
        if self._manifest is not None:
            await self._release(self._manifest)
        self._has_failed = False

    async def result(self) -> bytes:
        """Wait for the structure set, open it and verify that it is this passage's."""
        if self._has_failed:
            await self.commit()
        for _ in range(_TRIES):
            try:
                return await self._awaited()
            except Answered as answered:
                if answered.reason not in _LOST:
                    error = refusal_of(answered)
                    self._has_failed = error.code == "CONTOURER_FAILED"
                    raise error from None
            if self._manifest is None:
                raise ContourerRefused("CONTOURER_LOST")
            await self._release(self._manifest)
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("passage lost again and again"))

    async def delete(self) -> Receipt:
        """Have all of it deleted; the receipt is verified."""
        return await self._delete({"", self._manifest_sha256.hex()})

    async def close(self) -> None:
        """Destroy the content key and let go of the slices. Idempotent."""
        self._key.destroy()
        self._payloads.clear()

    async def _delete(self, manifests: Collection[str] | None) -> Receipt:
        challenge = secrets.token_hex(16)
        try:
            answer = await self._transport.request("DELETE", self._path, query={"challenge": challenge})
        except Answered as answered:
            raise refusal_of(answered) from None
        return receipt_of(
            answer.body,
            self._identity,
            self._order.passage_id,
            challenge,
            manifests=manifests,
        )

    @property
    def _manifest_sha256(self) -> bytes:
        return self._manifest.sha256 if self._manifest is not None else self._joined

    async def _announce(self) -> bool:
        """Announce the passage; whether the contourer did not know it."""
        terms = self._terms.model_dump_json().encode("ascii")
        answer = await self._transport.request("PUT", self._path, body=terms)
        return answer.status == HTTPStatus.CREATED

    async def _upload(self, index: int, sealed: bytes) -> int:
        async with self._lanes:
            with self._uplink.sending(len(sealed)):
                await self._transport.request(
                    "PUT",
                    f"{self._path}/parts/{index}",
                    body=sealed,
                    headers={CONTENT_DIGEST: digest_header(self._parts[index].sha256)},
                )
        return len(sealed)

    async def _upload_again(self, indexes: Iterable[int]) -> None:
        async def one(index: int) -> None:
            await self._upload(index, self._key.seal(index, self._payloads[index].to_bytes()))

        try:
            async with asyncio.TaskGroup() as group:
                for index in indexes:
                    group.create_task(one(index))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _release(self, manifest: Manifest) -> None:
        """Commit, after uploading again whatever the contourer does not have."""
        body = {
            "manifest": manifest.to_bytes().decode("ascii"),
            "sealed_key": base64.b64encode(self._sealed_key(manifest)).decode("ascii"),
        }
        encoded = json.dumps(body).encode("ascii")
        for _ in range(_TRIES):
            try:
                await self._transport.request("POST", self._path + "/commit", body=encoded)
            except Answered as answered:
                if answered.reason not in _LOST:
                    raise refusal_of(answered) from None
            else:
                return
            await self._bring_back()
        raise ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("passage lost again and again"))

    def _sealed_key(self, manifest: Manifest) -> bytes:
        try:
            return self._key.released_to(bytes.fromhex(self._identity.hpke_public_key), manifest)
        except EnvelopeError:
            raise ContourerRefused("CONTOURER_LOST") from None  # closed: the key is destroyed

    async def _bring_back(self) -> None:
        try:
            await self._announce()
            answer = await self._transport.request("GET", self._path)
            there = _digests(answer.body)
            await self._upload_again(
                index for index, part in self._parts.items() if there.get(str(index)) != part.sha256.hex()
            )
        except Answered as answered:
            if answered.reason not in _LOST:
                raise refusal_of(answered) from None

    async def _awaited(self) -> bytes:
        damaged = 0
        while True:
            answer = await self._transport.request(
                "GET",
                self._path + "/result",
                query={"wait_s": str(_POLL_S)},
                extra_s=_POLL_S,
                limit_bytes=_RESULT_LIMIT_BYTES,
            )
            if answer.status == HTTPStatus.ACCEPTED:
                continue
            if digest_in(answer.headers.get(CONTENT_DIGEST, "")) == hashlib.sha256(answer.body).digest():
                return await asyncio.to_thread(self._opened, answer)
            damaged += 1
            if damaged == _TRIES:
                raise ContourerRefused("RESULT_UNSEALABLE", reason=Word("damaged"))

    def _opened(self, answer: Answer) -> bytes:
        try:
            checked_statement(
                bytes.fromhex(self._identity.receipt_public_key),
                base64.b64decode(answer.headers.get(STATEMENT, ""), validate=True),
                base64.b64decode(answer.headers.get(SIGNATURE, ""), validate=True),
                {
                    "kind": "result",
                    "passage": self._order.passage_id,
                    "manifest_sha256": self._manifest_sha256.hex(),
                    "result_sha256": hashlib.sha256(answer.body).hexdigest(),
                },
            )
            return self._reply.open_result(answer.body, self._order.passage_id, self._manifest_sha256)
        except (EnvelopeError, binascii.Error):
            raise ContourerRefused("RESULT_UNSEALABLE") from None


def _digests(body: bytes) -> dict[str, object]:
    try:
        parts = json.loads(body)["parts"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return parts if isinstance(parts, dict) else {}
