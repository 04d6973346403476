"""The contourer's own record of what it did: the evidence for the 24-hour limit (R8) and for breaches (R9).

A record holds passage ids, times, counts, reasons and tags: nothing of a dataset and nothing of a client but the
fingerprint of its certificate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from gateway.errors import Word

__all__ = ["Record", "Recorder", "Records", "moment"]

Record = dict[str, str | int]
Recorder = Callable[[Record], None]

_FILE: Final = "contourer-records.jsonl"
_FIELDS: Final[Mapping[str, str]] = {
    "passage": "passage",
    "model": "model",
    "parts": "count",
    "findings_in_all": "count",
    "result_bytes": "bytes",
    "cause": "reason",
    "reason": "reason",
}
"""What the log tells of a record, and as which field."""
_log = structlog.get_logger()


def moment() -> str:
    """Now, RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Records:
    """Writes each record to the log, and to the state folder where there is one.

    Parameters
    ----------
    folder : Path, optional
        An existing folder; records are appended to one file there, each on the disk before the call returns.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._descriptor: int | None = None
        if folder is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(folder / _FILE, flags, 0o600)

    def __call__(self, record: Record) -> None:
        """Write one."""
        record = {"at": moment(), **record}
        told = {_FIELDS[name]: value for name, value in record.items() if name in _FIELDS}
        if isinstance(reason := told.get("reason"), str):
            told["reason"] = Word(reason)  # of this program: a cause of deletion or a `Reason`
        _log.info(str(record["event"]), **told)
        if self._descriptor is not None:
            os.write(self._descriptor, json.dumps(record).encode("ascii") + b"\n")
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
