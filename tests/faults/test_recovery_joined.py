"""A contourer that outlives the vault is joined where it stands: nothing is contoured twice (46)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_recovery import Stopped, ended
from tests.peers.pacs import running_pacs
from tests.running import answers, free_ports, until

pytestmark = pytest.mark.peer("storescu", "storescp", "dcmqrscp")

COMMAND = (sys.executable, "-m", "gateway", "contourer")


class Contourer:
    """A contourer of our own, run by an operator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (self.port,) = free_ports(1)
        subprocess.run(
            [*COMMAND, "client", "gateway",
             "--certificate", str(folder / "client.pem"), "--key", str(folder / "client.key")],
            check=True, capture_output=True,
        )  # fmt: skip
        self.process = subprocess.Popen(
            [*COMMAND, "run", "--region", "CH", "--port", str(self.port),
             "--state", str(folder / "state"), "--client-certificate", str(folder / "client.pem")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        until(lambda: answers(self.port), 60, "the contourer")
        assert self.process.stdout is not None
        text = ""
        while "listening" not in (line := self.process.stdout.readline()):
            text += line
        (folder / "identity").write_text(text[text.index("{") :])

    @property
    def configuration(self) -> dict[str, str]:
        return {
            "kind": "sealed",
            "url": f"https://127.0.0.1:{self.port}",
            "identity_file": str(self.folder / "identity"),
            "client_certificate_file": str(self.folder / "client.pem"),
            "client_key_file": str(self.folder / "client.key"),
            "region": "CH",
        }

    def events(self) -> list[str]:
        records = (self.folder / "state" / "contourer-records.jsonl").read_text().splitlines()
        return [json.loads(record)["event"] for record in records]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def contourer(tmp_path: Path) -> Iterator[Contourer]:
    one = Contourer(tmp_path / "contourer")
    yield one
    one.stop()


@pytest.mark.parametrize("state", ["sealed", "contouring"])
def test_what_was_committed_is_contoured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contourer: Contourer, state: str
) -> None:
    stopped = Stopped(tmp_path, monkeypatch, changes={"contourer": contourer.configuration})
    try:
        stopped.gateway.start()
        with running_pacs(stopped.pacs):
            before = stopped.bring_to(state)
            stopped.kill("vault")
            assert until(lambda: ended(stopped, before), 120, "the end") == "delivered"
            until(lambda: "deleted" in contourer.events()[-1:] or None, 20, "the deletion")
    finally:
        stopped.gateway.stop()
        stopped.tps.stop()
    assert len(stopped.delivered()) == 1
    events = contourer.events()
    assert (events.count("committed"), events.count("contoured")) == (1, 1), events
