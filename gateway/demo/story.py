"""The story that `gateway demo` tells: a made patient's series on its way to the TPS, stage by stage.

In: how many slices. Out: the stages with their times, what the contourer saw, and the checks of what reached the TPS.
Nothing is kept: the gateway runs in a temporary folder, the TPS in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from click import ClickException
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from rich.console import Console as Terminal
from rich.markup import escape
from rich.table import Table

from gateway.commands.peers import Address
from gateway.demo.checks import Check, check_disk, check_structure_set
from gateway.demo.disclosure import Disclosure, disclosure_of
from gateway.demo.phantom import Phantom, phantom_series
from gateway.demo.playground import Playground, free_ports
from gateway.demo.tps import PlanningSystem
from gateway.dicom.scu import Scu

__all__ = ["Outcome", "Story"]

_PATIENCE_S: Final = 180.0
_MEANINGS: Final = {
    "receiving": "slices are pseudonymised, sealed and uploaded as they arrive",
    "complete": "the series is whole",
    "checked": "geometry, pixels and identifiers passed every gate",
    "sealed": "every slice is at the contourer, which cannot read any yet",
    "committed": "the key is released",
    "contouring": "the contourer works",
    "returned": "the sealed result is here and was opened",
    "inspected": "every reference of the structure set is this series'",
    "restored": "the structure set bears the patient's identity again",
    "delivered": "the TPS has it",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the story ended."""

    passage: dict[str, Any]
    """As the console's API tells it."""
    checks: tuple[Check, ...]
    seconds: dict[str, float]
    """From the first C-STORE to each state."""
    slices: int

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "slices": self.slices,
            "seconds": self.seconds,
            "checks": [{"name": one.name, "passed": one.passed, "detail": one.detail} for one in self.checks],
        }


class Story:
    """One telling.

    Parameters
    ----------
    terminal : rich.console.Console
        Where it is told.
    slices : int
    """

    def __init__(self, terminal: Terminal, slices: int) -> None:
        self._terminal = terminal
        self._slices = slices

    @contextmanager
    def told(self) -> Iterator[tuple[Outcome, Playground]]:
        """The story; the gateway runs on until the context is left."""
        self._say("[bold]Contourgate[/]: an invented patient; nothing leaves this machine.\n")
        series = phantom_series(Phantom(slices=self._slices))
        sent = [_part10(image) for image in series]
        first = series[0]
        self._say(f"a phantom of a chest was made: {len(sent)} CT slices, {first.Rows} × {first.Columns}")
        port, dicom_port, console_port = free_ports(3)
        # The gateway first: it is started while this process has no second thread.
        tps_address = (PlanningSystem.ae_title, port)
        with (
            Playground(tps_address, dicom_port=dicom_port, console_port=console_port) as playground,
            PlanningSystem(port) as tps,
        ):
            yield self._tell(sent, series, tps, playground), playground

    def _tell(
        self, sent: list[bytes], series: list[Dataset], tps: PlanningSystem, playground: Playground
    ) -> Outcome:
        config = playground.config
        self._say(f"the gateway runs: DICOM port {config.dicom.port}, console {playground.console.url}")
        for protection in playground.waived:
            self._say(
                f"[yellow]this machine or account does not give {protection}; a waiver of one day is in force[/]"
            )
        self._say()
        started = time.monotonic()
        statuses = asyncio.run(
            _store(sent, Address(config.dicom.ae_title, config.dicom.host, config.dicom.port))
        )
        took = time.monotonic() - started
        refused = [status for status in statuses if status]
        if refused:
            raise ClickException(
                f"the gateway refused {len(refused)} slices, the first with {refused[0]:#06x}"
            )
        self._say(f"the scanner stored {len(sent)} slices in {took:.1f} s; the gateway's stages:\n")

        with self._terminal.status("…"):
            passage = self._follow(playground)
        disclosure = disclosure_of(sent, config)
        self._side_by_side(disclosure)
        checks = (
            *_state_checks(passage),
            *check_structure_set(sent, tps.received, disclosure.pseudonyms),
            check_disk(playground.folder, _identifiers(series)),
        )
        self._results(checks)
        return Outcome(passage, checks, _seconds(passage), len(sent))

    def _follow(self, playground: Playground) -> dict[str, Any]:
        """Tell each state as it comes, until the passage ends or a person would be needed."""
        told = 0
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            found = playground.console.passages()
            if found:
                passage = found[0]
                history = passage["history"]
                for step in history[told:]:
                    self._step(history[0], step)
                told = len(history)
                if passage["group"] != "active":
                    self._reason(passage)
                    return passage
            time.sleep(0.1)
        raise ClickException(f"the passage did not end within {_PATIENCE_S:.0f} s")

    def _step(self, first: dict[str, Any], step: dict[str, Any]) -> None:
        state = step["state"]
        colour = "green" if state in _MEANINGS else "red"
        self._say(f"  {_between(first, step):6.2f} s  [{colour}]{state:<11}[/] {_MEANINGS.get(state, '')}")

    def _reason(self, passage: dict[str, Any]) -> None:
        reason = passage["reason"]
        if reason is not None:
            self._say(
                f"            {escape(reason['code'])}: {escape(reason['meaning'])} {escape(reason['hint'])}"
            )

    def _side_by_side(self, disclosure: Disclosure) -> None:
        self._say()
        self._terminal.print(disclosure.table())
        self._say(f"{disclosure.summary()}\n")

    def _results(self, checks: tuple[Check, ...]) -> None:
        table = Table(box=None, pad_edge=False, show_header=False)
        for check in checks:
            mark = {True: "[green]yes[/]", False: "[red]NO[/]", None: "[yellow]?[/]"}[check.passed]
            table.add_row(mark, check.name, f"[dim]{escape(check.detail)}[/]")
        self._terminal.print(table)

    def _say(self, text: str = "") -> None:
        self._terminal.print(text, highlight=False)


async def _store(objects: list[bytes], gateway: Address) -> list[int]:
    scu = Scu(Playground.sender)
    try:
        return await scu.store(gateway, objects)
    finally:
        await scu.close()


def _part10(image: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


def _between(first: dict[str, Any], step: dict[str, Any]) -> float:
    return (datetime.fromisoformat(step["at"]) - datetime.fromisoformat(first["at"])).total_seconds()


def _seconds(passage: dict[str, Any]) -> dict[str, float]:
    history = passage["history"]
    return {step["state"]: round(_between(history[0], step), 3) for step in history}


def _state_checks(passage: dict[str, Any]) -> list[Check]:
    return [Check("the passage is delivered", passage["state"] == "delivered", passage["state"])]


def _identifiers(series: list[Dataset]) -> list[bytes]:
    """What tells who the patient is, as bytes to look for on the disk."""
    first = series[0]
    texts = [
        str(first.PatientID),
        str(first.AccessionNumber),
        "INVENTED^PHANTOM",
        str(first.StudyInstanceUID),
    ]
    return [text.encode() for text in texts] + [str(image.SOPInstanceUID).encode() for image in series]
