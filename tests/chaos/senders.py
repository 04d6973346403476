"""Senders of three kinds.

A study whose C-STORE failed is sent again, as a PACS does; and so is what a person is told to."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]

from tests.chaos.peers import Pacs
from tests.chaos.plan import Sending
from tests.chaos.studies import Study

TRIES = 40
LONGEST_PAUSE_S = 12.0


@dataclass
class Sent:
    """What became of sending one study, as its sender knows it."""

    study: Study
    sender: str
    attempts: list[tuple[float, float, bool]] = field(default_factory=list)
    """When each began and ended (Unix time), and whether every C-STORE was answered with Success."""
    is_busy: bool = False
    again: list[str] = field(default_factory=list)
    """Codes for which a person had it sent again."""

    @property
    def is_taken(self) -> bool:
        """Whether the gateway has answered for all of it at least once."""
        return any(is_taken for _, _, is_taken in self.attempts)


class Senders:
    """All senders.

    Parameters
    ----------
    folder : Path
        For the images.
    port : int
        Of the way to the gateway.
    pacs : Pacs
    """

    def __init__(self, folder: Path, port: int, pacs: Pacs) -> None:
        self._folder, self._port, self._pacs = folder, port, pacs
        self._ways: dict[str, Callable[[Study], bool]] = {
            "storescu": self._by_storescu,
            "pynetdicom": self._by_pynetdicom,
            "pacs": self._by_pacs,
        }
        self.sent: list[Sent] = []

    async def send(self, sending: Sending) -> None:
        """Send a study until all of it is taken."""
        sent = Sent(sending.study, sending.sender)
        self.sent.append(sent)
        await self._insist(sent)

    async def send_again(self, sent: Sent, code: str) -> None:
        """Do what a person is asked for."""
        sent.again.append(code)
        await self._insist(sent)

    async def _insist(self, sent: Sent) -> None:
        sent.is_busy = True
        pause_s = 2.0
        try:
            for _ in range(TRIES):
                began = time.time()
                is_taken = await asyncio.to_thread(self._ways[sent.sender], sent.study)
                sent.attempts.append((began, time.time(), is_taken))
                if is_taken:
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
        finally:
            sent.is_busy = False

    def _by_storescu(self, study: Study) -> bool:
        command = [
            *(
                "storescu",
                "-aet",
                "CONSOLE1",
                "-aec",
                "CONTOURGATE",
                "-R",
                "-to",
                "5",
                "-ta",
                "15",
                "-td",
                "15",
            ),
            *("127.0.0.1", str(self._port), *map(str, study.files(self._folder))),
        ]
        environment = {**os.environ, "TCP_NODELAY": "1"}
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, capture_output=True, timeout=90, env=environment).returncode == 0
        return False

    def _by_pynetdicom(self, study: Study) -> bool:
        ae = AE("CONSOLE2")
        ae.add_requested_context(CTImageStorage)
        ae.connection_timeout, ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = 5, 10, 15, 15
        association = ae.associate("127.0.0.1", self._port, ae_title="CONTOURGATE")
        if not association.is_established:
            return False
        try:
            return all(
                association.send_c_store(pydicom.dcmread(path)).get("Status") == 0
                for path in study.files(self._folder)
            )
        except (RuntimeError, ValueError):  # aborted meanwhile
            return False
        finally:
            if association.is_established:
                association.release()
            else:
                association.abort()

    def _by_pacs(self, study: Study) -> bool:
        try:
            # Once more each time: what it had not written when it was killed, it has lost.
            self._pacs.fill(study.files(self._folder))
            (found,) = self._pacs.ask(
                "/tools/find",
                json.dumps({"Level": "Study", "Query": {"StudyInstanceUID": study.uid}}).encode(),
            )
            order = {"Resources": [found], "Synchronous": True, "Timeout": 15}
            answer = self._pacs.ask("/modalities/gateway/store", json.dumps(order).encode())
        except (OSError, ValueError, http.client.HTTPException):  # down, or the C-STORE failed
            return False
        return bool(answer["FailedInstancesCount"] == 0)
