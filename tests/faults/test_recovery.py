"""The vault, the clerk and both are killed in every state: delivered exactly once, or shown as to be sent again (46).

The states come from the passage's own table, so that a new one is killed in too. A hook that the vault imports at its
start stops a passage before the work of a state; a file says which, so the next vault is not stopped.
"""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest

from gateway.passage import WAY
from tests.peers.pacs import Dcmqrscp, made_series, running_pacs, sources
from tests.running import Gateway, Storescp, answers, free_ports, until

pytestmark = pytest.mark.peer("storescu", "storescp", "dcmqrscp")

HOOK = """
    import importlib.abc, importlib.util, sys

    STOP = {stop!r}
    FORGET = {forget!r}

    class Hook(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "gateway.app":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                import asyncio
                from gateway.flow.stages import Stages
                table = Stages.table

                def told():
                    try:
                        with open(STOP) as file:
                            return file.read()
                    except OSError:
                        return ""

                def stopping(state, stage):
                    async def stopped(series):
                        if told() == state:
                            await asyncio.Event().wait()
                        await stage(series)
                        if told() == "after " + state:
                            await asyncio.Event().wait()
                    return stopped

                Stages.table = lambda self: {{s: stopping(s.value, stage) for s, stage in table(self).items()}}
                if FORGET:
                    take_up = module.Recovery.take_up

                    def forgetful(self, passages):
                        for one in passages:
                            one.delivered.clear()
                        take_up(self, passages)

                    module.Recovery.take_up = forgetful

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Hook())
"""


class Stopped:
    """A gateway with a PACS and a TPS, one passage of which stands still in a state."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        forget: bool = False,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        (folder / "site").mkdir()
        self.stop = folder / "stop"
        hook = textwrap.dedent(HOOK).format(stop=str(self.stop), forget=forget)
        (folder / "site" / "sitecustomize.py").write_text(hook)
        places = [str(folder / "site"), str(Path(__file__).parents[2])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
        (self.pacs_port,) = free_ports(1)
        self.gateway = Gateway(folder, {"sources": sources(self.pacs_port), **(changes or {})})
        self.tps = Storescp(folder / "tps", self.gateway.tps, "--unique-filenames")
        self.pacs = Dcmqrscp(folder / "pacs", self.pacs_port, self.gateway.port)
        self.files = made_series(folder / "images", 5)
        self.pacs.fill(self.files)

    def bring_to(self, place: str) -> str:
        """Send the series; return the passage's id when it stands still before the work of a state, or after it."""
        self.stop.write_text(place)
        assert self.gateway.send(*self.files).returncode == 0
        (passage,) = self.gateway.until_state(place.removeprefix("after "))
        if place == "after restored":
            until(lambda: "delivered" in self.journal() or None, 30, "the delivery's record")
        self.stop.unlink()
        return str(passage["id"])

    def journal(self) -> list[str]:
        """The kinds of the records in the journal."""
        text = (self.gateway.folder / "var" / "clerk" / "journal").read_text()
        return [part.split('"')[0] for part in text.split('"kind":"')[1:]]

    def kill(self, *roles: str) -> None:
        """kill -9, and wait until all is up again."""
        old = self.gateway.pids()
        for role in roles:
            os.kill(old[role], signal.SIGKILL)

        def is_up() -> bool | None:
            new = self.gateway.pids()
            are_new = all(new.get(role, old[role]) != old[role] for role in roles)
            return (are_new and answers(self.gateway.port) and answers(self.gateway.web)) or None

        until(is_up, 60, "the next ones")

    def delivered(self) -> list[str]:
        """The SOP instance UID of every C-STORE that the TPS got."""
        return [pydicom.dcmread(path).SOPInstanceUID for path in self.tps.received()]


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopped]:
    yield from _running(Stopped(tmp_path, monkeypatch))


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopped]:
    yield from _running(Stopped(tmp_path, monkeypatch, forget=True))


def _running(made: Stopped) -> Iterator[Stopped]:
    try:
        made.gateway.start()
        with running_pacs(made.pacs):
            yield made
    finally:
        made.gateway.stop()
        made.tps.stop()


STATES = [state.value for state in WAY[:-1]]


@pytest.mark.parametrize("state", [*STATES, "after restored"])
def test_a_vault_killed_in_any_state_delivers_once(stopped: Stopped, state: str) -> None:
    before = stopped.bring_to(state)
    stopped.kill("vault")
    end = until(lambda: ended(stopped, before), 120, "the end")
    assert end in ("delivered", "gone")
    assert len(stopped.delivered()) == 1


def ended(stopped: Stopped, passage_id: str) -> str | None:
    """How a passage ended; `gone` where only its last record was missing and nobody lists it any more."""
    found = {one["id"]: one["state"] for one in stopped.gateway.passages()}
    state = found.get(passage_id, "gone")
    return state if state in ("delivered", "held", "failed", "gone") else None


@pytest.mark.parametrize("roles", [("clerk",), ("vault", "clerk")])
@pytest.mark.parametrize("state", ["receiving", "contouring", "after restored"])
def test_a_clerk_killed_alone_or_with_the_vault_loses_nothing(
    stopped: Stopped, roles: tuple[str, ...], state: str
) -> None:
    before = stopped.bring_to(state)
    stopped.kill(*roles)
    if "vault" in roles:
        assert until(lambda: ended(stopped, before), 120, "the end") in ("delivered", "gone")
        assert len(stopped.delivered()) == 1
    else:
        (passage,) = stopped.gateway.passages()
        assert passage["id"] == before
        # What waits for a receipt goes on as soon as a new clerk has given it.
        assert passage["state"] in (state.removeprefix("after "), "delivered")


def test_a_vault_killed_without_a_pacs_says_that_it_must_be_sent_again(stopped: Stopped) -> None:
    before = stopped.bring_to("contouring")
    stopped.pacs.folder.joinpath("store", "index.dat").unlink()
    stopped.kill("vault")
    (held,) = stopped.gateway.until_state("held")
    assert (held["id"], held["reason"]["code"], held["received"]) == (before, "SEND_AGAIN", 5)
    assert stopped.gateway.send(*stopped.files).returncode == 0
    assert until(lambda: ended(stopped, before) == "delivered" or None, 120, "the delivery")
    assert len(stopped.delivered()) == 1


def test_control_without_the_journals_record_the_tps_gets_it_twice(forgetful: Stopped) -> None:
    before = forgetful.bring_to("after restored")
    forgetful.kill("vault")
    until(lambda: ended(forgetful, before) == "delivered" or None, 120, "the delivery")
    assert len(forgetful.delivered()) == 2
    # Even then it is the same object, because the passage kept its id.
    assert len(set(forgetful.delivered())) == 1
