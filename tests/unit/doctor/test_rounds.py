"""What the console shows of a running gateway's health, asked once in a while."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Protection
from gateway.doctor import Finding, is_green
from gateway.doctor.rounds import Rounds
from gateway.errors import PeerError
from gateway.supervisor import prepare_state
from gateway.vault.lockdown import Lockdown
from tests.unit.doctor.made_site import findings, made_config
from tests.unit.doctor.test_peers import Contourer


class Scu:
    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False

    async def echo(self, peer: Any) -> None:
        self.asked += 1
        if self.is_down:
            raise PeerError("PEER_UNREACHABLE")


def rounds(folder: Path, scu: Scu, again_s: float) -> Rounds:
    config = made_config(folder, limits={"memory_bytes": 2**26})
    prepare_state(config)
    contourer: Any = Contourer()
    return Rounds(config, Lockdown((Protection.LANDLOCK,), ()), scu, contourer, again_s)


async def test_everything_is_looked_at_and_nothing_is_written(tmp_path: Path) -> None:
    made = rounds(tmp_path, Scu(), 60)
    before = sorted(path for path in tmp_path.rglob("*"))
    report = await made.report()
    subjects = set(findings(report.diagnoses))
    assert {"landlock", "clock", "disk", "clinic key", "destination tps", "contourer"} <= subjects
    assert sorted(path for path in tmp_path.rglob("*")) == before


async def test_however_often_it_is_asked_peers_are_asked_once(tmp_path: Path) -> None:
    scu = Scu()
    made = rounds(tmp_path, scu, 60)
    reports = await asyncio.gather(*(made.report() for _ in range(5)))
    assert scu.asked == 1
    assert len({report.at for report in reports}) == 1


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_peer_that_is_down_turns_it_red(tmp_path: Path, is_down: bool) -> None:
    scu = Scu()
    scu.is_down = is_down
    report = await rounds(tmp_path, scu, 0).report()
    assert findings(report.diagnoses)["destination tps"] == {Finding.ILL if is_down else Finding.WELL}
    assert is_green(report.diagnoses) is not is_down
