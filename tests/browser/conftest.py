"""A console over a made board, and a real Chromium to look at it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from gateway.clerk.records import Record
from gateway.config import Config, Destination
from gateway.console.events import StreamLimits
from gateway.console.readiness import Readiness
from gateway.console.server import Console
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.doctor.rounds import Report
from gateway.flow.chronicle import Chronicle
from gateway.flow.concerns import Concern
from gateway.flow.queues import Queues
from gateway.flow.store import Line
from gateway.metrics import Metrics
from tests.browser.made_board import MadeBoard, made_config

T = TypeVar("T")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP rebound.test 127.0.0.1",
)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def destination(name: str, port: int) -> Destination:
    return Destination(name=name, ae_title=name, host="127.0.0.1", port=port)


class Nowhere:
    """A clerk that takes every record."""

    async def write(self, record: Record) -> None: ...


class Stand:
    """A console in an event loop of its own, and the board behind it."""

    def __init__(self, **changes: object) -> None:
        self.board = MadeBoard()
        self.readiness = Readiness()
        self.concerns: list[Concern] = []
        self.lines = {one.name: Line(one) for one in (destination("TPS", 104), destination("ARCHIVE", 105))}
        self.diagnoses = [Diagnosis(Finding.WELL, "disk", "12.00 GiB are free")]
        self.config: Config = made_config(free_port(), **changes)
        self.url = f"http://127.0.0.1:{self.config.console.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._console: Console | None = None
        self.open()

    def open(self) -> None:
        """Start the console."""
        self._console = self._await(self._open())

    def close(self) -> None:
        """Stop the console."""
        if self._console is not None:
            self._await(self._console.stop())
            self._console = None

    def end(self) -> None:
        """Stop everything."""
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, act: Callable[[], T]) -> T:
        """Do something with the board, in the console's event loop."""

        async def acting() -> T:
            return act()

        return self._await(acting())

    async def _open(self) -> Console:
        console = Console(
            self.config,
            self.board,
            Metrics(),
            lambda: self.readiness,
            concerns=lambda: self.concerns,
            queues=Queues(self.lines, Chronicle(Nowhere(), lambda kind, value: b"")),
            doctor=self._report,
            limits=StreamLimits(batch_s=0.05, poll_s=0.1, beat_s=1),
        )
        await console.start()
        return console

    async def _report(self) -> Report:
        return Report(datetime.now(UTC), self.diagnoses)

    def _await(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(10)


class Page:
    """The browser, with what these tests ask of it again and again."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def visit(self, url: str, wait_for: str = "#line[data-is=live]") -> None:
        """Open a page and wait until it is live."""
        self.driver.get(url)
        self.wait(wait_for)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", css)

    def one(self, css: str) -> WebElement:
        return self.driver.find_element("css selector", css)

    def text(self, css: str) -> str:
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", css).strip()

    def wait(self, css: str) -> WebElement:
        """Wait until an element is there and shown."""

        def shown(_: Any) -> WebElement | None:
            return next((element for element in self.all(css) if element.is_displayed()), None)

        return WebDriverWait(self.driver, 10, 0.05).until(shown, f"no {css} was shown")

    def until(self, true: Callable[[], T], what: str) -> T:
        return WebDriverWait(self.driver, 10, 0.05).until(lambda _: true(), f"never came true: {what}")

    def log(self) -> list[str]:
        """Take what the browser has complained of since this was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def size(self, width: int, height: int, scale: float = 1) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False},
        )

    def prefer(self, scheme: str) -> None:
        """Prefer `light` or `dark`."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture
def stand() -> Iterator[Stand]:
    """A console over an empty board."""
    made = Stand()
    yield made
    made.end()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One Chromium for all tests, with a profile of its own."""
    profile: Path = tmp_path_factory.mktemp("profile")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: webdriver.Chrome, stand: Stand) -> Iterator[Page]:
    """A fresh page; at the end the browser must not have complained of anything, of the policy least of all.

    It asks for `stand` so that the page is left before the console stops.
    """
    fresh = Page(chromium)
    chromium.get("about:blank")
    fresh.size(1440, 1000)
    fresh.prefer("light")
    fresh.log()
    yield fresh
    complaints = fresh.log()
    chromium.get("about:blank")
    assert complaints == []
