"""Over good and bad passages the vault and its children change no file, by the kernel's own account (R2, R31).

The control takes the lockdown away and writes a file for each instance: the same look finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.privacy.leak import leaking
from tests.privacy.memory import family
from tests.privacy.ordeal import CHILDREN, Ordeal, words
from tests.privacy.syscalls import Change, read_trace, traced
from tests.running import Gateway

pytestmark = pytest.mark.peer("strace", "dcmsend", "storescp")


def changes_during(folder: Path, undergo: Callable[[Ordeal], None]) -> list[Change]:
    """Run a gateway under strace; what any process but the clerk and the supervisor changed."""
    trace = folder / "trace"
    trace.mkdir()
    gateway = Gateway(folder, {"passage": {"review_s": 0, "drain_s": 0}}, prefix=traced([], trace))
    ordeal = Ordeal(gateway, folder / "images", folder / "tps")
    with ordeal.running():
        pids = gateway.pids()
        undergo(ordeal)
        children = [pid for pid in family(pids["vault"]) if any(name in words(pid) for name in CHILDREN)]
    changes, _, processes = read_trace(trace)
    assert processes >= 4, "the trace is blind"
    assert len(children) >= len(CHILDREN)
    assert all((trace / f"trace.{pid}").exists() for pid in children), "the trace does not see the children"
    own = (str(folder / "var"), str(gateway.log))
    seen = [change for change in changes if change.path.startswith(own[0])]
    assert seen, "the trace does not even see the clerk write"
    writers = {pids["clerk"], pids["run"]}
    return [
        change
        for change in changes
        if change.process not in writers and not change.path.startswith(own) and change.path != "/dev/null"
    ]


def everything(ordeal: Ordeal) -> None:
    ordeal.refused()
    ordeal.decoded()  # with a decoder that crashes
    ordeal.good()
    ordeal.held()


def test_no_file_is_created_or_written_on_the_way(tmp_path: Path) -> None:
    assert changes_during(tmp_path, everything) == []


def test_control_a_vault_that_writes_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**leaking(tmp_path / "site"), "TMPDIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    changes = changes_during(tmp_path, Ordeal.refused)
    assert changes
    assert {Path(change.path).parent for change in changes} == {tmp_path}
