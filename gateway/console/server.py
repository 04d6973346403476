"""The web console: what the passages do, for people, for the commands and for probes.

Comes in: HTTP requests on a loopback address. Goes out: pages, JSON, a stream of events, pictures of slices. It
changes nothing but by `Board.release`, `Board.cancel`, `Queues`, the drain and the reload, and reaches no identity: a
`Board` has none.

==============================  ================================================================
``GET /``                       the passages, live
``GET /passages/{id}``          one passage, with its contours on its slices
``GET /passages/{id}/pictures`` what can be drawn: `views.PicturesView`
``GET /passages/{id}/text.png`` where text was read in the pixels, itself blackened
``GET …/slices/{n}.bin``        one slice: `render`
``GET …/slices/{n}/outlines.json``  its contours: `views.OutlineView`
``GET /doctor``                 whether all is well: green or red, with the reasons
``GET /events``                 server-sent events: `events`
``GET /health/live``            200 while the event loop turns
``GET /health/ready``           200 or 503, with the reasons
``GET /metrics``                Prometheus
``GET /api/status``             `views.StatusView`
``GET /api/doctor``             `views.DoctorView`
``GET /api/passages[/{id}]``    `views.PassageView`
``POST /api/passages/{id}/release``, ``…/cancel``  204, or 409 if it is not held
``POST /api/destinations/{name}/pause``, ``…/resume``  204: nothing is delivered there, or it is again
``POST /api/drain``             202: the gateway stops as on SIGTERM
``POST /api/reload``            `views.ReloadView`, or 409 if the configuration file has a mistake
==============================  ================================================================
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.config import Config
from gateway.console import guard, render, views
from gateway.console.discretion import discretion
from gateway.console.events import Hub, Stream, StreamLimits, TooManyStreams
from gateway.console.pages import Pages
from gateway.console.readiness import Readiness
from gateway.doctor.rounds import Report
from gateway.errors import ConfigError
from gateway.flow.board import Board, Outline
from gateway.flow.concerns import Concern
from gateway.flow.queues import Queues
from gateway.metrics import Metrics
from gateway.passage import WAY, Passage, State
from gateway.reload import Changes

T = TypeVar("T")
R = TypeVar("R")

_ID = "{id:[0-9a-f]{32}}"
_INDEX = r"{index:\d{1,5}}"
_AT_A_TIME = 50
"""Passages that are told before others on the event loop get their turn."""


class Console:
    """The console's HTTP server.

    Parameters
    ----------
    config : Config
    board : Board
    metrics : Metrics
    readiness : callable
        Tells what stands in the way of taking another series.
    drain : callable, optional
        Asks the gateway to stop when what is under way is done.
    reload : callable, optional
        Reads the configuration file again.
    concerns : callable, optional
        Tells what is wrong with the gateway itself.
    queues : Queues, optional
        What waits before each destination.
    doctor : callable, optional
        Examines the gateway; it answers soon, however often it is asked.
    pool : Executor, optional
        Where slices are packed for the viewer; the event loop's own, if left out.
    limits : StreamLimits, optional
    """

    def __init__(
        self,
        config: Config,
        board: Board,
        metrics: Metrics,
        readiness: Callable[[], Readiness],
        *,
        drain: Callable[[], None] = lambda: None,
        reload: Callable[[], Awaitable[Changes]] | None = None,
        concerns: Callable[[], Sequence[Concern]] = tuple,
        queues: Queues | None = None,
        doctor: Callable[[], Awaitable[Report]] | None = None,
        pool: Executor | None = None,
        limits: StreamLimits | None = None,
    ) -> None:
        self._config = config
        self._board = board
        self._metrics = metrics
        self._readiness = readiness
        self._drain = drain
        self._reload = reload
        self._concerns = concerns
        self._queues = queues
        self._doctor = doctor
        self._pool = pool
        self._pages = Pages()
        self._hub = Hub(board, self._view, self._status, limits)
        self._watch: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    def update(self, config: Config) -> None:
        """Show a changed configuration from now on."""
        self._config = config

    async def start(self) -> None:
        """Listen; return when the port answers.

        Raises
        ------
        ConfigError
            If the port is taken (`PORT_IN_USE`).
        """
        # Never by a resolver's answer: whatever `localhost` resolves to, this is loopback.
        host = "127.0.0.1" if self._config.console.host == "localhost" else self._config.console.host
        if not guard.is_loopback(f"[{host}]" if ":" in host else host):
            raise ValueError("the console has no sign-in and listens on loopback only")
        runner = web.AppRunner(self._app(), access_log=None, handle_signals=False, shutdown_timeout=2)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, self._config.console.port).start()
        except OSError as error:
            await runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise ConfigError("PORT_IN_USE", port=self._config.console.port) from None
            raise
        self._runner = runner
        self._watch = asyncio.create_task(self._hub.run(), name="console")

    async def stop(self) -> None:
        """Close the streams, answer what was asked, and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.cancel()
            try:
                await watch
            except asyncio.CancelledError:
                if not watch.cancelled():  # it is we who were cancelled
                    raise

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[guard.guard(self._refusal), discretion], client_max_size=4096)
        app.on_response_prepare.append(guard.add_headers)
        app.on_shutdown.append(self._close_streams)
        get, post = app.router.add_get, app.router.add_post
        get("/", self._list_page)
        get(f"/passages/{_ID}", self._passage_page)
        get(f"/passages/{_ID}/pictures", self._pictures)
        get(f"/passages/{_ID}/text.png", self._text)
        get(f"/passages/{_ID}/slices/{_INDEX}.bin", self._slice)
        get(f"/passages/{_ID}/slices/{_INDEX}/outlines.json", self._outlines)
        get("/doctor", self._doctor_page)
        get("/static/{name}", self._static)
        get("/events", self._events, allow_head=False)
        get("/health/live", self._live)
        get("/health/ready", self._ready)
        get("/metrics", self._exposition)
        get("/api/status", self._api_status)
        get("/api/doctor", self._api_doctor)
        get("/api/passages", self._api_passages)
        get(f"/api/passages/{_ID}", self._api_passage)
        post(f"/api/passages/{_ID}/release", self._release)
        post(f"/api/passages/{_ID}/cancel", self._cancel)
        post(r"/api/destinations/{name:[A-Za-z0-9_.-]{1,32}}/{switch:pause|resume}", self._switch)
        post("/api/drain", self._begin_drain)
        post("/api/reload", self._read_again)
        app.router.add_route("*", "/{rest:.*}", self._nothing_here)
        return app

    async def _close_streams(self, _: web.Application) -> None:
        self._hub.close()

    # What the answers are made of

    def _view(self, passage: Passage) -> views.PassageView:
        return views.passage_view(passage, deadline_s=self._config.passage.deadline_s)

    def _status(self) -> views.StatusView:
        return views.status_view(
            self._config,
            self._board.passages(),
            self._readiness(),
            self._concerns(),
            self._queues.all() if self._queues is not None else (),
        )

    def _refusal(self, request: web.Request, refused: guard.Refused) -> web.Response:
        return _error(refused.status, refused.reason)

    def _page(self, template: str, /, status: int = 200, **values: Any) -> web.Response:
        text = self._pages.render(template, config=self._config, **values)
        return web.Response(text=text, status=status, content_type="text/html")

    # Pages

    async def _list_page(self, request: web.Request) -> web.Response:
        return self._page("passages.html", way=WAY)

    async def _passage_page(self, request: web.Request) -> web.Response:
        passage = self._board.passage(request.match_info["id"])
        if passage is None:
            return self._page("gone.html", status=404)
        return self._page("passage.html", passage=passage, way=WAY)

    async def _doctor_page(self, request: web.Request) -> web.Response:
        return self._page("doctor.html")

    async def _nothing_here(self, request: web.Request) -> web.Response:
        if request.path.startswith(("/api/", "/static/")) or request.method not in ("GET", "HEAD"):
            return _error(404, "There is nothing here.")
        return self._page("nothing.html", status=404)

    async def _static(self, request: web.Request) -> web.Response:
        file = self._pages.static.get(request.match_info["name"])
        if file is None:
            return _error(404, "There is nothing here.")
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8")

    # Pictures

    def _slices(self, request: web.Request) -> tuple[str, int]:
        """Return the passage's id and how many slices can be drawn."""
        passage_id = request.match_info["id"]
        return passage_id, self._board.slice_count(passage_id) if self._board.passage(passage_id) else 0

    async def _in_pool(self, make: Callable[[T], R], of: T) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, make, of)

    async def _pictures(self, request: web.Request) -> web.Response:
        passage_id, count = self._slices(request)
        return web.json_response(
            views.pictures_view([self._board.outlines(passage_id, index) for index in range(count)])
        )

    async def _text(self, request: web.Request) -> web.Response:
        picture = self._board.masked_picture(request.match_info["id"])
        if picture is None:
            return _error(404, "No text was read in the pixels.")
        return web.Response(body=picture, content_type="image/png")

    async def _slice(self, request: web.Request) -> web.Response:
        passage_id, count = self._slices(request)
        index = int(request.match_info["index"])
        if index >= count:
            return _error(404, "The slice is no longer in memory.")
        try:
            picture = await self._board.picture(passage_id, index)
        except LookupError:  # dropped while it was being decoded
            return _error(404, "The slice is no longer in memory.")
        body = await self._in_pool(render.slice_bytes, picture)
        return web.Response(body=body, content_type="application/octet-stream")

    async def _outlines(self, request: web.Request) -> web.Response:
        passage_id, count = self._slices(request)
        index = int(request.match_info["index"])
        if index >= count:
            return _error(404, "The slice is no longer in memory.")
        return web.json_response(
            text=await self._in_pool(_outlines_json, self._board.outlines(passage_id, index))
        )

    # Events

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            stream = self._hub.subscribe()
        except TooManyStreams:
            return _error(503, "As many pages are open as may be.", {"Retry-After": "30"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            await self._send(stream, response)
        except (TimeoutError, ConnectionResetError):
            # The page is gone or does not read: let the transport go without waiting for what is unsent.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._hub.unsubscribe(stream)
        return response

    async def _send(self, stream: Stream, response: web.StreamResponse) -> None:
        async for frame in stream.frames():
            async with asyncio.timeout(self._hub.limits.write_s):
                await response.write(frame)

    # Probes and commands

    async def _live(self, request: web.Request) -> web.Response:
        is_live = self._watch is not None and not self._watch.done()
        return web.json_response({"live": is_live}, status=200 if is_live else 503)

    async def _ready(self, request: web.Request) -> web.Response:
        readiness = self._readiness()
        return web.json_response(
            {"ready": readiness.is_ready, "reasons": views.readiness_view(readiness)},
            status=200 if readiness.is_ready else 503,
        )

    async def _exposition(self, request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _api_status(self, request: web.Request) -> web.Response:
        return web.json_response(self._status())

    async def _api_doctor(self, request: web.Request) -> web.Response:
        if self._doctor is None:
            return _error(404, "There is no doctor here.")
        return web.json_response(views.doctor_view(await self._doctor()))

    async def _api_passages(self, request: web.Request) -> web.Response:
        told: list[str] = []
        for passage in self._board.passages():
            told.append(json.dumps(self._view(passage)))
            if len(told) % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return web.Response(text=f'{{"passages": [{", ".join(told)}]}}', content_type="application/json")

    async def _api_passage(self, request: web.Request) -> web.Response:
        passage = self._board.passage(request.match_info["id"])
        return (
            _error(404, "No such passage is in memory.")
            if passage is None
            else web.json_response(self._view(passage))
        )

    async def _release(self, request: web.Request) -> web.Response:
        return await self._decide(request, self._board.release)

    async def _cancel(self, request: web.Request) -> web.Response:
        return await self._decide(request, self._board.cancel)

    async def _switch(self, request: web.Request) -> web.Response:
        name, switch = request.match_info["name"], request.match_info["switch"]
        if self._queues is None or all(queue.name != name for queue in self._queues.all()):
            return _error(404, "No destination has this name.")
        await (self._queues.pause(name) if switch == "pause" else self._queues.resume(name))
        return web.Response(status=204)

    async def _begin_drain(self, request: web.Request) -> web.Response:
        self._drain()
        return web.json_response({"draining": True}, status=202)

    async def _read_again(self, request: web.Request) -> web.Response:
        if self._reload is None:
            return _error(404, "There is no configuration file here.")
        try:
            return web.json_response(views.reload_view(await self._reload()))
        except ConfigError as refused:
            return _error(409, f"{refused} {refused.hint}")

    async def _decide(self, request: web.Request, act: Callable[[str], Awaitable[None]]) -> web.Response:
        passage = self._board.passage(request.match_info["id"])
        if passage is None:
            return _error(404, "No such passage is in memory.")
        if passage.state is not State.HELD:
            return _error(409, "The passage is not held; another person may have decided already.")
        await act(passage.id)
        return web.Response(status=204)


def _outlines_json(outlines: Sequence[Outline]) -> str:
    return json.dumps({"outlines": views.outline_views(outlines)}, separators=(",", ":"))


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"status": status, "title": HTTPStatus(status).phrase, "reason": reason}}
    return web.json_response(body, status=status, headers=headers)
