"""A gateway ends when it is told to, whatever a restart has left open, and not when it is not told to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests import made
from tests.running import Gateway, answers, running, until

pytestmark = pytest.mark.peer("storescu", "storescp")

STOPS_S = 60.0
"""Far more than the drain; without an end it would be forever."""


def test_two_patients_under_one_series_uid_do_not_keep_a_restarted_gateway_from_stopping(
    tmp_path: Path,
) -> None:
    files = []
    for index, patient in enumerate(("INVENTED-1", "INVENTED-2")):
        files.append(tmp_path / f"{index}.dcm")
        files[-1].write_bytes(made.part10(made.image(index, patient=patient)))
    gateway = Gateway(tmp_path, {"passage": {"drain_s": 0}})
    gateway.start()
    try:
        assert gateway.send(*files).returncode == 0
        gateway.until_state("held", count=2)
        old = gateway.pids()["vault"]
        os.kill(old, signal.SIGKILL)

        def is_up() -> bool | None:
            return (gateway.pids().get("vault", old) != old and answers(gateway.web)) or None

        until(is_up, 60, "the next vault")
        gateway.until_state("held", count=2)
        began = time.monotonic()
    finally:
        code = gateway.stop(STOPS_S)
    assert code == 0
    assert time.monotonic() - began < STOPS_S


def test_images_so_small_that_they_grow_on_the_way_do_not_end_the_vault(tmp_path: Path) -> None:
    files = []
    for index in range(3):
        files.append(tmp_path / f"{index}.dcm")
        files[-1].write_bytes(made.part10(made.image(index, side=4)))
    with running(tmp_path) as (gateway, _):
        vault = gateway.pids()["vault"]
        assert gateway.send(*files).returncode == 0
        gateway.until_state("held", "delivered")
        assert gateway.pids()["vault"] == vault
