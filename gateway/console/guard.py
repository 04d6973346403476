"""What every answer of the console carries, and which requests get none.

The console has no sign-in: it listens on loopback, and these rules keep other sites in the same browser away from it.

- `Host` must name this machine's loopback, or another site could point its own name at us (DNS rebinding).
- Fetch metadata (W3C Fetch Metadata Request Headers) must not say that another site asks, but for following a link.
- Whoever changes something must send `X-Contourgate`, which a foreign page cannot without our leave (CORS), and an
  `Origin` of ours, if any.
- The content security policy lets pages use our own files only: no inline script or style, no frame, no plug-in;
  trusted types keep text from becoming markup.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

REQUEST_HEADER: Final = "X-Contourgate"
"""Must be there, with any value, on every request that changes something."""

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Server": "contourgate",
}
"""On every answer."""


class Refused(Exception):
    """A request that is not answered, with the status and the reason to give."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status: Final = status
        self.reason: Final = reason


def is_loopback(host: str) -> bool:
    """Whether a `Host` header (RFC 9110, 7.2) names this machine's loopback, whatever the port.

    The port is not compared, so that the console can be reached through a forwarded one (`ssh -L`).
    """
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not name or parts.path or parts.username is not None or parts.query or parts.fragment:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check(request: web.BaseRequest) -> None:
    """Refuse what does not come from our own pages, our own commands or a probe.

    Raises
    ------
    Refused
    """
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        raise Refused(421, "The console answers only to this machine's loopback address.")
    changes_something = request.method not in ("GET", "HEAD")
    site = request.headers.get("Sec-Fetch-Site", "none")
    follows_link = not changes_something and request.headers.get("Sec-Fetch-Dest") == "document"
    if site not in ("same-origin", "none") and not follows_link:
        raise Refused(403, "The console does not answer to other sites.")
    if changes_something:
        if REQUEST_HEADER not in request.headers:
            raise Refused(403, f"A request that changes something must carry the header {REQUEST_HEADER}.")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{hosts[0]}":
            raise Refused(403, "The console does not answer to other sites.")


def guard(refusal: Callable[[web.Request, Refused], web.StreamResponse]) -> Middleware:
    """Return a middleware that answers what `check` refuses by `refusal`."""

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check(request)
        except Refused as refused:
            return refusal(request, refused)
        return await handler(request)

    return checked


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put `HEADERS` on an answer (an `on_response_prepare` signal: error answers have them, too)."""
    response.headers.update(HEADERS)
