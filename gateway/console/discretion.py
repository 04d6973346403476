"""What happens when answering a request fails in a way that nobody foresaw.

An exception's message may quote whatever was being worked on. So neither the page nor the log gets it: the page is
told that something failed, the log which kind of exception it was and where it was raised.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from types import TracebackType

from aiohttp import web
from aiohttp.typedefs import Handler

_log = logging.getLogger("gateway.console")


class Discreet:
    """A context that lets no unforeseen exception out.

    Raises
    ------
    aiohttp.web.HTTPInternalServerError
        In place of it.
    """

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, web.HTTPException | asyncio.CancelledError):
            return
        place = traceback.extract_tb(trace)[-1]
        _log.error("a request failed: %s at %s:%d", type(error).__name__, place.filename, place.lineno)
        raise web.HTTPInternalServerError(
            text="Something failed in the gateway; its log says where."
        ) from None


@web.middleware
async def discretion(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request within `Discreet`."""
    with Discreet():
        return await handler(request)
