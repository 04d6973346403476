"""`python -m gateway.contourer`: the embedded contourer, a child of the vault.

It gets its keys on its standard input and its listening socket as an inherited descriptor, and says READY on its
standard output when it answers. It ends when its standard input does, and dies with its parent. See
`gateway.contourer.embedded`, which starts it.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from gateway import logs
from gateway.contourer.embedded import READY, Handover
from gateway.contourer.identity import ContourerKeys
from gateway.contourer.process import end_of_input, keep_off_the_disk, serve
from gateway.contourer.records import Records
from gateway.contourer.service import Settings
from gateway.vault.memory import die_with_parent

__all__: list[str] = []


def _main() -> None:
    die_with_parent()
    length = int.from_bytes(sys.stdin.buffer.read(4), "big")
    handed = Handover.model_validate_json(sys.stdin.buffer.read(length))
    keep_off_the_disk(None, without_landlock=handed.without_landlock)
    logs.configure(names=handed.models)
    keys = ContourerKeys.from_bytes(handed.keys.encode("ascii"))
    settings = Settings(
        models=frozenset(handed.models),
        clients=(handed.client.encode("ascii"),),
        engine=handed.engine,
        without_landlock=handed.without_landlock,
    )
    listening = socket.socket(fileno=handed.descriptor)
    asyncio.run(serve(keys, settings, listening, Records(), _say_ready, end_of_input))


def _say_ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
