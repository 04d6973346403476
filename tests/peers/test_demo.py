"""`gateway demo`: the whole way with processes of its own, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.demo.playground import missing_protections
from gateway.passage import WAY

LIMIT_S = 150.0


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "demo", "--slices", "12", *options]


@pytest.mark.peer("dciodvfy")
def test_the_demo_ends_well_and_every_check_passes(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--once", "--json"),
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    outcome = json.loads(done.stdout)
    assert [check for check in outcome["checks"] if check["passed"] is not True] == []
    assert outcome["passed"] is True
    assert done.returncode == 0
    assert list(outcome["seconds"]) == [state.value for state in WAY]
    assert list(tmp_path.iterdir()) == []


class RunningDemo:
    """A demo that stays open; its temporary folder lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            command(), env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.family: set[Process] = set()

    def until(self, beginning: str) -> str:
        """Read its story up to a line, and remember the processes that it has started."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                self.family = descendants(self.process.pid)
                return line
        raise AssertionError("the demo ended before")

    def left(self) -> set[Process]:
        """The processes that were remembered and still run."""
        return self.family & set(processes())

    def end(self) -> None:
        for process in self.left():
            os.kill(process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Process(NamedTuple):
    pid: int
    started: str
    """In clock ticks since the boot: with the pid, it names one process for good."""


def processes() -> dict[Process, int]:
    """Every process that is no zombie, and its parent's pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat[0] != "Z":
            found[Process(int(folder.name), stat[19])] = int(stat[1])
    return found


def descendants(pid: int) -> set[Process]:
    everyone = processes()
    family: set[Process] = set()
    parents = {pid}
    while children := {process for process, parent in everyone.items() if parent in parents} - family:
        family |= children
        parents = {process.pid for process in children}
    return family


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningDemo]:
    demo = RunningDemo(tmp_path)
    try:
        yield demo
    finally:
        demo.end()


def test_the_console_stays_open_until_ctrl_c_and_nothing_is_left(running: RunningDemo) -> None:
    line = running.until("The console stays open")
    url = re.search(r"http://\S+/", line)
    assert url is not None
    with urllib.request.urlopen(f"{url[0]}api/passages", timeout=10) as answer:
        [passage] = json.load(answer)["passages"]
    assert passage["state"] == "delivered"
    assert len(running.left()) >= 4  # supervisor, vault, clerk, contourer

    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert running.left() == set()
    assert list(running.folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_midway_leaves_nothing(running: RunningDemo, number: signal.Signals) -> None:
    running.until("the gateway runs")
    running.process.send_signal(number)
    running.process.wait(60)
    assert running.left() == set()
    assert list(running.folder.iterdir()) == []


def test_even_a_demo_that_is_killed_leaves_no_process(running: RunningDemo) -> None:
    running.until("the gateway runs")
    assert running.left()
    running.process.kill()
    running.process.wait(10)
    until = time.monotonic() + 60
    while running.left() and time.monotonic() < until:
        time.sleep(0.2)
    assert running.left() == set()


def test_a_protection_that_the_account_lacks_is_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a memlock limit and without the capability, mlock is missing; nothing else is."""
    if os.geteuid() != 0:
        pytest.skip("only root can take a capability away from a child")
    here = missing_protections()
    without = [
        *("prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-ipc_lock,-sys_resource"),
        *("--inh-caps=-ipc_lock,-sys_resource", sys.executable),
    ]
    original = subprocess.run
    monkeypatch.setattr(
        "gateway.demo.playground.subprocess.run",
        lambda words, **options: original([*without, *words[1:]], **options),
    )
    assert set(missing_protections()) - set(here) == {"mlock"}
