"""Lockdown: what the vault gives up before it does anything else (R2, R31).

In: the waivers of the configuration. Out: which protections are in force and which are knowingly done without.
Refuses, with `ConfigError`, to go on where one is missing and no waiver that is still valid names it. Each is
verified by trying, not by believing the call that asked for it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from gateway.config import Protection, Waiver
from gateway.errors import ConfigError, Word
from gateway.vault import landlock, memory, seccomp

ENVIRONMENT: Final = {**memory.ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""What a process must be started with: freed memory is overwritten, and no library starts threads at import."""
STAYS_WRITABLE: Final = (Path("/dev/null"),)
"""Child processes are given it as their input and output."""
_PROBED_FOLDERS: Final = ("/dev/shm", "/tmp", "/var/tmp", "/run", "/")  # noqa: S108 - probed, never used


@dataclass(frozen=True, slots=True)
class Lockdown:
    """What is in force."""

    in_force: tuple[Protection, ...]
    waived: tuple[Waiver, ...]
    """Protections that this machine does not give, with who knows it and until when."""


Measure = Callable[[], None]
"""Puts one protection in force and verifies it; raises `OSError` where it cannot be had."""


def forbid_file_changes() -> None:
    """Deny the creation, writing, truncation, renaming and removal of every file, and extended attributes.

    Raises
    ------
    OSError
        If the kernel cannot deny it, or if a file is already open for writing (standard output and error may be
        files; what goes there is the log's business).
    RuntimeError
        If the process has a second thread already.
    """
    if _files_open_for_writing():
        raise OSError("a file is open for writing")
    folder = next((name for name in _PROBED_FOLDERS if os.access(name, os.W_OK | os.X_OK)), None)
    landlock.deny_changes(STAYS_WRITABLE)
    seccomp.deny((*seccomp.STORE_ATTRIBUTES, seccomp.Call.TRUNCATE))
    if folder is not None:
        _expect_denial(Path(folder))


MEASURES: Final[Mapping[Protection, Measure]] = {
    Protection.CORE: memory.forbid_core_dumps,
    Protection.DUMPABLE: memory.forbid_foreign_readers,
    Protection.MLOCK: memory.forbid_swap,
    Protection.PERTURB: memory.prove_freed_memory_is_overwritten,
    Protection.LANDLOCK: forbid_file_changes,
}


def lock_down(
    waivers: Iterable[Waiver] = (),
    *,
    today: date | None = None,
    measures: Mapping[Protection, Measure] = MEASURES,
) -> Lockdown:
    """Put every protection in force, for this process and, as far as the kernel hands them down, its children.

    Call it before the process has a second thread or an open file. File rights, the core limit and the environment
    hold in children too; a child that handles identities calls this itself for the rest.

    Parameters
    ----------
    waivers : iterable of Waiver
        Protections that may be missing.
    today : date, optional
        For the end of the waivers; today in UTC, if left out.
    measures : mapping
        How each protection is put in force.

    Raises
    ------
    ConfigError
        `LOCKDOWN_IMPOSSIBLE`, naming every protection that is missing without a valid waiver.
    """
    day = today or datetime.now(UTC).date()
    valid = {waiver.protection: waiver for waiver in waivers if waiver.until >= day}
    in_force: list[Protection] = []
    missing: list[Protection] = []
    for protection, measure in measures.items():
        try:
            measure()
        except OSError:
            missing.append(protection)
        else:
            in_force.append(protection)
    unwaived = [protection for protection in missing if protection not in valid]
    if unwaived:
        raise ConfigError("LOCKDOWN_IMPOSSIBLE", missing=Word(" ".join(unwaived)))
    return Lockdown(tuple(in_force), tuple(valid[protection] for protection in missing))


def _files_open_for_writing() -> list[int]:
    """Descriptors above 2 through which a regular file on a file system could be written."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            mode = os.fstat(descriptor).st_mode
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError as error:
            if error.errno in (errno.EBADF, errno.ENOENT):  # the descriptor of the listing itself
                continue
            raise
        is_writable = flags & os.O_ACCMODE != os.O_RDONLY
        if descriptor > 2 and stat.S_ISREG(mode) and is_writable and not target.startswith("/memfd:"):
            found.append(descriptor)
    return found


def _expect_denial(folder: Path) -> None:
    probe = folder / f".contourgate-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except PermissionError:
        return
    os.close(descriptor)
    probe.unlink()
    raise OSError("a file could be created under Landlock")
