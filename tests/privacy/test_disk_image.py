"""After good passages, bad ones and crashes nothing of a patient is on the disk, in the log or on a page.

Everything that the gateway can write to lies on a file system of its own, which is looked through byte by byte
afterwards: files, removed files, names, the journal of the file system (R2, R30, R31). The control is a gateway that
leaks: the same looks find it everywhere.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.privacy.disk import found_on, mounted, unmount
from tests.privacy.leak import leaking
from tests.privacy.ordeal import Ordeal, found_in, needles
from tests.running import Gateway

pytestmark = [
    pytest.mark.peer("dcmsend", "storescp", "mkfs.ext4"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount an image"),
]


@dataclass
class Left:
    """What a gateway left behind."""

    on_disk: set[str] = field(default_factory=set)
    in_log: set[str] = field(default_factory=set)
    on_pages: set[str] = field(default_factory=set)
    in_bundle: set[str] = field(default_factory=set)
    cores: list[str] = field(default_factory=list)
    log: str = ""


def _with_cores() -> None:
    """What starts the gateway lets cores be written: only the gateway itself can forbid it."""
    limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _ordeal(folder: Path, disk: Path, environment: dict[str, str]) -> Ordeal:
    (disk / "tmp").mkdir()
    changes = {"log": {"level": "DEBUG"}, "passage": {"quiet_time_s": 0.5, "review_s": 0, "drain_s": 0}}
    gateway = Gateway(disk, changes, prefix=("env", "-C", str(disk)))
    return Ordeal(
        gateway,
        folder / "images",
        folder / "tps",
        {"TMPDIR": str(disk / "tmp"), "HOME": str(disk), "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )


def _bundle(gateway: Gateway) -> bytes:
    command = [
        sys.executable,
        "-m",
        "gateway",
        "support",
        "-c",
        str(gateway.config),
        "--log",
        str(gateway.log),
    ]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout


def _gone_through(folder: Path, *, leaks: bool) -> Left:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    _with_cores()
    try:
        with mounted(folder, at_once=not leaks) as (disk, image):
            ordeal = _ordeal(folder, disk, leaking(folder / "site") if leaks else {})
            with ordeal.running():
                if leaks:
                    ordeal.arrives(1)
                    bundle = _bundle(ordeal.gateway)
                    ordeal.crash("vault", signal.SIGSEGV)
                else:
                    _everything(ordeal)
                    bundle = _bundle(ordeal.gateway)
            log = ordeal.gateway.log.read_bytes()
            cores = [str(path.name) for path in disk.rglob("core*") if path.is_file()]
            unmount(disk)
            return Left(
                found_on(image, needles()),
                found_in(log),
                found_in(b"\0".join(ordeal.pages)),
                found_in(bundle),
                cores,
                log.decode("utf-8", "replace"),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def _everything(ordeal: Ordeal) -> None:
    ordeal.good()
    ordeal.held()
    ordeal.refused()
    ordeal.decoded()
    for number in (signal.SIGSEGV, signal.SIGABRT):
        ordeal.crash_all(number)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return _gone_through(tmp_path_factory.mktemp("honest"), leaks=False)


@pytest.fixture(scope="module")
def left_by_a_leak(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return _gone_through(tmp_path_factory.mktemp("leaking"), leaks=True)


def test_nothing_of_a_patient_was_ever_on_the_disk(left: Left) -> None:
    assert left.on_disk == set()


def test_the_most_verbose_log_names_nobody_also_not_in_a_crash(left: Left) -> None:
    assert left.in_log == set()
    assert '"event": "uncaught"' not in left.log


def test_the_log_tells_of_the_crashes(left: Left) -> None:
    assert "Fatal Python error: Segmentation fault" in left.log
    assert "Fatal Python error: Aborted" in left.log


def test_no_page_and_no_error_page_and_no_metric_names_anybody(left: Left) -> None:
    assert left.on_pages == set()


def test_the_support_bundle_names_nobody(left: Left) -> None:
    assert left.in_bundle == set()


def test_no_crash_leaves_a_core(left: Left) -> None:
    assert left.cores == []


def test_control_a_leak_is_found_on_the_disk_although_its_files_were_removed(left_by_a_leak: Left) -> None:
    assert {"PatientName in ascii", "PatientID in ascii", "UIDs", "pixels"} <= left_by_a_leak.on_disk


def test_control_a_leak_is_found_in_the_log_and_on_the_pages(left_by_a_leak: Left) -> None:
    assert "PatientID in ascii" in left_by_a_leak.in_log
    assert "PatientID in ascii" in left_by_a_leak.on_pages


def test_control_a_vault_that_is_not_locked_down_leaves_a_core(left_by_a_leak: Left) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith(("|", "/")) or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine writes no core into a working directory")
    assert left_by_a_leak.cores
