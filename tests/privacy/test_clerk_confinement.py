"""The clerk has no network, no key and no file but its own (R22)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.vault.landlock import abi_version
from gateway.vault.lockdown import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]

CONFINE = """
import gateway.clerk.process as process, sys
from pathlib import Path
process.confine(Path(sys.argv[1]), ())
"""

TRY = """
import os, socket, sys
me, own, outside = os.getpid(), *sys.argv[1:]

ways = {
    "TCP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "UDP": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "read the clinic key": lambda: open(os.path.join(outside, "clinic.key"), "rb").read(),
    "write the clinic key": lambda: open(os.path.join(outside, "clinic.key"), "ab").write(b"x"),
    "create": lambda: open(os.path.join(outside, "new"), "xb"),
    "list": lambda: os.listdir(outside),
    "run": lambda: os.execv("/bin/true", ["true"]) if os.fork() == 0 else denied_in_child(),
}

def denied_in_child():
    _, status = os.wait()
    if status != 0:
        raise PermissionError

for name, way in ways.items():
    try:
        way()
    except PermissionError:
        if name == "run" and os.getpid() != me: os._exit(1)
        print("denied", name)
    else:
        print("ALLOWED", name)
path = os.path.join(own, "journal")
open(path, "wb").write(b"works"); os.replace(path, path + ".2"); assert open(path + ".2", "rb").read() == b"works"
print("works")
"""


@pytest.mark.skipif(abi_version() < 4, reason="this kernel has no Landlock for the network")
@pytest.mark.parametrize("is_confined", [True, False], ids=["confined", "control"])
def test_the_clerk_reaches_its_own_folder_and_nothing_else(tmp_path: Path, is_confined: bool) -> None:
    own = tmp_path / "clerk"
    own.mkdir()
    (tmp_path / "clinic.key").write_bytes(bytes(32))
    script = (CONFINE if is_confined else "") + TRY
    done = subprocess.run(
        [sys.executable, "-c", script, str(own), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
    )
    assert done.stderr == ""
    told = done.stdout.splitlines()
    assert told.pop() == "works"
    assert len(told) == 9
    assert {line.split()[0] for line in told} == {"denied" if is_confined else "ALLOWED"}
