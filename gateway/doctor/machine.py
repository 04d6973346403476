"""The machine: protections that its kernel gives this account, memory, open files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.config import Config, Protection
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.vault.landlock import abi_version
from gateway.vault.lockdown import ENVIRONMENT, Lockdown

__all__ = ["descriptors", "lockdown_in_force", "memory", "missing_protections", "protections"]

GIB: Final = 2**30
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


def protections(config: Config) -> Iterator[Diagnosis]:
    """Whether a vault on this machine can be locked down."""
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
    yield from _kernel()
    yield from _swap(is_locked=Protection.MLOCK not in missing)


def lockdown_in_force(lockdown: Lockdown) -> Iterator[Diagnosis]:
    """What this very process is locked down with."""
    for protection in lockdown.in_force:
        yield Diagnosis(Finding.WELL, protection, "is in force")
    for waiver in lockdown.waived:
        yield Diagnosis(Finding.CAUTION, waiver.protection, f"is waived until {waiver.until}")
    if Protection.CORE in lockdown.in_force and resource.getrlimit(resource.RLIMIT_CORE)[0] != 0:
        yield Diagnosis(Finding.ILL, Protection.CORE, "was in force, but a core dump may be written now")
    yield from _kernel()
    yield from _swap(is_locked=Protection.MLOCK in lockdown.in_force)


def _kernel() -> Iterator[Diagnosis]:
    if 0 < (abi := abi_version()) < 3:
        text = f"version {abi} of this kernel does not deny truncation (6.2 or newer does)"
        yield Diagnosis(Finding.CAUTION, "landlock", text)


def _swap(*, is_locked: bool) -> Iterator[Diagnosis]:
    areas = max(0, len(Path("/proc/swaps").read_text("ascii", "replace").splitlines()) - 1)
    if not areas:
        yield Diagnosis(Finding.WELL, "swap", "there is none")
    elif is_locked:
        yield Diagnosis(Finding.WELL, "swap", "is on; the vault's memory is locked and does not go there")
    else:
        yield Diagnosis(Finding.CAUTION, "swap", "is on, and nothing keeps the vault's memory from it")


def memory(config: Config) -> Iterator[Diagnosis]:
    """Whether the memory budget fits."""
    sizes = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text("ascii").splitlines()
        if line.endswith("kB")
    }
    available, wanted = sizes["MemAvailable"], config.limits.memory_bytes
    text = f"{available / GIB:.1f} GiB are free, limits.memory_bytes is {wanted / GIB:.1f} GiB"
    yield Diagnosis(Finding.WELL if wanted < 0.8 * available else Finding.CAUTION, "memory", text)


def descriptors(config: Config) -> Iterator[Diagnosis]:
    """Whether enough files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.limits.associations + DESCRIPTORS_BESIDE
    text = f"{hard} files may be open ({soft} without asking), {wanted} may be needed"
    is_enough = hard == resource.RLIM_INFINITY or wanted <= hard
    yield Diagnosis(Finding.WELL if is_enough else Finding.CAUTION, "open files", text)
