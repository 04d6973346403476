"""The vault, the clerk and both are killed in every state: delivered exactly once, or shown as to be sent again (46).

The states come from the passage's own table, so that a new one is killed in too. A hook that the vault imports at its
start stops a passage before the work of a state; a file says which. It stands there until the file names another place;
where the file is gone the next vault is not stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest

from gateway.clerk.ledger import verify_folder
from gateway.commands.passages import Console
from gateway.passage import TRANSITIONS, WAY, State
from gateway.vault.keys import ClinicKey
from gateway.vault.ledger_key import ledger_key
from tests.peers.pacs import Dcmqrscp, made_series, running_pacs, sources
from tests.running import Gateway, Storescp, answers, free_ports, until, without_text_gate

pytestmark = pytest.mark.peer("storescu", "storescp", "dcmqrscp")

HOOK = """
    import importlib.abc, importlib.util, os, sys

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

                async def standing(place):
                    os.write(2, f"stands {{place}}\\n".encode())  # into the log
                    while told() in ("", place):
                        await asyncio.sleep(0.02)

                def stopping(state, stage):
                    async def stopped(series):
                        asked = told()  # now: afterwards the file may be gone
                        if asked == state:
                            await standing(state)
                        await stage(series)
                        if asked == "after " + state:
                            await standing(asked)
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
        usual = {"sources": sources(self.pacs_port), **without_text_gate(folder)}
        self.gateway = Gateway(folder, {**usual, **(changes or {})})
        self.tps = Storescp(folder / "tps", self.gateway.tps, "--unique-filenames")
        self.pacs = Dcmqrscp(folder / "pacs", self.pacs_port, self.gateway.port)
        self.files = made_series(folder / "images", 5)
        self.pacs.fill(self.files)

    def bring_to(self, place: str) -> str:
        """Send the series; return the passage's id when it stands still before the work of a state, or after it."""
        self.stop.write_text(place)
        assert self.gateway.send(*self.files).returncode == 0
        until(lambda: self._stands(place), 120, f"that it stands still {place}")
        (passage,) = self.gateway.until_state(place.removeprefix("after "))
        self.stop.unlink()
        return str(passage["id"])

    def go_on_to(self, place: str) -> None:
        """Let it go on, and wait until it stands still again; the file keeps saying where."""
        self.stop.write_text(place)
        until(lambda: self._stands(place), 120, f"that it stands still {place}")

    def _stands(self, place: str) -> bool | None:
        return f"stands {place}\n" in self.gateway.log.read_text(errors="replace") or None

    def stop_at_once(self) -> None:
        """SIGTERM twice, and wait for the end."""
        for _ in range(2):
            self.gateway.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        self.gateway.process.wait(30)
        assert self.gateway.stop() == 0

    def lose_power(self) -> None:
        """kill -9 of every process at once, and a start afterwards."""
        for pid in self.gateway.pids().values():
            with contextlib.suppress(ProcessLookupError):  # the vault dies with the supervisor
                os.kill(pid, signal.SIGKILL)
        self.gateway.stop()
        until(lambda: not self.gateway.pids() or None, 10, "the end of all")
        for port in (self.gateway.port, self.gateway.web):  # the kernel closes them a little after that
            until(lambda port=port: not answers(port) or None, 10, "the end of what listened")  # type: ignore[misc]
        self.gateway.start()

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


def test_every_state_that_something_follows_is_one_that_is_killed_in() -> None:
    """A state that is put into the table beside the way is noticed here."""
    followed = {state for state, after in TRANSITIONS.items() if after}
    assert followed == {State(state) for state in STATES} | {State.HELD}


in_halves = pytest.mark.parametrize(
    "states", [STATES[::2], STATES[1::2]], ids=["+".join(STATES[::2]), "+".join(STATES[1::2])]
)
"""Of a process that dies again and again at once the supervisor waits longer and longer."""


@in_halves
def test_a_clerk_killed_in_every_state_loses_nothing(stopped: Stopped, states: list[str]) -> None:
    stopped.stop.write_text(states[0])
    assert stopped.gateway.send(*stopped.files).returncode == 0
    (before,) = stopped.gateway.passages()
    for state in states:
        stopped.go_on_to(state)
        stopped.kill("clerk")
        (passage,) = stopped.gateway.passages()
        assert (passage["id"], passage["state"]) == (before["id"], state)
    stopped.stop.write_text("go")
    (passage,) = stopped.gateway.until_state("delivered")
    states = [step["state"] for step in passage["history"]]
    assert states == [state.value for state in WAY]
    assert len(stopped.delivered()) == 1


@in_halves
def test_vault_and_clerk_killed_at_once_in_every_state_deliver_once(
    stopped: Stopped, states: list[str]
) -> None:
    stopped.stop.write_text(states[0])
    assert stopped.gateway.send(*stopped.files).returncode == 0
    (before,) = stopped.gateway.passages()
    for state in states:
        stopped.go_on_to(state)
        stopped.kill("vault", "clerk")
        until(lambda: stopped.gateway.passages() or None, 30, "the passage")
        assert [one["id"] for one in stopped.gateway.passages()] == [before["id"]]
    stopped.stop.write_text("go")
    assert until(lambda: ended(stopped, before["id"]), 120, "the end") in ("delivered", "gone")
    assert len(stopped.delivered()) == 1


def test_everything_killed_at_once_as_by_a_power_cut_delivers_once(stopped: Stopped) -> None:
    before = stopped.bring_to("contouring")
    stopped.lose_power()
    assert until(lambda: ended(stopped, before), 120, "the end") == "delivered"
    assert len(stopped.delivered()) == 1


def test_a_stop_in_the_middle_of_everything_sends_nothing_half_and_nothing_twice(stopped: Stopped) -> None:
    """Fault 59: SIGTERM, and again, while a passage is on its way to the TPS."""
    before = stopped.bring_to("restored")
    stopped.stop_at_once()
    assert stopped.delivered() == []
    stopped.gateway.start()
    assert until(lambda: ended(stopped, before), 120, "the end") == "delivered"
    assert len(stopped.delivered()) == 1


def test_a_clinic_key_that_is_rotated_mid_passage_loses_nothing(stopped: Stopped) -> None:
    """Fault 57: under the new key nobody knows the series again, so it is asked for; nothing is taken for another's."""
    before = stopped.bring_to("contouring")
    stopped.stop_at_once()
    key = stopped.gateway.folder / "var" / "clinic.key"
    old = ClinicKey.load(key)
    key.write_bytes(os.urandom(32))
    stopped.gateway.start()
    (held,) = stopped.gateway.until_state("held")
    assert (held["id"], held["reason"]["code"]) == (before, "SEND_AGAIN")
    assert stopped.gateway.send(*stopped.files).returncode == 0
    (delivered,) = stopped.gateway.until_state("delivered")
    assert delivered["id"] != before
    assert len(stopped.delivered()) == 1
    Console("127.0.0.1", stopped.gateway.web).decide(before, "cancel")
    stopped.gateway.until_state("cancelled")
    assert stopped.gateway.stop() == 0
    folder = stopped.gateway.folder / "var" / "clerk"
    keys = [ledger_key(each).public_key() for each in (old, ClinicKey.load(key))]
    assert verify_folder(folder, keys).faults == ()
    assert verify_folder(folder, keys[1:]).faults  # control: an auditor needs both keys


def test_a_vault_killed_while_a_passage_is_held_holds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"match": {}, "model": "default", "deliver_to": ["tps"], "deliver": "after_review"}
    made = Stopped(tmp_path, monkeypatch, changes={"rules": [rule]})
    for stopped in _running(made):
        assert stopped.gateway.send(*stopped.files).returncode == 0
        (before,) = stopped.gateway.until_state("held")
        stopped.kill("vault")
        (held,) = stopped.gateway.until_state("held")
        assert (held["id"], held["reason"]["code"]) == (before["id"], "REVIEW_WANTED")
        assert stopped.delivered() == []
        Console("127.0.0.1", stopped.gateway.web).decide(held["id"], "release")
        stopped.gateway.until_state("delivered")
        assert len(stopped.delivered()) == 1


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
