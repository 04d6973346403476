"""The whole checkup, as `gateway doctor` makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.doctor import Diagnosis, Finding, checkup, machine
from tests.unit.doctor.made_site import findings, made_config


def test_every_part_is_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(config: object) -> list[Diagnosis]:
        return [Diagnosis(Finding.WELL, "destination tps", "answers")]

    monkeypatch.setattr(machine, "missing_protections", lambda: ())
    monkeypatch.setattr(checkup.peers, "examine", none)
    found = findings(checkup.examine(made_config(tmp_path)))
    wanted = {"landlock", "swap", "memory", "open files", "clock", "state folder", "clinic key"}
    assert wanted | {"destination tps"} <= set(found)
    assert Finding.ILL not in set().union(*found.values())
