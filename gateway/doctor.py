"""The doctor: can this machine and this account carry the gateway, and is what it keeps sound?

Each examination looks at one thing and says what it found. None changes anything but a file of its own in the
clerk's folder, to time the disk. The gateway may run meanwhile.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.clerk.ledger import verify_folder
from gateway.config import Config, Protection
from gateway.errors import ConfigError
from gateway.supervisor import CLERK_FOLDER
from gateway.vault.keys import ClinicKey
from gateway.vault.landlock import abi_version
from gateway.vault.ledger_key import ledger_key
from gateway.vault.lockdown import ENVIRONMENT

GIB: Final = 2**30
ENOUGH_DISK_BYTES: Final = GIB
SLOW_DISK_S: Final = 0.02
"""A journal on such a disk is felt by every sender."""
WRITES: Final = 20
DESCRIPTORS_BESIDE: Final = 256
"""Descriptors that the vault needs beside its associations."""

_PROBE: Final = """
import sys
from gateway.config import Protection
from gateway.vault.lockdown import MEASURES
try:
    MEASURES[Protection(sys.argv[1])]()
except OSError:
    sys.exit(1)
"""


class Finding(StrEnum):
    """How an examination ended."""

    WELL = "well"
    CAUTION = "caution"
    """The gateway runs, but not as it should."""
    ILL = "ill"
    """The gateway does not start, or its evidence is not sound."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one examination found."""

    finding: Finding
    subject: str
    text: str


def examine(config: Config) -> Iterator[Diagnosis]:
    """Every examination, one after the other.

    Parameters
    ----------
    config : Config

    Returns
    -------
    iterator of Diagnosis
    """
    examinations: tuple[Callable[[Config], Iterator[Diagnosis]], ...] = (
        _protections,
        _memory,
        _descriptors,
        _state,
        _key_and_ledger,
    )
    for examination in examinations:
        yield from examination(config)


def missing_protections() -> tuple[Protection, ...]:
    """Which protections a process of this account cannot have; each is tried in a child, because it is for good."""
    missing = []
    for protection in Protection:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, protection],
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            missing.append(protection)
    return tuple(missing)


def _protections(config: Config) -> Iterator[Diagnosis]:
    missing = missing_protections()
    waived = {waiver.protection: waiver.until for waiver in config.lockdown.waivers}
    for protection in Protection:
        if protection not in missing:
            yield Diagnosis(Finding.WELL, protection, "can be had")
        elif protection in waived:
            text = f"cannot be had; waived until {waived[protection]}"
            yield Diagnosis(Finding.CAUTION, protection, text)
        else:
            yield Diagnosis(
                Finding.ILL, protection, "cannot be had, and no waiver says that it is done without"
            )
    if 0 < (abi := abi_version()) < 3:
        text = f"version {abi} of this kernel does not deny truncation (6.2 or newer does)"
        yield Diagnosis(Finding.CAUTION, "landlock", text)


def _memory(config: Config) -> Iterator[Diagnosis]:
    sizes = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text("ascii").splitlines()
        if line.endswith("kB")
    }
    available, wanted = sizes["MemAvailable"], config.limits.memory_bytes
    text = f"{available / GIB:.1f} GiB are free, limits.memory_bytes is {wanted / GIB:.1f} GiB"
    yield Diagnosis(Finding.WELL if wanted < 0.8 * available else Finding.CAUTION, "memory", text)


def _descriptors(config: Config) -> Iterator[Diagnosis]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.limits.associations + DESCRIPTORS_BESIDE
    text = f"{hard} files may be open ({soft} without asking), {wanted} may be needed"
    is_enough = hard == resource.RLIM_INFINITY or wanted <= hard
    yield Diagnosis(Finding.WELL if is_enough else Finding.CAUTION, "open files", text)


def _state(config: Config) -> Iterator[Diagnosis]:
    folder = config.state_dir / CLERK_FOLDER
    if not folder.exists():
        yield Diagnosis(Finding.WELL, "state folder", "is made at the first start")
        return
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        text = "belongs to another account, or others may read it"
        yield Diagnosis(Finding.CAUTION, "state folder", text)
    free = os.statvfs(folder)
    free_bytes = free.f_bavail * free.f_frsize
    finding = Finding.WELL if free_bytes > ENOUGH_DISK_BYTES else Finding.CAUTION
    yield Diagnosis(finding, "disk", f"{free_bytes / GIB:.1f} GiB are free")
    try:
        seconds = seconds_to_reach(folder)
    except OSError as error:
        yield Diagnosis(Finding.ILL, "state folder", f"cannot be written: {os.strerror(error.errno or 0)}")
        return
    finding = Finding.WELL if seconds < SLOW_DISK_S else Finding.CAUTION
    yield Diagnosis(finding, "disk", f"a record reaches it in {1000 * seconds:.1f} ms")


def seconds_to_reach(folder: Path) -> float:
    """How long the disk takes for a record, in the median.

    Raises
    ------
    OSError
    """
    path = folder / ".doctor"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        times = []
        for _ in range(WRITES):
            began = time.perf_counter()
            os.write(descriptor, bytes(512))
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - began)
        return statistics.median(times)
    finally:
        os.close(descriptor)
        path.unlink()


def _key_and_ledger(config: Config) -> Iterator[Diagnosis]:
    folder = config.state_dir / CLERK_FOLDER
    is_first_start = not folder.exists() or not any(folder.iterdir())
    if is_first_start and not os.path.lexists(config.clinic_key_file):
        yield Diagnosis(Finding.WELL, "clinic key", "is made at the first start")
        return
    try:
        key = ClinicKey.load(config.clinic_key_file)
    except ConfigError as error:
        yield Diagnosis(Finding.ILL, "clinic key", str(error))
        return
    yield Diagnosis(Finding.WELL, "clinic key", "is fit")
    if is_first_start:
        return
    verdict = verify_folder(folder, (ledger_key(key).public_key(),))
    if verdict.faults:
        first = verdict.faults[0].entry
        text = f"{len(verdict.faults)} faults, the first at entry {first}; see `gateway ledger verify`"
        yield Diagnosis(Finding.ILL, "ledger", text)
    else:
        text = f"{verdict.head.entries} entries, {verdict.signed_entries} of them signed, no fault"
        yield Diagnosis(Finding.WELL, "ledger", text)
