"""What a restart took from memory comes back from PACS that we did not write, and completeness is asked for."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pydicom
import pytest

from tests.peers.pacs import Dcmqrscp, Orthanc, made_series, running_pacs, sources
from tests.running import Gateway, Storescp, answers, free_ports, running, until

pytestmark = pytest.mark.peer("storescu", "storescp", "dcmqrscp", "Orthanc")

PACS = {"dcmqrscp": Dcmqrscp, "orthanc": Orthanc}
LONG_QUIET = {"quiet_time_s": 30}


def kill_vault(gateway: Gateway) -> None:
    """kill -9, and wait for the next one."""
    old = gateway.pids()["vault"]
    os.kill(old, signal.SIGKILL)

    def is_up() -> bool | None:
        return (
            gateway.pids().get("vault", old) != old and answers(gateway.port) and answers(gateway.web)
        ) or None

    until(is_up, 60, "the next vault")


def structure_sets(tps: Storescp) -> list[str]:
    """The SOP instance UIDs at the TPS, one for each file."""
    return [pydicom.dcmread(path).SOPInstanceUID for path in tps.received()]


@pytest.mark.parametrize("retrieve", ["move", "get"])
@pytest.mark.parametrize("kind", list(PACS))
def test_a_half_sent_series_is_pulled_after_a_restart(tmp_path: Path, kind: str, retrieve: str) -> None:
    files = made_series(tmp_path / "images")
    (pacs_port,) = free_ports(1)
    changes = {"sources": sources(pacs_port, retrieve=retrieve), "passage": LONG_QUIET}
    with running(tmp_path, changes) as (gateway, tps):
        assert tps is not None
        pacs = PACS[kind](tmp_path / "pacs", pacs_port, gateway.port)
        gateway.send(*files[:3])
        (before,) = gateway.passages()
        with running_pacs(pacs):
            pacs.fill(files)
            kill_vault(gateway)
            (after,) = gateway.until_state("delivered", count=1)
        assert after["id"] == before["id"]
        assert after["received"] == 6
        assert len(structure_sets(tps)) == 1


def test_a_series_is_whole_as_soon_as_the_pacs_says_so(tmp_path: Path) -> None:
    files = made_series(tmp_path / "images")
    (pacs_port,) = free_ports(1)
    changes = {"sources": sources(pacs_port), "passage": LONG_QUIET}
    with running(tmp_path, changes) as (gateway, _):
        pacs = Dcmqrscp(tmp_path / "pacs", pacs_port, gateway.port)
        pacs.fill(files)
        with running_pacs(pacs):
            began = time.monotonic()
            gateway.send(*files)
            gateway.until_state("delivered")
            assert time.monotonic() - began < 25


def test_what_the_pacs_has_more_is_pulled(tmp_path: Path) -> None:
    files = made_series(tmp_path / "images")
    (pacs_port,) = free_ports(1)
    with running(tmp_path, {"sources": sources(pacs_port)}) as (gateway, tps):
        assert tps is not None
        pacs = Orthanc(tmp_path / "pacs", pacs_port, gateway.port)
        with running_pacs(pacs):
            pacs.fill(files)
            gateway.send(*files[:4])
            (passage,) = gateway.until_state("delivered")
        assert passage["received"] == 6
        states = [step["reason"] for step in passage["history"]]
        assert "INCOMPLETE" in states
        assert len(structure_sets(tps)) == 1


def test_a_pacs_that_does_not_answer_leaves_it_to_the_quiet_time(tmp_path: Path) -> None:
    files = made_series(tmp_path / "images")
    (dead,) = free_ports(1)
    with running(tmp_path, {"sources": sources(dead)}) as (gateway, _):
        gateway.send(*files)
        (passage,) = gateway.until_state("delivered", "held", limit_s=30)
        assert passage["state"] == "delivered"


def test_what_nobody_can_return_asks_for_it_and_takes_up_what_is_sent_again(tmp_path: Path) -> None:
    files = made_series(tmp_path / "images")
    with running(tmp_path, {"passage": LONG_QUIET}) as (gateway, tps):
        assert tps is not None
        gateway.send(*files)
        (before,) = gateway.passages()
        time.sleep(1.5)  # the count is journalled once a second
        kill_vault(gateway)
        (held,) = gateway.until_state("held")
        assert held["id"] == before["id"]
        assert held["reason"]["code"] == "SEND_AGAIN"
        assert (held["source"], held["received"]) == ("PACS", 6)
        gateway.send(*files)
        (passage,) = gateway.until_state("delivered")
        assert passage["id"] == before["id"]
        assert len(structure_sets(tps)) == 1


def test_a_person_can_end_what_is_to_be_sent_again(tmp_path: Path) -> None:
    from gateway.commands.passages import Console

    files = made_series(tmp_path / "images")
    with running(tmp_path, {"passage": LONG_QUIET}) as (gateway, _):
        gateway.send(*files)
        kill_vault(gateway)
        (held,) = gateway.until_state("held")
        Console("127.0.0.1", gateway.web).decide(held["id"], "cancel")
        gateway.until_state("cancelled")
        kill_vault(gateway)
        time.sleep(1)
        assert gateway.passages() == []


def test_a_pacs_that_is_down_is_asked_until_it_is_back(tmp_path: Path) -> None:
    files = made_series(tmp_path / "images")
    (pacs_port,) = free_ports(1)
    with running(tmp_path, {"sources": sources(pacs_port), "passage": LONG_QUIET}) as (gateway, _):
        pacs = Dcmqrscp(tmp_path / "pacs", pacs_port, gateway.port)
        pacs.fill(files)
        gateway.send(*files[:2])
        kill_vault(gateway)

        def waits() -> bool | None:
            return "not brought back yet" in gateway.log.read_text() or None

        until(waits, 30, "that it waits for the PACS")
        with running_pacs(pacs):
            (passage,) = gateway.until_state("delivered")
        assert passage["received"] == 6
