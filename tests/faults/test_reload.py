"""A mended configuration heals what waits, in a running gateway and without a restart (53).

The clerk takes no name into a record that the configuration does not have, so that new names must reach it first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.commands.passages import Console
from tests.peers.pacs import made_series
from tests.running import Gateway, Storescp, free_ports, running, until, without_text_gate

pytestmark = pytest.mark.peer("storescu", "storescp")


def edit(gateway: Gateway, change: Callable[[dict[str, Any]], None]) -> None:
    document = yaml.safe_load(gateway.config.read_text())
    change(document)
    gateway.config.write_text(yaml.safe_dump(document))


def reload(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "reload", "-c", str(gateway.config)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def waiting_for_a_tps(gateway: Gateway, folder: Path) -> None:
    """A passage whose TPS is not where the configuration says."""
    assert gateway.send(*made_series(folder / "images")).returncode == 0
    gateway.until_state("restored")
    until(lambda: (gateway.passages()[0]["waiting"] or {}).get("code"), 30, "that it waits")


def test_a_corrected_address_brings_what_waits_to_the_tps_at_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with running(tmp_path, without_text_gate(tmp_path), tps=False) as (gateway, _):
        tps = Storescp(tmp_path / "tps", port)
        try:
            waiting_for_a_tps(gateway, tmp_path)
            vault = gateway.pids()["vault"]
            assert tps.received() == []
            edit(gateway, lambda document: document["destinations"][0].update(port=port))
            done = reload(gateway)
            assert (done.returncode, done.stdout) == (0, "taken over: destinations\n"), done.stderr
            gateway.until_state("delivered", limit_s=15)
            assert len(tps.received()) == 1
            assert gateway.pids()["vault"] == vault
        finally:
            tps.stop()
    assert '"kind":"reconfigured"' in (tmp_path / "var" / "clerk" / "ledger").read_text()


def test_a_new_source_and_a_new_tps_work_without_a_restart_and_are_in_the_ledger(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with running(tmp_path, without_text_gate(tmp_path)) as (gateway, first):
        assert first is not None
        second = Storescp(tmp_path / "second", port, ae_title="SECOND")
        try:
            images = made_series(tmp_path / "images")
            assert gateway.send(*images, calling="NEWCT").returncode != 0

            def change(document: dict[str, Any]) -> None:
                document["sources"].append({"ae_title": "NEWCT", "addresses": ["127.0.0.1"]})
                document["destinations"].append(
                    {"name": "second", "ae_title": "SECOND", "host": "127.0.0.1", "port": port}
                )
                document["rules"][0]["deliver_to"] = ["tps", "second"]

            edit(gateway, change)
            clerk = gateway.pids()["clerk"]
            os.kill(gateway.pids()["run"], signal.SIGHUP)
            until(lambda: gateway.pids().get("clerk", clerk) != clerk or None, 20, "the next clerk")
            until(lambda: gateway.send(*images, calling="NEWCT").returncode == 0 or None, 20, "its admission")
            gateway.until_state("delivered")
            assert (len(first.received()), len(second.received())) == (1, 1)
        finally:
            second.stop()
    ledger = (tmp_path / "var" / "clerk" / "ledger").read_text()
    assert '"source":"NEWCT"' in ledger
    assert '"destination":"second"' in ledger


def test_a_vault_that_dies_after_an_edit_finds_a_clerk_that_knows_the_names(tmp_path: Path) -> None:
    with running(tmp_path, without_text_gate(tmp_path)) as (gateway, _):
        source = {"ae_title": "NEWCT", "addresses": ["127.0.0.1"]}
        edit(gateway, lambda document: document["sources"].append(source))
        old = gateway.pids()["vault"]
        os.kill(old, signal.SIGKILL)
        images = made_series(tmp_path / "images")
        until(lambda: gateway.send(*images, calling="NEWCT").returncode == 0 or None, 60, "its admission")
        gateway.until_state("delivered")


def test_a_mistake_changes_nothing_and_the_passage_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, without_text_gate(tmp_path), tps=False) as (gateway, _):
        waiting_for_a_tps(gateway, tmp_path)
        before = gateway.config.read_text()
        gateway.config.write_text(before + "\ncolour: red\n")
        done = reload(gateway)
        assert done.returncode == 78
        assert "gateway.yaml:" in done.stderr
        os.kill(gateway.pids()["run"], signal.SIGHUP)
        console = Console("127.0.0.1", gateway.web)

        def alarms() -> list[str] | None:
            return [alarm["code"] for alarm in console.status()["alarms"]] or None

        assert until(alarms, 20, "the alarm") == ["CONFIG_NOT_TAKEN_OVER"]
        gateway.config.write_text(before)
        assert reload(gateway).stdout == "taken over: nothing has changed\n"
        assert alarms() is None
        tps = Storescp(tmp_path / "tps", gateway.tps)
        try:
            gateway.until_state("delivered", limit_s=30)
            assert len(tps.received()) == 1
        finally:
            tps.stop()
