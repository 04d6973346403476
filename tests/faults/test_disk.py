"""A disk that answers EIO: the intake pauses, nothing is told as written that is not, and all goes on later (56).

A full and a read-only disk are in `test_clerk`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.clerk.chain import verify
from gateway.clerk.ledger import read_sealed_head
from gateway.clerk.lines import scan
from gateway.errors import GatewayError
from tests.faults.clerk_process import KEY, ClerkProcess
from tests.shim import Shim
from tests.unit.clerk.made_records import opened, passage_id


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    folder = tmp_path / "shim"
    folder.mkdir()
    made = Shim(folder)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def clerk(tmp_path: Path, shim: Shim) -> Iterator[ClerkProcess]:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    process = ClerkProcess(folder)
    process.start()
    yield process
    process.kill()
    process.vault_end.close()
    process.clerk_end.close()


def written(folder: Path, name: str) -> list[str]:
    """The passages in a file, in order."""
    found = scan((folder / name).read_bytes())
    assert found.damaged == ()
    records = [json.loads(line.text).get("record", {}) for line in found.lines]
    return [record["passage"] for record in records if record.get("kind") == "opened"]


async def until(is_true: Callable[[], bool], what: str) -> None:
    for _ in range(400):
        if is_true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(what)


def test_control_the_library_really_fails_the_disk(tmp_path: Path, shim: Shim) -> None:
    program = "import os, sys; os.fdatasync(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT))"
    command = [sys.executable, "-c", program, str(tmp_path / "file")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    shim.fail_disk(True)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "Errno 5" in done.stderr


async def test_a_disk_that_fails_pauses_the_intake_and_loses_nothing(clerk: ClerkProcess, shim: Shim) -> None:
    told: list[str] = []
    async with clerk.link(
        paused=lambda: told.append("paused"), resumed=lambda: told.append("resumed")
    ) as link:
        await link.write(opened(0))
        shim.fail_disk(True)
        link.deadline_s = 1.5
        with pytest.raises(GatewayError) as lost:  # who asked for a receipt gets none
            await link.write(opened(1))
        assert lost.value.code == "CLERK_LOST"
        assert (told, link.is_paused) == (["paused"], True)
        assert passage_id(1) not in written(clerk.folder, "ledger")
        shim.fail_disk(False)
        link.deadline_s = 20
        await link.write(opened(2))
        await until(lambda: told == ["paused", "resumed"], "the intake goes on")
    for name in ("journal", "ledger"):
        assert written(clerk.folder, name) == [passage_id(number) for number in range(3)]
    sealed = read_sealed_head(clerk.folder)
    assert verify((clerk.folder / "ledger").read_bytes(), sealed, (KEY.public_key(),)).faults == ()


async def test_a_clerk_that_starts_on_a_failing_disk_waits_for_it(clerk: ClerkProcess, shim: Shim) -> None:
    async with clerk.link() as link:
        await link.write(opened(0))
        clerk.kill()
        shim.fail_disk(True)
        clerk.start()
        writing = asyncio.create_task(link.write(opened(1)))
        await until(lambda: link.is_paused, "the intake pauses")
        assert not writing.done()
        shim.fail_disk(False)
        await asyncio.wait_for(writing, 20)
    assert written(clerk.folder, "ledger") == [passage_id(0), passage_id(1)]
