"""The kernel's file notifications agree with the trace: the vault and its children write nowhere (R2, R31).

fatrace is a second witness that hears of every file on every real file system (fanotify), whatever system call was
used. It knows processes by their numbers, so the gateway's are noted as they come and go. The control is a gateway
that leaks.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.privacy.leak import leaking
from tests.privacy.memory import family
from tests.privacy.ordeal import Ordeal, words
from tests.running import Gateway, until

pytestmark = [
    pytest.mark.peer("fatrace", "dcmsend", "storescp"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen to the whole file system"),
]

_LINE = re.compile(r"^.*\((?P<process>\d+)\): (?P<kind>[A-Z+<>]+)\s+(?P<path>.*)$")


class Witness:
    """fatrace, and who belonged to a vault while it listened."""

    def __init__(self, told: Path) -> None:
        self._told = told
        self.members: set[int] = set()
        self._is_over = threading.Event()

    def follow(self, gateway: Gateway) -> None:
        """Note the vault and its children again and again, until the end."""
        while not self._is_over.is_set():
            with contextlib.suppress(OSError, KeyError):
                for vault in [pid for pid in family(gateway.process.pid) if " vault " in words(pid)]:
                    self.members.update(family(vault))
            time.sleep(0.1)

    def written(self) -> list[str]:
        """The files that a member of the vault's family wrote, made, moved or removed."""
        found = (_LINE.match(line) for line in self._told.read_text(errors="replace").splitlines())
        return [match["path"] for match in found if match and int(match["process"]) in self.members]

    def lines(self) -> int:
        """How many events it has told at all."""
        return len(self._told.read_text(errors="replace").splitlines())

    def end(self) -> None:
        self._is_over.set()


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[Witness]:
    """fatrace for the whole machine; skips where the kernel lets nobody listen."""
    witness = Witness(folder / "fatrace")
    process = subprocess.Popen(
        [shutil.which("fatrace") or "fatrace", "-f", "W+D<>", "-o", str(folder / "fatrace")],
        stderr=subprocess.DEVNULL,
    )
    try:
        try:
            until(lambda: _is_heard(folder, witness), 5, "fatrace")
        except (TimeoutError, FileNotFoundError):
            pytest.skip("fatrace hears nothing here: the kernel or the container gives no fanotify")
        yield witness
    finally:
        witness.end()
        process.terminate()
        process.wait()


def _is_heard(folder: Path, witness: Witness) -> bool | None:
    (folder / "probe").write_text("heard")
    return ((folder / "fatrace").exists() and witness.lines() > 0) or None


def written_during(folder: Path, undergo: Callable[[Ordeal], None], environment: dict[str, str]) -> list[str]:
    """What the vault's family wrote while a gateway underwent something."""
    (folder / "tmp").mkdir()
    gateway = Gateway(folder, {"passage": {"review_s": 0, "drain_s": 0}})
    environment = {"TMPDIR": str(folder / "tmp"), **environment}
    with listening(folder) as witness:
        with Ordeal(gateway, folder / "images", folder / "tps", environment).running() as ordeal:
            following = threading.Thread(target=witness.follow, args=(gateway,))
            following.start()
            undergo(ordeal)
            clerk = gateway.pids()["clerk"]
            witness.end()
            following.join()
        assert len(witness.members) >= 3, "the vault's children were not seen"
        honest, witness.members = witness.members, {clerk}
        assert any(str(folder / "var") in path for path in witness.written()), "not even the clerk was heard"
        witness.members = honest
        return [path for path in witness.written() if path != str(gateway.log)]


def everything(ordeal: Ordeal) -> None:
    ordeal.refused()
    ordeal.decoded()
    ordeal.good()
    ordeal.held()


def test_a_second_witness_hears_no_write(tmp_path: Path) -> None:
    assert written_during(tmp_path, everything, {}) == []


def test_control_a_vault_that_writes_is_heard(tmp_path: Path) -> None:
    leak = leaking(tmp_path / "site")
    found = written_during(tmp_path, Ordeal.refused, leak)
    assert any(str(tmp_path / "tmp") in path for path in found)
