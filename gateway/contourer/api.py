"""The contourer's HTTP interface: `gateway.cloud.protocol`, as a server.

Handlers check the form of a request and pass it on; what a passage may do is decided by `Retention` and
`Contouring`. A client is its TLS certificate: it sees its own passages and no others.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway import __version__
from gateway.cloud.envelope import Manifest, is_passage_id
from gateway.cloud.protocol import (
    CONTENT_DIGEST,
    DAY_S,
    SIGNATURE,
    STATEMENT,
    Announcement,
    Reason,
    Stage,
    content_digest,
    digest_in,
)
from gateway.cloud.statements import EnvelopeError, signed_statement
from gateway.cloud.tls import fingerprint
from gateway.contourer.contouring import Contouring
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.refusal import STATUS, Refusal
from gateway.contourer.retention import Caps, Deletion, Held, Retention

__all__ = ["Api"]

_LONGEST_WAIT_S: Final = 60.0
_BUSY_S: Final = 10

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Commit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    manifest: str
    sealed_key: str


@dataclass(frozen=True, slots=True)
class Api:
    """The routes, over the parts that do the work.

    Parameters
    ----------
    keys : ContourerKeys
    models : frozenset of str
        Models on offer; none: whatever is asked for.
    clients : frozenset of str
        Fingerprints of the clients that may connect; none: anyone.
    retention : Retention
    contouring : Contouring
    caps : Caps
    """

    keys: ContourerKeys
    models: frozenset[str]
    clients: frozenset[str]
    retention: Retention
    contouring: Contouring
    caps: Caps

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(
            middlewares=[_refusals], client_max_size=self.caps.part_bytes, handler_args={"access_log": None}
        )
        passage = "/v1/passages/{id}"
        application.add_routes(
            [
                web.get("/v1/contourer", self.describe),
                web.put(passage, self.announce),
                web.get(passage, self.show),
                web.put(passage + "/parts/{index}", self.put_part),
                web.post(passage + "/commit", self.commit),
                web.get(passage + "/result", self.result),
                web.delete(passage, self.delete),
                web.get(passage + "/receipt", self.receipt),
            ]
        )
        return application

    async def describe(self, request: web.Request) -> web.Response:
        """Who we are, signed, with the client's challenge in it."""
        self._client(request)
        statement, signature = signed_statement(
            self.keys.signing,
            {
                "kind": "contourer",
                "challenge": _challenge(request),
                "version": __version__,
                "region": self.keys.region,
                "models": sorted(self.models),
                "retention_s": DAY_S,
            },
        )
        return _signed(statement, signature)

    async def announce(self, request: web.Request) -> web.Response:
        """Take note of a passage."""
        client = self._client(request)
        try:
            terms = Announcement.model_validate_json(await request.read())
        except ValidationError:
            raise Refusal(Reason.BAD_REQUEST) from None
        if self.models and terms.model not in self.models:
            raise Refusal(Reason.UNKNOWN_MODEL)
        held, is_new = self.retention.announce(client, request.match_info["id"], terms)
        return web.json_response(_state(held), status=201 if is_new else 200)

    async def show(self, request: web.Request) -> web.Response:
        """Where a passage stands."""
        return web.json_response(_state(self._held(request)))

    async def put_part(self, request: web.Request) -> web.Response:
        """Keep one sealed slice."""
        held = self._held(request)
        index = request.match_info["index"]
        if not re.fullmatch(r"0|[1-9]\d{0,5}", index):
            raise Refusal(Reason.BAD_REQUEST)
        announced = digest_in(request.headers.get(CONTENT_DIGEST, ""))
        if announced is None:
            raise Refusal(Reason.BAD_REQUEST)
        body = await request.read()
        if hashlib.sha256(body).digest() != announced:
            raise Refusal(Reason.DIGEST_MISMATCH)
        held = self._held(request)  # it may have been deleted while the body came in
        is_new = self.retention.put(held, int(index), body, announced)
        return web.Response(status=201 if is_new else 200)

    async def commit(self, request: web.Request) -> web.Response:
        """Take the key and begin."""
        try:
            body = _Commit.model_validate_json(await request.read())
            manifest = Manifest.from_bytes(body.manifest.encode("ascii"))
            sealed_key = base64.b64decode(body.sealed_key, validate=True)
        except (ValidationError, EnvelopeError, ValueError, binascii.Error):
            raise Refusal(Reason.MANIFEST_INVALID) from None
        held = self._held(request)
        has_begun = self.contouring.commit(held, manifest, sealed_key)
        return web.json_response(_state(held), status=202 if has_begun else 200)

    async def result(self, request: web.Request) -> web.Response:
        """The sealed structure set, as soon as there is one."""
        held = self._held(request)
        try:
            wait_s = min(float(request.query.get("wait_s", "0")), _LONGEST_WAIT_S)
        except ValueError:
            raise Refusal(Reason.BAD_REQUEST) from None
        loop = asyncio.get_running_loop()
        until = loop.time() + max(wait_s, 0.0)
        while held.stage in (Stage.QUEUED, Stage.CONTOURING) and loop.time() < until:
            try:
                await asyncio.wait_for(held.changed.wait(), until - loop.time())
            except TimeoutError:
                break
        if held.stage is Stage.RECEIVING:
            raise Refusal(Reason.NOT_COMMITTED)
        if held.reason is not None:
            raise Refusal(held.reason, detail=held.detail)
        if held.result is None:
            return web.json_response(_state(held), status=202)
        return web.Response(
            body=held.result.sealed,
            content_type="application/octet-stream",
            headers={
                CONTENT_DIGEST: content_digest(held.result.sealed),
                STATEMENT: base64.b64encode(held.result.statement).decode("ascii"),
                SIGNATURE: base64.b64encode(held.result.signature).decode("ascii"),
            },
        )

    async def delete(self, request: web.Request) -> web.Response:
        """Delete all of a passage."""
        client, passage_id = self._client(request), request.match_info["id"]
        if not is_passage_id(passage_id):
            raise Refusal(Reason.BAD_REQUEST)
        return self._receipt(request, self.retention.delete(client, passage_id, "asked"))

    async def receipt(self, request: web.Request) -> web.Response:
        """The receipt of a passage that is gone."""
        client = self._client(request)
        return self._receipt(request, self.retention.deletion(client, request.match_info["id"]))

    def _receipt(self, request: web.Request, deletion: Deletion) -> web.Response:
        return _signed(*self.retention.receipt(deletion, _challenge(request)))

    def _held(self, request: web.Request) -> Held:
        return self.retention.passage(self._client(request), request.match_info["id"])

    def _client(self, request: web.Request) -> str:
        """The fingerprint of the client's certificate; empty where none is asked for."""
        if not self.clients:
            return ""
        connection = request.get_extra_info("ssl_object")
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLObject) else None
        if shown is None or fingerprint(shown) not in self.clients:
            raise Refusal(Reason.CLIENT_UNKNOWN)
        return fingerprint(shown)


def _challenge(request: web.Request) -> str:
    challenge = request.query.get("challenge", "")
    if not re.fullmatch(r"(?:[0-9a-f]{2}){0,64}", challenge):
        raise Refusal(Reason.BAD_REQUEST)
    return challenge


def _state(held: Held) -> dict[str, object]:
    return {
        "stage": held.stage.value,
        "reason": held.reason.value if held.reason is not None else "",
        "parts": {str(index): digest.hex() for index, digest in held.digests.items()},
        "manifest_sha256": held.manifest.sha256.hex() if held.manifest is not None else "",
    }


def _signed(statement: bytes, signature: bytes) -> web.Response:
    return web.json_response({"statement": statement.decode("ascii"), "signature": signature.hex()})


@web.middleware
async def _refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every refusal as JSON, those of the HTTP library included."""
    try:
        return await handler(request)
    except Refusal as refusal:
        body = {"code": refusal.reason.value, "hint": refusal.reason.hint, "detail": refusal.detail}
        response = web.json_response(body, status=STATUS[refusal.reason])
        if refusal.reason is Reason.BUSY:
            response.headers["Retry-After"] = str(refusal.retry_after_s or _BUSY_S)
        return response
    except web.HTTPRequestEntityTooLarge:
        return web.json_response(
            {"code": Reason.TOO_LARGE.value, "hint": Reason.TOO_LARGE.hint}, status=STATUS[Reason.TOO_LARGE]
        )
    except web.HTTPException as error:
        return web.json_response(
            {"code": Reason.BAD_REQUEST.value, "hint": Reason.BAD_REQUEST.hint}, status=error.status
        )
