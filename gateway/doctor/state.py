"""The state: the folder, its disk, the clinic key, and whether journal and ledger are as they were left."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gateway.clerk.journal import FILE_NAME as JOURNAL
from gateway.clerk.journal import Entry
from gateway.clerk.ledger import verify_folder
from gateway.clerk.lines import scan
from gateway.config import Config
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.errors import ConfigError
from gateway.supervisor import CLERK_FOLDER
from gateway.vault.keys import ClinicKey
from gateway.vault.ledger_key import ledger_key

__all__ = ["disk_is_fast", "folder", "key_and_files", "seconds_to_reach"]

GIB: Final = 2**30
ENOUGH_DISK_BYTES: Final = GIB
FULL_DISK_BYTES: Final = 16 * 2**20
"""With less the journal cannot be rewritten."""
SLOW_DISK_S: Final = 0.02
"""A journal on such a disk is felt by every sender."""
WRITES: Final = 20


def folder(config: Config) -> Iterator[Diagnosis]:
    """Whose the state folder is, and how much room its disk has."""
    path = config.state_dir / CLERK_FOLDER
    if not path.exists():
        yield Diagnosis(Finding.WELL, "state folder", "is made at the first start")
        return
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        text = "belongs to another account, or others may read it"
        yield Diagnosis(Finding.CAUTION, "state folder", text)
    else:
        yield Diagnosis(Finding.WELL, "state folder", "is this account's alone")
    free = os.statvfs(path)
    free_bytes = free.f_bavail * free.f_frsize
    finding = Finding.WELL if free_bytes > ENOUGH_DISK_BYTES else Finding.CAUTION
    if free_bytes < FULL_DISK_BYTES:
        finding = Finding.ILL
    yield Diagnosis(finding, "disk", f"{free_bytes / GIB:.2f} GiB are free")
    if free.f_flag & os.ST_RDONLY:
        yield Diagnosis(Finding.ILL, "disk", "is mounted read-only")


def disk_is_fast(config: Config) -> Iterator[Diagnosis]:
    """Whether the disk can be written, and how long a record takes to reach it."""
    path = config.state_dir / CLERK_FOLDER
    if not path.exists():
        return
    try:
        seconds = seconds_to_reach(path)
    except OSError as error:
        yield Diagnosis(Finding.ILL, "disk", f"cannot be written: {os.strerror(error.errno or 0)}")
        return
    finding = Finding.WELL if seconds < SLOW_DISK_S else Finding.CAUTION
    yield Diagnosis(finding, "disk", f"a record reaches it in {1000 * seconds:.1f} ms")


def seconds_to_reach(path: Path) -> float:
    """How long the disk of a folder takes for a record, in the median.

    Raises
    ------
    OSError
    """
    file = path / ".doctor"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
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
        file.unlink()


def key_and_files(config: Config) -> Iterator[Diagnosis]:
    """The clinic key, and with it the journal and the ledger."""
    path = config.state_dir / CLERK_FOLDER
    is_first_start = not path.exists() or not any(path.iterdir())
    if is_first_start and not os.path.lexists(config.clinic_key_file):
        yield Diagnosis(Finding.WELL, "clinic key", "is made at the first start")
        return
    try:
        key = ClinicKey.load(config.clinic_key_file)
    except ConfigError as error:
        yield Diagnosis(Finding.ILL, "clinic key", str(error))
        return
    mode = config.clinic_key_file.stat().st_mode & 0o777
    yield Diagnosis(Finding.WELL, "clinic key", f"is fit, mode {mode:04o}")
    if not is_first_start:
        yield _journal(path)
        yield _ledger(path, key)


def _journal(path: Path) -> Diagnosis:
    try:
        found = scan((path / JOURNAL).read_bytes())
    except FileNotFoundError:
        return Diagnosis(Finding.WELL, "journal", "is empty")
    damaged = list(found.damaged)
    for line in found.lines:
        try:
            Entry.model_validate_json(line.text)
        except ValidationError:  # its message quotes the input
            damaged.append(line.offset)
    if damaged:
        text = f"{len(damaged)} lines are damaged, the first at byte {min(damaged)}; the next start mends it"
        return Diagnosis(Finding.ILL, "journal", text)
    return Diagnosis(Finding.WELL, "journal", f"{len(found.lines)} entries, no fault")


def _ledger(path: Path, key: ClinicKey) -> Diagnosis:
    verdict = verify_folder(path, (ledger_key(key).public_key(),))
    if verdict.faults:
        first = verdict.faults[0].entry
        text = f"{len(verdict.faults)} faults, the first at entry {first}; see `gateway ledger verify`"
        return Diagnosis(Finding.ILL, "ledger", text)
    text = f"{verdict.head.entries} entries, {verdict.signed_entries} of them signed, no fault"
    return Diagnosis(Finding.WELL, "ledger", text)
