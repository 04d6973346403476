"""The clock: not behind the ledger's last entry, and kept by a time service."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gateway.clerk.chain import FILE_NAME as LEDGER
from gateway.clerk.chain import LedgerEntry
from gateway.config import Config
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.supervisor import CLERK_FOLDER

__all__ = ["examine", "is_synchronised", "last_entry_at"]

BEHIND_S: Final = 60.0
"""How far the clock may be behind the ledger's last entry."""
_TAIL_BYTES: Final = 16 * 1024
_STA_UNSYNC: Final = 0x40
"""adjtimex(2)."""
_STATUS_OFFSET: Final = 40
"""Of `status` in `struct timex` where `long` has 64 bits."""


def examine(config: Config, now: datetime | None = None) -> Iterator[Diagnosis]:
    """Whether times can be relied on.

    Parameters
    ----------
    config : Config
    now : datetime, optional
        Aware; the machine's clock, if left out.
    """
    last = last_entry_at(config.state_dir / CLERK_FOLDER)
    now = now or datetime.now(UTC)
    if last is not None and (behind_s := (last - now).total_seconds()) > BEHIND_S:
        text = f"is {behind_s:.0f} s behind the last entry of the ledger"
        yield Diagnosis(Finding.ILL, "clock", text)
    else:
        yield Diagnosis(Finding.WELL, "clock", "is not behind the ledger")
    is_kept = is_synchronised()
    if is_kept is False:
        yield Diagnosis(Finding.CAUTION, "clock", "no time service (NTP) keeps it, says the kernel")
    elif is_kept:
        yield Diagnosis(Finding.WELL, "clock", "is kept by a time service")


def last_entry_at(folder: Path) -> datetime | None:
    """When the ledger's last entry was written; None where there is none, or it cannot be read."""
    try:
        with (folder / LEDGER).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        try:
            return LedgerEntry.model_validate_json(line[65:]).record.at
        except ValidationError:  # cut, damaged or empty
            continue
    return None


def is_synchronised() -> bool | None:
    """Whether the kernel's clock is kept by a time service; None where that cannot be known."""
    timex = ctypes.create_string_buffer(512)
    try:
        done = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    except AttributeError:  # no such call in this C library
        return None
    if done < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    return not ctypes.c_int.from_buffer(timex, _STATUS_OFFSET).value & _STA_UNSYNC
