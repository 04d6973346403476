"""The programs around the gateway that can be killed and started again where they were."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.peers.pacs import Orthanc
from tests.running import Gateway, answers, until

COMMAND = (sys.executable, "-m", "gateway", "contourer")


class Contourer:
    """A contourer of our own with keys that outlive it; what it holds of passages does not."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        self.folder, self.port = folder, port
        subprocess.run(
            [*COMMAND, "client", "gateway",
             "--certificate", str(folder / "client.pem"), "--key", str(folder / "client.key")],
            check=True, capture_output=True,
        )  # fmt: skip
        told = subprocess.run(
            [*COMMAND, "identity", "--region", "CH", "--state", str(folder / "state")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        (folder / "identity").write_text(told.stdout)

    def configuration(self, port: int) -> dict[str, str]:
        """What the gateway is told, to reach it through a port."""
        return {
            "kind": "sealed",
            "url": f"https://127.0.0.1:{port}",
            "identity_file": str(self.folder / "identity"),
            "client_certificate_file": str(self.folder / "client.pem"),
            "client_key_file": str(self.folder / "client.key"),
            "region": "CH",
        }

    def start(self) -> None:
        command = [
            *(*COMMAND, "run", "--region", "CH", "--port", str(self.port)),
            *("--state", str(self.folder / "state")),
            *("--client-certificate", str(self.folder / "client.pem")),
        ]
        self.process = _begun(command)
        until(lambda: answers(self.port), 60, "the contourer")

    def kill(self) -> None:
        kill_session(self.process)


class Tps:
    """dcmtk's storescp, a process for each association; it keeps every object that it gets."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        self.folder, self.port = folder, port

    def start(self) -> None:
        command = [
            *("storescp", "--fork", "--unique-filenames", "-ta", "10", "-td", "10"),
            *("-aet", "TPS", "-od", str(self.folder), str(self.port)),
        ]
        self.process = _begun(command)
        until(lambda: answers(self.port), 20, "storescp")

    def kill(self) -> None:
        kill_session(self.process)


class Pacs(Orthanc):
    """Orthanc, which can be killed."""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _begun(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TCP_NODELAY": "1"},
        start_new_session=True,
    )


def kill_session(leader: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and everything of its session; the leader is waited for."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(stat[3]) == leader.pid:
                    os.kill(int(entry.name), signal.SIGKILL)
    leader.wait()


def kill_role(gateway: Gateway, role: str) -> bool:
    """SIGKILL for one process of a gateway; whether there was one."""
    found = gateway.pids().get(role)
    with contextlib.suppress(ProcessLookupError):
        if found is not None:
            os.kill(found, signal.SIGKILL)
            return True
    return False
