"""Contouring: from a commit to a sealed result, one passage after the other.

In: a passage whose key was released. Each slice is opened and shown to the guard first, all of them before any is
passed to the engine; what the guard finds ends the passage at once (R9). Out: the structure set, sealed to the
passage's reply key and signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.cloud.envelope import ContentKey, Manifest, RecipientKey, seal_result
from gateway.cloud.payload import PayloadError, SlicePayload
from gateway.cloud.protocol import Reason, Stage
from gateway.cloud.statements import EnvelopeError, signed_statement
from gateway.contourer.engines import Engines
from gateway.contourer.guard import Finding, IdentifiersFound, inspect_slice
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.records import Recorder
from gateway.contourer.refusal import Refusal
from gateway.contourer.retention import Held, Retention, SealedResult

__all__ = ["Contouring"]

_FINDINGS_RECORDED: Final = 20


class Contouring:
    """Takes up committed passages.

    Parameters
    ----------
    keys : ContourerKeys
    retention : Retention
    engines : Engines
    record : Recorder
    """

    def __init__(self, keys: ContourerKeys, retention: Retention, engines: Engines, record: Recorder) -> None:
        self._recipient: RecipientKey = keys.recipient
        self._signing = keys.signing
        self._retention = retention
        self._engines = engines
        self._record = record
        self._waiting: asyncio.Queue[Held] = asyncio.Queue()

    def commit(self, held: Held, manifest: Manifest, sealed_key: bytes) -> bool:
        """Accept the release of a passage's key; whether anything changed by it.

        The same commit again is no error, and takes up a passage again whose engine broke down.

        Raises
        ------
        Refusal
            MANIFEST_CONFLICT, PARTS_MISSING, MANIFEST_INVALID or KEY_UNSEALABLE.
        """
        if held.manifest is not None and held.manifest.sha256 != manifest.sha256:
            raise Refusal(Reason.MANIFEST_CONFLICT)
        if held.stage not in (Stage.RECEIVING, Stage.FAILED):
            return False
        self._match(held, manifest)
        try:
            seal_result(b"", manifest.reply_key, held.id, manifest.sha256)
        except EnvelopeError:
            raise Refusal(Reason.MANIFEST_INVALID) from None  # better now than after the work
        try:
            self._recipient.open_content_key(sealed_key, manifest).destroy()
        except EnvelopeError:
            raise Refusal(Reason.KEY_UNSEALABLE) from None
        if held.manifest is None:
            self._record(
                {
                    "event": "committed",
                    "passage": held.id,
                    "client": held.client,
                    "parts": len(held.parts),
                    "manifest_sha256": manifest.sha256.hex(),
                }
            )
        held.manifest, held.sealed_key = manifest, sealed_key
        held.move(Stage.QUEUED)
        self._waiting.put_nowait(held)
        return True

    @staticmethod
    def _match(held: Held, manifest: Manifest) -> None:
        terms = held.terms
        if (manifest.passage_id, manifest.model, manifest.profile) != (held.id, terms.model, terms.profile):
            raise Refusal(Reason.MANIFEST_INVALID)
        if not set(range(len(manifest.parts))) <= held.parts.keys():
            raise Refusal(Reason.PARTS_MISSING)
        listed = {index: (part.sha256, part.size) for index, part in enumerate(manifest.parts)}
        if listed != {index: (held.digests[index], len(part)) for index, part in held.parts.items()}:
            raise Refusal(Reason.MANIFEST_INVALID)

    async def work(self) -> None:
        """Contour what is committed, for as long as the contourer runs."""
        self._engines.warm_up()
        while True:
            held = await self._waiting.get()
            if held.stage is not Stage.QUEUED:
                continue
            contouring = asyncio.create_task(self._contour(held))
            try:
                await _unless_deleted(held, contouring)
            finally:
                contouring.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await contouring

    async def _contour(self, held: Held) -> None:
        held.move(Stage.CONTOURING)
        try:
            result = await self._result(held)
        except Refusal as refusal:
            held.detail = refusal.detail
            held.move(Stage.FAILED, refusal.reason)
            self._record({"event": "failed", "passage": held.id, "reason": refusal.reason.value})
        except IdentifiersFound as breach:
            self._end_breach(held, breach.findings)
        else:
            self._retention.keep_result(held, result)
            held.move(Stage.DONE)
            self._record({"event": "contoured", "passage": held.id, "result_bytes": len(result.sealed)})

    def _end_breach(self, held: Held, findings: tuple[Finding, ...]) -> None:
        """Delete at once, then record what rule was broken at which tag."""
        self._retention.delete(held.client, held.id, "identifiers_found")
        self._record(
            {
                "event": "breach",
                "passage": held.id,
                "client": held.client,
                "findings": ", ".join(str(finding) for finding in findings[:_FINDINGS_RECORDED]),
                "findings_in_all": len(findings),
            }
        )

    async def _result(self, held: Held) -> SealedResult:
        manifest = held.manifest
        if manifest is None:
            raise RuntimeError("nothing is contoured before its commit")
        parts = [held.parts[index] for index in sorted(held.parts)]
        key = self._recipient.open_content_key(held.sealed_key, manifest)
        try:
            await asyncio.to_thread(_inspect, parts, key)
            structure_set = await self._engines.contour(
                manifest.model, len(parts), lambda: _opened(parts, key)
            )
        finally:
            key.destroy()
        sealed = await asyncio.to_thread(
            seal_result, structure_set, manifest.reply_key, held.id, manifest.sha256
        )
        statement, signature = signed_statement(
            self._signing,
            {
                "kind": "result",
                "passage": held.id,
                "manifest_sha256": manifest.sha256.hex(),
                "result_sha256": hashlib.sha256(sealed).hexdigest(),
                "model": manifest.model,
            },
        )
        return SealedResult(sealed, statement, signature)


async def _unless_deleted(held: Held, contouring: asyncio.Task[None]) -> None:
    """Wait for the end of the work, or of the passage."""
    while not contouring.done() and held.stage is not Stage.DELETED:
        changed = asyncio.ensure_future(held.changed.wait())
        try:
            await asyncio.wait({contouring, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
    if contouring.done():
        contouring.result()


def _opened(parts: Sequence[bytes], key: ContentKey) -> Iterator[bytes]:
    """The packed slices in order, one at a time.

    Raises
    ------
    Refusal
        SLICE_UNSEALABLE.
    """
    for index, part in enumerate(parts):
        try:
            yield key.open(index, part)
        except EnvelopeError:
            raise Refusal(Reason.SLICE_UNSEALABLE) from None


def _inspect(parts: Sequence[bytes], key: ContentKey) -> None:
    found: list[Finding] = []
    for packed in _opened(parts, key):
        try:
            inspect_slice(SlicePayload.from_bytes(packed))
        except PayloadError:
            raise Refusal(Reason.SLICE_INVALID) from None
        except IdentifiersFound as breach:
            found += breach.findings
    if found:
        raise IdentifiersFound(tuple(found))
