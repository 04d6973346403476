"""A relay between the gateway and a contourer that reads, records and, if told to, lies.

It has the contourer's TLS key, so to the gateway it is the contourer: what it records is what a contourer's operator
could record, and what it answers is what one could answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from gateway.cloud.tls import client_context, server_context
from gateway.cloud.transport import Endpoint
from tests.contourer_stand import CLIENT, Stand


@dataclass(frozen=True)
class Reply:
    """What the contourer answered, or what the relay answers instead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What the gateway sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Lie = Callable[[Asked, Callable[[], Awaitable[Reply]]], Awaitable[Reply]]
"""Gets a request and a way to have it answered honestly."""


async def honest(asked: Asked, answer: Callable[[], Awaitable[Reply]]) -> Reply:
    return await answer()


@dataclass
class Relay:
    endpoint: Endpoint
    lie: Lie = honest
    asked: list[Asked] = field(default_factory=list)
    """Every request, whole, in order of arrival."""


@contextlib.asynccontextmanager
async def relay(stand: Stand, lie: Lie = honest) -> AsyncIterator[Relay]:
    """A relay in front of a contourer."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    made = Relay(dataclasses.replace(stand.endpoint, url=url), lie)
    tls = client_context(CLIENT)

    async def forward(request: web.Request) -> web.Response:
        asked = Asked(
            request.method, request.path, dict(request.query), dict(request.headers), await request.read()
        )
        made.asked.append(asked)

        async def answer() -> Reply:
            kept = {name: value for name, value in asked.headers.items() if name == "Content-Digest"}
            async with session.request(
                asked.method,
                stand.endpoint.url + asked.path,
                params=asked.query,
                data=asked.body,
                headers=kept,
                ssl=tls,
            ) as response:
                body = await response.read()
                told = ("Content-Digest", "Contourgate-Statement", "Contourgate-Signature", "Retry-After")
                return Reply(
                    response.status,
                    body,
                    {name: response.headers[name] for name in told if name in response.headers},
                )

        reply = await made.lie(asked, answer)
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    application = web.Application(client_max_size=1 << 28)
    application.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = server_context(stand.keys.certificate, [CLIENT.certificate])
    await web.SockSite(runner, listening, ssl_context=context).start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        try:
            yield made
        finally:
            await runner.cleanup()
