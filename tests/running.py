"""A whole gateway in processes of its own, and a TPS that dcmtk plays: for tests from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(found: Callable[[], T | None], limit_s: float = 60, what: str = "it") -> T:
    """Ask again and again until something is found."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if (answer := found()) is not None:
            return answer
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not happen within {limit_s} s")


def answers(port: int) -> bool | None:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0 or None


class Storescp:
    """dcmtk's storescp as a TPS; it writes what it gets into a folder."""

    def __init__(self, folder: Path, port: int, *options: str, ae_title: str = "TPS") -> None:
        self.folder, self.port = folder, port
        folder.mkdir(parents=True, exist_ok=True)
        self._command = ["storescp", "-aet", ae_title, "-od", str(folder), *options, str(port)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TCP_NODELAY": "1"},  # without it dcmtk waits 44 ms for each slice
        )
        until(lambda: answers(self.port), 10, "storescp")

    def received(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Gateway:
    """`gateway run` on a configuration of its own.

    Parameters
    ----------
    folder : Path
        For the configuration, the state and the log.
    changes : mapping
        Merged over the configuration, key by key.
    prefix : sequence of str
        A program that runs the gateway, such as a tracer.
    """

    def __init__(
        self,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        *,
        prefix: Sequence[str] = (),
        tps: int = 0,
    ) -> None:
        self.folder = folder
        self.port, self.web, own_tps = free_ports(3)
        self.tps = tps or own_tps
        document: dict[str, Any] = {
            "dicom": {"ae_title": "CONTOURGATE", "host": "127.0.0.1", "port": self.port},
            "sources": [{"ae_title": "PACS", "addresses": ["127.0.0.1"]}],
            "destinations": [{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": self.tps}],
            "rules": [{"match": {}, "model": "default", "deliver_to": ["tps"]}],
            "contourer": {"kind": "embedded"},
            "passage": {"quiet_time_s": 0.5, "deadline_s": 1800},
            "console": {"host": "127.0.0.1", "port": self.web},
            "state_dir": str(folder / "var"),
            "clinic_key_file": str(folder / "var" / "clinic.key"),
        }
        for key, value in (changes or {}).items():
            document[key] = {**document[key], **value} if isinstance(document.get(key), dict) else value
        self.config = folder / "gateway.yaml"
        self.config.write_text(yaml.safe_dump(document))
        self._prefix = prefix
        self.log = folder / "gateway.log"

    def start(self, limit_s: float = 60) -> None:
        """Start it; returns when the DICOM port answers."""
        self._out = self.log.open("ab")
        command = [*self._prefix, sys.executable, "-m", "gateway", "run", "-c", str(self.config)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            command, stdout=self._out, stderr=self._out, env=environment, start_new_session=True
        )

        def is_up() -> bool | None:
            if self.process.poll() is not None:
                raise RuntimeError("the gateway ended: " + self.log.read_text(errors="replace")[-2000:])
            return answers(self.port)

        until(is_up, limit_s, "the DICOM port")

    def stop(self, limit_s: float = 30) -> int:
        """SIGTERM, and wait for the end."""
        if self.process.poll() is None:
            # A tracer in front of it keeps the signal for itself.
            os.kill(self.pids().get("run", self.process.pid), signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._out.close()

    def pids(self) -> dict[str, int]:
        """Process ids of the supervisor (`run`), the vault and the clerk."""
        found: dict[str, int] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit():
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(stat[2]) == self.process.pid or int(stat[3]) == self.process.pid:
                        for role in (b"run", b"vault", b"clerk"):
                            if b"gateway" in words and role in words and not words[0].endswith(b"strace"):
                                found[role.decode()] = int(entry.name)
        return found

    def send(
        self, *files: Path, calling: str = "PACS", options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Store files or folders with dcmtk's storescu."""
        return subprocess.run(
            ["storescu", "-aet", calling, "-aec", "CONTOURGATE", "-R", "+sd", "+r", *options,
             "127.0.0.1", str(self.port), *map(str, files)],
            capture_output=True, text=True, errors="replace", timeout=300, check=False,
            env={**os.environ, "TCP_NODELAY": "1"},
        )  # fmt: skip

    def get(self, path: str) -> bytes:
        """A page of the console."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def passages(self) -> list[dict[str, Any]]:
        """What the console's interface tells of the passages, newest first."""
        listed: list[dict[str, Any]] = json.loads(self.get("/api/passages"))["passages"]
        return listed

    def until_state(self, *states: str, count: int = 1, limit_s: float = 120) -> list[dict[str, Any]]:
        """Wait until so many passages are in one of the states."""

        def found() -> list[dict[str, Any]] | None:
            there = [passage for passage in self.passages() if passage["state"] in states]
            return there if len(there) >= count else None

        return until(found, limit_s, f"{count} passages {'/'.join(states)}")


def without_text_gate(folder: Path) -> dict[str, Any]:
    """A change of the configuration: text in the pixels is not looked for, which takes most of a passage's time."""
    profiles = []
    for modality in ("ct", "mr"):
        profile = folder / f"{modality}.yaml"
        profile.write_text(f"extends: contouring-{modality}\nname: made-{modality}\ntext_gate: false\n")
        profiles.append(str(profile))
    return {"deid": {"profiles": profiles}}


@contextlib.contextmanager
def running(
    folder: Path, changes: Mapping[str, Any] | None = None, *, prefix: Sequence[str] = (), tps: bool = True
) -> Iterator[tuple[Gateway, Storescp | None]]:
    """A gateway and its TPS, stopped at the end."""
    gateway = Gateway(folder, changes, prefix=prefix)
    scp = Storescp(folder / "tps", gateway.tps) if tps else None
    try:
        gateway.start()
        yield gateway, scp
    finally:
        with contextlib.suppress(AttributeError, subprocess.TimeoutExpired):
            gateway.stop()
        if scp is not None:
            scp.stop()
