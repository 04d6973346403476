"""`python -m gateway.contourer`: the embedded contourer, a child of the vault.

It gets its keys on its standard input and its listening socket as an inherited descriptor, says READY on its standard
output when it answers, and dies with its parent. See `gateway.contourer.embedded`, which starts it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import structlog

from gateway.contourer.cell import die_with_parent
from gateway.contourer.embedded import READY, Handover
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.process import keep_off_the_disk, serve
from gateway.contourer.records import Records
from gateway.contourer.service import Settings

__all__: list[str] = []


def _main() -> None:
    die_with_parent()
    keep_off_the_disk(None)
    # Standard output is the pipe to the vault; the log goes where the vault's errors go.
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handed = Handover.model_validate(json.loads(sys.stdin.buffer.read()))
    keys = ContourerKeys.from_bytes(handed.keys.encode("ascii"))
    settings = Settings(
        models=frozenset(handed.models),
        clients=(handed.client.encode("ascii"),),
        engine=handed.engine,
    )
    listening = socket.socket(fileno=handed.descriptor)
    asyncio.run(serve(keys, settings, listening, Records(), _say_ready))


def _say_ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
