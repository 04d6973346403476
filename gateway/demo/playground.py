"""A gateway of its own for the demo: in a temporary folder, on free loopback ports, gone without a trace afterwards."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml
from click import ClickException

from gateway.commands.passages import Console
from gateway.config import Config, Protection, load
from gateway.vault.memory import die_with_parent

__all__ = ["Playground", "free_ports", "missing_protections"]

_START_S: Final = 120.0
_STOP_S: Final = 30.0

_PROBE: Final = """
import datetime, json, sys
from gateway.config import Protection, Waiver
from gateway.vault.lockdown import lock_down
day = datetime.date.max
waivers = [Waiver(protection=one, until=day, reason="probe") for one in Protection]
print(json.dumps([one.protection for one in lock_down(waivers).waived]))
"""


class Playground:
    """The gateway's process, for as long as it is entered.

    Parameters
    ----------
    tps : tuple of str and int
        AE title and loopback port of the destination.
    dicom_port, console_port : int
        Of the gateway, on loopback.
    quiet_time_s : float
        After which a series is taken for whole.
    """

    sender: Final = "CT-CONSOLE"

    def __init__(
        self, tps: tuple[str, int], *, dicom_port: int, console_port: int, quiet_time_s: float = 1.0
    ) -> None:
        self._tps = tps
        self._dicom_port = dicom_port
        self._console_port = console_port
        self._quiet_time_s = quiet_time_s
        self._process: subprocess.Popen[bytes] | None = None
        self.waived: Final = missing_protections()
        """What this machine or account does not give, and the demo does without."""
        self.folder: Final = Path(tempfile.mkdtemp(prefix="contourgate-demo-"))
        self.file: Final = self.folder / "gateway.yaml"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def config(self) -> Config:
        return load(self.file)

    @property
    def console(self) -> Console:
        return Console.of(self.config)

    @property
    def log(self) -> str:
        """What the gateway has written to its output."""
        return (self.folder / "gateway.log").read_text(errors="replace")

    def close(self) -> None:
        """End the gateway and whatever it started, and remove the folder."""
        process, self._process = self._process, None
        try:
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            pass  # the group is killed below
        finally:
            if process is not None:
                _kill_group(process.pid)
                process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        self.file.write_text(yaml.safe_dump(self._configuration(), sort_keys=False))
        with (self.folder / "gateway.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "-c", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the gateway in order
                preexec_fn=_end_with_parent,  # no thread runs yet
            )
        until = time.monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise ClickException(f"the gateway did not start:\n{self.log[-2000:]}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return bool(self.console.status()["is_ready"])
        except ClickException:
            return False

    def _configuration(self) -> dict[str, Any]:
        tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
        ae_title, port = self._tps
        return {
            "dicom": {"ae_title": "CONTOURGATE", "port": self._dicom_port},
            "sources": [{"ae_title": self.sender, "addresses": ["127.0.0.1"]}],
            "destinations": [{"name": "tps", "ae_title": ae_title, "host": "127.0.0.1", "port": port}],
            "rules": [{"match": {"modality": "CT"}, "model": "default", "deliver_to": ["tps"]}],
            "contourer": {"kind": "embedded"},
            "passage": {"quiet_time_s": self._quiet_time_s},
            "console": {"port": self._console_port},
            "state_dir": "var",
            "clinic_key_file": "var/clinic.key",
            "lockdown": {
                "waivers": [
                    {
                        "protection": str(one),
                        "until": tomorrow,
                        "reason": "this machine does not give it to the demo",
                    }
                    for one in self.waived
                ]
            },
        }


def missing_protections() -> tuple[Protection, ...]:
    """Which protections a process of this account cannot have; tried in a child, because it is for good."""
    from gateway.vault.lockdown import ENVIRONMENT

    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=_START_S,
    )
    return tuple(Protection(name) for name in json.loads(done.stdout))


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on now."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def _end_with_parent() -> None:
    """In the child: be told to stop even if the demo is killed."""
    die_with_parent(signal.SIGTERM)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # all gone, as it should be
