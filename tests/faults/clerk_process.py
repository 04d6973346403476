"""A real clerk process for the fault tests, started and started again as the supervisor does it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.clerk.link import ClerkLink
from gateway.clerk.wire import Setup
from gateway.vault.lockdown import ENVIRONMENT
from tests.unit.clerk.made_records import NAMES

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class ClerkProcess:
    """The pair of sockets, and whichever clerk sits at its end now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault_end, self.clerk_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        end = self.clerk_end.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "clerk", "--state-dir", str(self.folder), "--fd", str(end)],
            stdin=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
            pass_fds=(end,),
        )
        assert self.process.stdin is not None
        self.process.stdin.write(Setup(names=NAMES, waived=()).model_dump_json().encode())
        self.process.stdin.close()

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> int:
        """Close both ends; the clerk writes what it was sent and ends by itself."""
        self.vault_end.close()
        self.clerk_end.close()
        assert self.process is not None
        return self.process.wait(10)

    @asynccontextmanager
    async def link(self, **options: Any) -> AsyncIterator[ClerkLink]:
        """A vault's link on our end, which stays open when the link is closed."""
        link = ClerkLink(os.dup(self.vault_end.fileno()), KEY, **options)
        await link.start()
        try:
            yield link
        finally:
            await link.close()

    def link_that_dies(self, **options: Any) -> ClerkLink:
        """A link to be abandoned, as if the vault were killed."""
        return ClerkLink(os.dup(self.vault_end.fileno()), KEY, **options)
