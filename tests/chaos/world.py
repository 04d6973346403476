"""A real gateway and its peers, with a spoilable way between each two of them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian

from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of, subject_of
from tests import made
from tests.chaos.peers import Contourer, Pacs, Tps, kill_role, kill_session
from tests.chaos.plan import Fault
from tests.chaos.studies import Study
from tests.peers.pacs import sources
from tests.running import Gateway, free_ports
from tests.toxics import ToxicProxy, Toxics, toxic_proxy

CHANGES = {
    "passage": {"quiet_time_s": 1.0, "deadline_s": 1800, "review_s": 0},
    "limits": {"associate_s": 5, "idle_s": 15, "message_s": 60},
}
PROFILE = """name: without-text
extends: contouring-ct
text_gate: false
"""


@dataclass
class World:
    """Everything that runs."""

    gateway: Gateway
    tps: Tps
    contourer: Contourer
    pacs: Pacs
    links: dict[str, ToxicProxy]
    down: set[str] = field(default_factory=set)
    """What was killed and is not started yet."""
    _spoiled: dict[str, int] = field(default_factory=dict)

    async def suffer(self, fault: Fault) -> bool:
        """Have a fault happen, and mend it after its time; False where its target was down already."""
        if fault.kind != "kill":
            await self._spoil(fault)
            return True
        if fault.target in ("vault", "clerk"):  # the supervisor starts them again
            return "gateway" not in self.down and await asyncio.to_thread(
                kill_role, self.gateway, fault.target
            )
        name = "gateway" if fault.target in ("supervisor", "everything") else fault.target
        if name in self.down:
            return False
        self.down.add(name)
        await asyncio.to_thread(self._kills()[fault.target])
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(self._starts()[name])
        self.down.discard(name)
        return True

    def calm(self) -> None:
        """Make every way well again."""
        for link in self.links.values():
            link.toxics = Toxics()
            link.cut()

    async def passages(self) -> list[dict[str, Any]] | None:
        """What the console shows; None where it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return await asyncio.to_thread(self.gateway.passages)
        return None

    def pseudonym(self, study: Study) -> str:
        """What a study's patient is called on the console."""
        image = study.images()[0]
        instance = parse_instance(
            made.encoded(image),
            ExplicitVRLittleEndian,
            limits=WalkLimits(),
            command_sop_class_uid=image.SOPClassUID,
            command_sop_instance_uid=image.SOPInstanceUID,
        )
        key = ClinicKey.load(self.gateway.folder / "var" / "clinic.key")
        return Pseudonyms(key, scope_of(instance, "study")).patient_code(subject_of(instance))

    def start(self) -> None:
        for start in self._starts().values():
            start()

    def stop(self) -> None:
        """Kill what is left."""
        for name in ("everything", "contourer", "tps", "pacs"):
            with contextlib.suppress(AttributeError, ProcessLookupError):
                self._kills()[name]()

    def _starts(self) -> dict[str, Callable[[], None]]:
        return {
            "tps": self.tps.start,
            "contourer": self.contourer.start,
            "pacs": self.pacs.start,
            "gateway": self.gateway.start,
        }

    def _kills(self) -> dict[str, Callable[[], object]]:
        def supervisor() -> None:
            self.gateway.process.kill()
            self.gateway.process.wait()

        return {
            "tps": self.tps.kill,
            "contourer": self.contourer.kill,
            "pacs": self.pacs.kill,
            "supervisor": supervisor,
            "everything": lambda: kill_session(self.gateway.process),
        }

    async def _spoil(self, fault: Fault) -> None:
        link = self.links[fault.target]
        turn = self._spoiled[fault.target] = self._spoiled.get(fault.target, 0) + 1
        link.toxics = _toxics(fault)
        await asyncio.sleep(fault.lasts_s)
        if self._spoiled[fault.target] == turn:  # no later fault is at work there
            link.toxics = Toxics()


def _toxics(fault: Fault) -> Toxics:
    whole = int(fault.amount)
    return {
        "latency": Toxics(latency_s=fault.amount),
        "bandwidth": Toxics(bytes_per_s=fault.amount),
        "reset": Toxics(reset_after=whole),
        "black hole": Toxics(black_hole=True),
        "half-open": Toxics(half_open=True),
        "refuse": Toxics(refuse=True),
        "corrupt": Toxics(corrupt_after=whole, corrupt_downstream=bool(whole % 2)),
    }[fault.kind]


@contextlib.asynccontextmanager
async def world(folder: Path, *, reads_text: bool = True) -> AsyncIterator[World]:
    """Start everything; at the end nothing is left."""
    (folder / "profile.yaml").write_text(PROFILE)
    ports = dict(zip(("tps", "contourer", "pacs"), free_ports(3), strict=True))
    async with contextlib.AsyncExitStack() as stack:

        async def link(port: int) -> ToxicProxy:
            return await stack.enter_async_context(toxic_proxy("127.0.0.1", port))

        links = {
            "tps": await link(ports["tps"]),
            "contourer": await link(ports["contourer"]),
            "query": await link(ports["pacs"]),
        }
        contourer = Contourer(folder / "contourer", ports["contourer"])
        changes = {
            **CHANGES,
            "sources": [
                *sources(links["query"].port),
                *({"ae_title": name, "addresses": ["127.0.0.1"]} for name in ("CONSOLE1", "CONSOLE2")),
            ],
            "contourer": contourer.configuration(links["contourer"].port),
            "deid": {} if reads_text else {"profiles": [str(folder / "profile.yaml")]},
        }
        gateway = Gateway(folder, changes, tps=links["tps"].port)
        links["intake"] = await link(gateway.port)
        pacs = Pacs(folder / "pacs", ports["pacs"], links["intake"].port)
        made_world = World(gateway, Tps(folder / "tps", ports["tps"]), contourer, pacs, links)
        try:
            await asyncio.to_thread(made_world.start)
            yield made_world
        finally:
            await asyncio.to_thread(made_world.stop)
