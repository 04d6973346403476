"""What a running gateway takes over from a changed file, and what it leaves as it was."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import config as settings
from gateway.clerk.records import Reconfigured, Record
from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.flow.alarm import Alarm
from gateway.flow.concerns import Concerns
from gateway.metrics import Metrics
from gateway.reload import Reload, changes

TODAY = date(2026, 11, 26)
DOCUMENT: dict[str, Any] = {
    "dicom": {"ae_title": "GATE", "port": 11112},
    "sources": [{"ae_title": "CTSIM", "addresses": ["127.0.0.1"]}],
    "destinations": [{"name": "tps", "ae_title": "TPS", "host": "127.0.0.1", "port": 104}],
    "rules": [{"model": "pelvis", "deliver_to": ["tps"]}],
    "contourer": {"kind": "embedded"},
    "console": {"port": 8080},
    "state_dir": "var",
    "clinic_key_file": "var/clinic.key",
}
MOVED = {**DOCUMENT["destinations"][0], "port": 105}


def written(path: Path, **changed: Any) -> Path:
    path.write_text(yaml.safe_dump({**DOCUMENT, **changed}))
    return path


def test_what_has_not_changed_is_not_told(tmp_path: Path) -> None:
    path = written(tmp_path / "gateway.yaml")
    found = changes(load(path), load(path), TODAY)
    assert (found.taken, found.restart, found.config) == ((), (), load(path))


def test_a_moved_destination_is_taken_over_and_a_moved_port_of_ours_waits(tmp_path: Path) -> None:
    before = load(written(tmp_path / "gateway.yaml"))
    dicom = {**DOCUMENT["dicom"], "port": 11113}
    after = load(written(tmp_path / "gateway.yaml", destinations=[MOVED], dicom=dicom))
    found = changes(before, after, TODAY)
    assert (found.taken, found.restart) == (("destinations",), ("dicom",))
    assert found.config.destinations[0].port == 105
    assert found.config.dicom.port == 11112


def test_what_goes_together_with_a_key_that_waits_is_refused_as_a_whole(tmp_path: Path) -> None:
    before = load(written(tmp_path / "gateway.yaml"))
    after = before.model_copy(
        update={"destinations": (before.destinations[0].model_copy(update={"tls": True}),)}
    )
    with pytest.raises(ConfigError) as refused:  # no certificate is in force
        changes(before, after, TODAY)
    assert refused.value.code == "RESTART_NEEDED"


class Clerk:
    def __init__(self) -> None:
        self.records: list[Record] = []

    async def write(self, record: Record) -> None:
        self.records.append(record)


class Running:
    """A reload with takers that only note what they get."""

    def __init__(self, path: Path, group: asyncio.TaskGroup) -> None:
        self.clerk, self.taken = Clerk(), list[Config]()
        self.concerns = Concerns(Alarm(settings.Alarm()), Metrics(), group)
        wanted = asyncio.Event()
        self.reload = Reload(
            path, load(path), self.clerk, self.concerns, [self.taken.append], wanted=wanted, renew=wanted.set
        )
        self.task = group.create_task(self.reload.watch())

    def stop(self) -> None:
        self.task.cancel()
        self.concerns.stop()


async def test_who_asks_is_told_and_the_ledger_has_it(tmp_path: Path) -> None:
    path = written(tmp_path / "gateway.yaml")
    async with asyncio.TaskGroup() as group:
        it = Running(path, group)
        written(path, destinations=[MOVED])
        done = await it.reload.ask()
        assert done.taken == ("destinations",)
        assert [config.destinations[0].port for config in it.taken] == [105]
        (record,) = it.clerk.records
        assert isinstance(record, Reconfigured)
        assert record.is_whole
        assert (await it.reload.ask()).taken == ()
        it.stop()


async def test_who_asked_and_went_away_meanwhile_harms_nobody(tmp_path: Path) -> None:
    path = written(tmp_path / "gateway.yaml")
    async with asyncio.TaskGroup() as group:
        it = Running(path, group)
        gone = asyncio.create_task(it.reload.ask())
        for _ in range(5):
            await asyncio.sleep(0)
        gone.cancel()  # while the file is read
        assert (await it.reload.ask()).taken == ()
        it.stop()


async def test_a_file_with_a_mistake_changes_nothing_and_shows_until_it_is_mended(tmp_path: Path) -> None:
    path = written(tmp_path / "gateway.yaml")
    async with asyncio.TaskGroup() as group:
        it = Running(path, group)
        written(path, destinations=[{**MOVED, "colour": "red"}])
        with pytest.raises(ConfigError) as refused:
            await it.reload.ask()
        assert refused.value.code == "CONFIG_INVALID"
        assert [one.error.code for one in it.concerns.standing] == ["CONFIG_NOT_TAKEN_OVER"]
        assert (it.taken, it.clerk.records) == ([], [])
        written(path, destinations=[MOVED])
        await it.reload.ask()
        assert it.concerns.standing == ()
        it.stop()
