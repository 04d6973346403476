"""Requests to a contourer: pinned, timed out, tried again while that makes sense.

In: a method, a path, a body. Out: the answer, or one of three exceptions: `ContourerUnavailable` after the last try,
`ContourerRefused` where the other side is not the pinned one, `Answered` with the reason it gave.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

import aiohttp
import tenacity

from gateway.cloud.failures import TRANSPORT_ERRORS, failure_of, failure_of_answer
from gateway.cloud.protocol import ContourerIdentity
from gateway.cloud.tls import Certificate, client_context
from gateway.errors import ContourerError, ContourerRefused, ContourerUnavailable, Word
from gateway.metrics import Metrics

__all__ = ["Answer", "Endpoint", "Patience", "Transport"]

_IDLE_S: Final = 20.0
"""A connection that rested for longer is not used again: many firewalls forget it silently."""
_TCP_USER_TIMEOUT: Final = 18
"""Of Linux, tcp(7); `socket` does not name it."""
_READ_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A contourer, as the clinic knows it."""

    url: str
    identity: ContourerIdentity
    certificate: Certificate | None = None
    """Ours, for mutual TLS."""
    region: str | None = None
    """Where it must be; nothing: where its identity says."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what."""

    connect_s: float = 5.0
    request_s: float = 20.0
    """For an answer, beside the time that a body takes at `slowest_bytes_per_s`."""
    slowest_bytes_per_s: float = 16 * 1024
    silence_s: float = 20.0
    """Sent bytes that are not acknowledged for so long end the connection."""
    first_pause_s: float = 0.2
    longest_pause_s: float = 10.0
    give_up_s: float = 60.0
    """A request that failed is tried again for so long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the class 2xx."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """A pool of connections to one contourer.

    Parameters
    ----------
    url : str
        Where paths begin.
    patience : Patience
    metrics : Metrics
    tls : SSLContext
        For `https:`.
    pin : bytes, optional
        SHA-256 of the certificate that the other side must show.
    headers : mapping, optional
        Of every request.
    """

    def __init__(
        self,
        url: str,
        patience: Patience,
        metrics: Metrics,
        *,
        tls: ssl.SSLContext,
        pin: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._patience = patience
        self._metrics = metrics
        self._tls = tls
        self._pin = pin
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def pinned(cls, endpoint: Endpoint, patience: Patience, metrics: Metrics) -> Self:
        """For a contourer that is known by its certificate and knows ours."""
        pin = bytes.fromhex(endpoint.identity.certificate_sha256)
        return cls(endpoint.url, patience, metrics, tls=client_context(endpoint.certificate), pin=pin)

    async def start(self) -> None:
        """Make the pool; nothing is connected yet."""
        connector = aiohttp.TCPConnector(
            # Compared after each handshake, before a request is sent.
            ssl=aiohttp.Fingerprint(self._pin) if self._pin is not None else True,
            limit=0,  # uploads are limited where they begin; a waiting poll must not take a place
            keepalive_timeout=_IDLE_S,
            ttl_dns_cache=30,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", **(self._headers or {})},
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int(self._patience.silence_s * 1000))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return made

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        extra_s: float = 0.0,
        limit_bytes: int = 4 << 20,
    ) -> Answer:
        """One request, tried again while it is worth it; so it must be idempotent.

        Parameters
        ----------
        method, path : str
        body : bytes, optional
        headers, query : mapping, optional
        extra_s : float
            How much longer than usual the answer may take.
        limit_bytes : int
            The largest body of an answer.

        Raises
        ------
        ContourerUnavailable
            CONTOURER_UNREACHABLE or CONTOURER_BUSY, after the last try.
        ContourerRefused
            CONTOURER_UNTRUSTED or CONTOURER_REFUSED.
        Answered
            With the contourer's reason.
        """
        patience = self._patience
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ContourerUnavailable),
            wait=self._pause,
            stop=tenacity.stop_before_delay(patience.give_up_s),
            reraise=True,
        )
        limits = aiohttp.ClientTimeout(
            total=patience.request_s + extra_s + len(body or b"") / patience.slowest_bytes_per_s,
            sock_connect=patience.connect_s,
        )
        async for attempt in attempts:
            with attempt:
                return await self._once(
                    method,
                    path,
                    body=body,
                    headers=headers,
                    query=query,
                    limits=limits,
                    limit_bytes=limit_bytes,
                )
        raise AssertionError("tenacity ends with a return or a raise")

    async def _once(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        query: Mapping[str, str] | None,
        limits: aiohttp.ClientTimeout,
        limit_bytes: int,
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("the transport was not started")
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=body,
                headers=headers,
                params=query,
                timeout=limits,
                allow_redirects=False,
                ssl=self._tls,
            ) as response:
                read = await _read(response, limit_bytes)
        except TRANSPORT_ERRORS as error:
            failure = failure_of(error)
            self._metrics.contourer_errors_total.labels(failure.code).inc()
            raise failure from None
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            return Answer(response.status, dict(response.headers), read)
        answered = failure_of_answer(response.status, response.headers.get("Retry-After"), read)
        if isinstance(answered, ContourerError):
            self._metrics.contourer_errors_total.labels(answered.code).inc()
        raise answered

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Exponential with jitter, and never shorter than the contourer asked for."""
        patience = self._patience
        exponential = tenacity.wait_exponential_jitter(
            multiplier=patience.first_pause_s, max=patience.longest_pause_s, jitter=patience.first_pause_s
        )
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.facts.get("retry_after_s", 0.0) if isinstance(error, ContourerUnavailable) else 0.0
        return max(exponential(state), float(asked))


async def _read(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(_READ_BYTES):
        size += len(chunk)
        if size > limit_bytes:
            raise ContourerRefused("CONTOURER_REFUSED", reason=Word("answer too large"))
        chunks.append(chunk)
    return b"".join(chunks)
