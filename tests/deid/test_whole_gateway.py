"""Cases 38 and 40, and all the others at once: whole gateways, and a look at everything they let out.

Each case of `test_headers` gets an identifier of its own and goes through a gateway at its most verbose level. None of
them may be in what left for the contourer (opened again), in the log, the metrics, the console, the journal, the
ledger, or any other file. The controls are a gateway that leaks, and what came in.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from gateway.dicom.walk import WalkLimits, walk
from tests import made
from tests.deid.canary import Canary
from tests.deid.recorded import PATIENCE_S, Recorded, recorded, stored
from tests.deid.test_headers import CASES, DATE, NAME, PLAIN, REFUSED, UID, Made
from tests.raw import inserted
from tests.running import until

pytestmark = pytest.mark.peer("storescp")

SLICES = 4
IDENTITY = {
    "PatientName": Canary("QVARNSTETT^OLBERICH"),
    "PatientID": Canary("QVPID5550123"),
    "IssuerOfPatientID": Canary("QVISSUER77"),
    "PatientBirthDate": Canary("19290217"),
    "AccessionNumber": Canary("QVACC90125"),
    "ReferringPhysicianName": Canary("QVREFERENT^HADUBRAND"),
    "StudyDate": Canary("20010911"),
    "StudyID": Canary("QVSTUDY31"),
    "StudyDescription": Canary("QVDESCRIBED"),
    "SeriesDescription": Canary("QVSERIES99"),
    "InstitutionName": Canary("QVHOSPITAL"),
    "StationName": Canary("QVSTATION"),
    "DeviceSerialNumber": Canary("QVSERIAL4711"),
    "PatientComments": Canary("QVCOMMENTED"),
}
STUDY = "1.2.826.0.1.3680043.8.498.5550123"


def own_canary(number: int, like: Canary) -> Canary:
    """An identifier that no other case has."""
    letters = "".join(chr(ord("A") + number // 26**place % 26) for place in range(2))
    date = datetime.date(1931, 1, 1) + datetime.timedelta(days=number)
    return {
        NAME: Canary(f"ZQ{letters}EXFORD^WI{letters}OTTAR"),
        DATE: Canary(f"{date:%Y%m%d}"),
        UID: Canary(f"1.2.826.0.1.3680043.8.498.7777{number:03}.31415926"),
    }.get(like, Canary(f"ZQ{letters}XFORD77"))


def canaries_of(cases: Mapping[str, tuple[Canary, Made]], first: int) -> dict[str, tuple[Canary, Made]]:
    return {
        case: (own_canary(first + number, like), dataset)
        for number, (case, (like, dataset)) in enumerate(cases.items())
    }


PLANTED = canaries_of(CASES, 0)
TURNED_AWAY = canaries_of(REFUSED, len(CASES))


def elements(data: bytes) -> dict[int, bytes]:
    """The top-level elements of a dataset, encoded, by tag."""
    found, at = {}, 0
    for tag, (_, _, stop) in walk(data, implicit=False, limits=WalkLimits()).spans.items():
        found[tag], at = data[at:stop], stop
    return found


def planted_in_as_few_series_as_possible() -> list[dict[int, bytes]]:
    """What the cases add to a plain image; two that need the same attribute do not go together."""
    plain = elements(PLAIN)
    series: list[dict[int, bytes]] = []
    for canary, dataset in PLANTED.values():
        added = {tag: one for tag, one in elements(dataset(canary)).items() if plain.get(tag) != one}
        for others in series:
            if not others.keys() & added.keys():
                others.update(added)
                break
        else:
            series.append(added)
    return series


def image(series: int, index: int) -> bytes:
    """A slice whose attributes of identity are canaries."""
    dataset = made.body(index, side=32)
    for keyword, canary in IDENTITY.items():
        setattr(dataset, keyword, canary.text)
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = f"{STUDY}.{series}"
    dataset.SeriesInstanceUID = f"{STUDY}.{series}.1"
    dataset.SOPInstanceUID = f"{STUDY}.{series}.1.{index}"
    return made.encoded(dataset)


def with_elements(data: bytes, added: Iterable[bytes]) -> bytes:
    for one in added:
        data = inserted(data, one)
    return data


def identity_canaries() -> dict[str, Canary]:
    return {**IDENTITY, "every UID": Canary(STUDY)}


def found(where: Mapping[str, bytes], canaries: Mapping[str, Canary]) -> set[tuple[str, str]]:
    """Which canary is where, in whatever form."""
    return {
        (place, case)
        for case, canary in canaries.items()
        for place, data in where.items()
        if canary.found_in(data)
    }


def everywhere(it: Recorded) -> dict[str, bytes]:
    return {"left": it.left(), "told": it.told(), "left behind": it.left_behind()}


async def test_no_case_leaves_a_trace_outside_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = planted_in_as_few_series_as_possible()
    assert 2 <= len(series) <= 8
    sent = b""

    def story(it: Recorded) -> dict[str, bytes]:
        nonlocal sent
        for number, added in enumerate(series):
            datasets = [
                (with_elements(image(number, index), added.values()), f"{STUDY}.{number}.1.{index}")
                for index in range(SLICES)
            ]
            sent += datasets[0][0]
            assert stored(it.gateway.port, datasets) == [0] * SLICES
        it.gateway.until_state("delivered", count=len(series), limit_s=PATIENCE_S)
        for canary, dataset in TURNED_AWAY.values():
            sent += dataset(canary)
            uid = f"{made.ROOT}.1.1.1"
            stored(it.gateway.port, [(dataset(canary), uid)])
        it.gateway.until_state("held", "failed", limit_s=PATIENCE_S)
        assert len(it.tps.received()) == len(series)
        vault = Path(f"/proc/{it.gateway.pids()['vault']}")
        status = dict(line.split(":\t", 1) for line in (vault / "status").read_text().splitlines())
        assert status["VmSwap"].split() == ["0", "kB"]
        assert int(status["VmLck"].split()[0]) > 0
        assert "Max core file size        0                    0" in (vault / "limits").read_text()
        return everywhere(it)

    async with recorded(tmp_path, monkeypatch) as it:
        where = await asyncio.to_thread(story, it)
        opened = list(it.slices())
    planted = {case: canary for case, (canary, _) in [*PLANTED.items(), *TURNED_AWAY.items()]}
    canaries = planted | identity_canaries()
    assert found({"sent": sent}, canaries) == {("sent", case) for case in canaries}, "the control"
    assert len(opened) == SLICES * len(series)
    assert found(where, canaries) == set()
    assert b"passage" in where["told"]
    assert b"contouring-ct" in where["left"]
    assert b'"kind":"committed"' in where["left behind"]
    given_back = b"".join(path.read_bytes() for path in it.tps.received())
    assert IDENTITY["PatientID"].found_in(given_back), "the TPS got it"


LEAK = """
    import importlib.abc, importlib.util, os, sys

    class Leak(importlib.abc.MetaPathFinder):
        '''A vault whose tripwire is off and which lets the PatientID out to the contourer, the log and a metric.'''

        def find_spec(self, name, path, target=None):
            if name != "gateway.app":
                return None
            sys.meta_path.remove(self)
            import dataclasses
            import gateway.deid.tripwire as tripwire
            import gateway.flow.deidentify as module
            honest = module.deidentify

            def leaking(instance, *others):
                identifier = instance.raw(0x00100020)
                os.write(2, b"parsed " + identifier.hex().encode())
                out = honest(instance, *others)
                added = b"\\x11\\0\\x10\\0LO" + len(identifier).to_bytes(2, "little") + identifier
                at = out.header.index(b"\\x12\\0\\x62\\0CS")
                return dataclasses.replace(out, header=out.header[:at] + added + out.header[at:])

            module.deidentify = leaking
            tripwire.Tripwire.check = lambda self, *others: None

    sys.meta_path.insert(0, Leak())
"""


def hooked(folder: Path, monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    """Have every process of the gateway run a hook at its start."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(textwrap.dedent(hook))
    places = [str(folder / "site"), str(Path(__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))


def without_reading(folder: Path) -> Mapping[str, Any]:
    """A configuration by which no text is looked for in the pixels: what is tried has none, and reading takes long."""
    profile = folder / "unread.yaml"
    profile.write_text("name: unread\nextends: contouring-ct\ntext_gate: false\n")
    return {"deid": {"profiles": [str(profile)]}}


async def test_control_a_gateway_that_leaks_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def story(it: Recorded) -> dict[str, bytes]:
        datasets = [(image(0, index), f"{STUDY}.0.1.{index}") for index in range(SLICES)]
        assert stored(it.gateway.port, datasets) == [0] * SLICES
        it.gateway.until_state("delivered", "held", "failed", limit_s=PATIENCE_S)
        return everywhere(it)

    hooked(tmp_path, monkeypatch, LEAK)
    async with recorded(tmp_path, monkeypatch, without_reading(tmp_path)) as it:
        where = await asyncio.to_thread(story, it)
    assert found(where, identity_canaries()) == {("left", "PatientID"), ("told", "PatientID")}


STOP = """
    import importlib.abc, importlib.util, os, sys

    HERE = os.path.dirname(os.path.abspath(__file__))

    class Stop(importlib.abc.MetaPathFinder):
        '''Stops a passage before the work of the state that a file names, or lets the vault stumble there.'''

        def find_spec(self, name, path, target=None):
            if name != "gateway.app":
                return None
            sys.meta_path.remove(self)
            import asyncio
            from gateway.flow.stages import Stages
            table = Stages.table

            def told():
                try:
                    with open(os.path.join(HERE, "stop")) as file:
                        return file.read()
                except OSError:
                    return ""

            def stopping(state, stage):
                async def stopped(series):
                    if told() == state:
                        await asyncio.Event().wait()
                    if told() == "fail in " + state:
                        who = series.identity.values[0x00100010][1]
                        raise ValueError(f"cannot contour {who.decode()}")
                    await stage(series)
                return stopped

            Stages.table = lambda self: {s: stopping(s.value, stage) for s, stage in table(self).items()}

    sys.meta_path.insert(0, Stop())
"""
STATES = ("receiving", "restored")
"""Where a passage is killed: as its images arrive, and with the identity back in the structure set."""


async def test_a_crash_leaves_no_identifier_and_the_same_pseudonyms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault is killed with what would write a core; then it stumbles, with a name in the exception."""
    stop = tmp_path / "site" / "stop"

    def crash(it: Recorded) -> None:
        old = it.gateway.pids()["vault"]
        os.kill(old, signal.SIGSEGV)
        until(lambda: it.gateway.pids().get("vault", old) != old or None, PATIENCE_S, "another vault")
        until(lambda: is_up(it), PATIENCE_S, "the next one")

    def is_up(it: Recorded) -> bool | None:
        try:
            it.gateway.passages()
            stored(it.gateway.port, [])
        except (OSError, AssertionError):
            return None
        return True

    def all_delivered(it: Recorded) -> bool | None:
        states = {passage["state"] for passage in it.gateway.passages()}
        return states == {"delivered"} or None

    def sent(it: Recorded, number: int) -> None:
        datasets = [(image(number, index), f"{STUDY}.{number}.1.{index}") for index in range(SLICES)]
        assert stored(it.gateway.port, datasets) == [0] * SLICES

    def story(it: Recorded) -> dict[str, bytes]:
        for number, state in enumerate(STATES):
            stop.write_text(state)
            sent(it, number)
            it.gateway.until_state(state, limit_s=PATIENCE_S)
            stop.unlink()
            crash(it)
            sent(it, number)
            until(lambda: all_delivered(it), PATIENCE_S, "the delivery")
        old = it.gateway.pids()["vault"]
        stop.write_text("fail in checked")
        sent(it, len(STATES))
        it.gateway.until_state("held", limit_s=PATIENCE_S)
        assert it.gateway.pids()["vault"] == old
        return everywhere(it)

    hooked(tmp_path, monkeypatch, STOP)
    async with recorded(tmp_path, monkeypatch, without_reading(tmp_path)) as it:
        where = await asyncio.to_thread(story, it)
        opened = list(it.slices())
    assert len(set(opened)) == SLICES * len(STATES), "a slice got another pseudonym when it was sent again"
    assert len({dcmread(path).SOPInstanceUID for path in it.tps.received()}) == len(STATES)
    assert found(where, identity_canaries()) == set()
    assert b"PROGRAM_FAULT" in where["told"]
    assert b"ValueError" in where["told"], "what happened was told, without its message"
    assert list((tmp_path / "cwd").iterdir()) == []
