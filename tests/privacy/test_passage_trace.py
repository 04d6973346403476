"""Over a whole passage the vault and its children change no file, by the kernel's own account (R2, R31).

The control takes the lockdown away and writes a file for each instance: the same look finds it.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from tests import made
from tests.privacy.syscalls import Change, read_trace, traced
from tests.running import Gateway, Storescp

pytestmark = pytest.mark.peer("strace", "storescu", "storescp")

LEAK = """
    import importlib.abc, importlib.util, sys

    class Leak(importlib.abc.MetaPathFinder):
        '''Patches the wiring as it is imported: no lockdown, and a file for each instance.'''

        def find_spec(self, name, path, target=None):
            if name != "gateway.app":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                from gateway.flow.accept import Accept
                from gateway.vault.lockdown import Lockdown
                module.lock_down = lambda waivers: Lockdown((), ())
                parse = Accept._parse

                async def leaking(self, request):
                    with open({path!r}, "ab") as file:
                        file.write(bytes(request.dataset)[:64])
                    return await parse(self, request)

                Accept._parse = leaking

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Leak())
"""


def changes_of_a_passage(folder: Path) -> list[Change]:
    """Send one series under strace; what any process but the clerk and the supervisor changed."""
    (folder / "trace").mkdir()
    gateway = Gateway(folder, prefix=traced([], folder / "trace"))
    tps = Storescp(folder / "tps", gateway.tps)
    files = folder / "images"
    files.mkdir()
    for i in range(6):
        (files / f"{i}.dcm").write_bytes(made.part10(made.image(i, side=64)))
    try:
        gateway.start(120)
        pids = gateway.pids()
        writers = {pids["clerk"], pids["run"]}
        assert gateway.send(files).returncode == 0
        gateway.until_state("delivered", "held", "failed")
    finally:
        gateway.stop(60)
        tps.stop()
    changes, _, processes = read_trace(folder / "trace")
    assert processes >= 4, "the trace is blind"
    own = (str(folder / "var"), str(gateway.log))
    seen = [change for change in changes if change.path.startswith(own[0])]
    assert seen, "the trace does not even see the clerk write"
    return [
        change
        for change in changes
        if change.process not in writers and not change.path.startswith(own) and change.path != "/dev/null"
    ]


def test_no_file_is_created_or_written_on_the_way(tmp_path: Path) -> None:
    assert changes_of_a_passage(tmp_path) == []


def test_control_a_vault_that_writes_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaked = tmp_path / "leaked"
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(LEAK).replace("{path!r}", repr(str(leaked))))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(Path(__file__).parents[2])]))
    assert {change.path for change in changes_of_a_passage(tmp_path)} == {str(leaked)}
