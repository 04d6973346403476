"""The kernel keeps identities off the disk (R2, R31), shown with a control that it does not hold back."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.vault.landlock import abi_version
from gateway.vault.lockdown import ENVIRONMENT
from tests.privacy.syscalls import Change, file_changes

ROOT = Path(__file__).resolve().parents[2]

LOCK = """
from gateway.vault.lockdown import lock_down
print(*lock_down().in_force)
"""

LEAK = """
import ctypes, mmap, os, subprocess, sys, tempfile
folder, existing = sys.argv[1:]

def new(name): return os.path.join(folder, name)

def write(path, flags):
    descriptor = os.open(path, flags, 0o600)
    os.write(descriptor, b"leak")
    os.close(descriptor)

def map_shared():
    with open(existing, "r+b") as file, mmap.mmap(file.fileno(), 4) as view:
        view[:] = b"leak"

def from_a_child():
    done = subprocess.run([sys.executable, "-c", f"open({new('child')!r}, 'w').write('leak')"],
                          stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode:
        raise PermissionError

ways = {
    "shared mapping": map_shared,
    "extended attribute": lambda: os.setxattr(existing, "user.leak", b"leak"),
    "create": lambda: write(new("created"), os.O_CREAT | os.O_WRONLY),
    "append": lambda: write(existing, os.O_APPEND | os.O_WRONLY),
    "truncate on opening": lambda: write(existing, os.O_TRUNC | os.O_WRONLY),
    "truncate": lambda: os.truncate(existing, 0),
    "unnamed temporary file": lambda: write(folder, os.O_TMPFILE | os.O_RDWR),
    "temporary file": lambda: tempfile.NamedTemporaryFile(dir=folder).write(b"leak"),
    "shared memory": lambda: write("/dev/shm/contourgate-leak", os.O_CREAT | os.O_WRONLY),
    "folder named after a value": lambda: os.mkdir(new("leak")),
    "link named after a value": lambda: os.symlink("leak", new("symbolic")),
    "hard link": lambda: os.link(existing, new("hard")),
    "rename": lambda: os.rename(existing, new("renamed")),
    "pipe on the file system": lambda: os.mkfifo(new("fifo")),
    "a child": from_a_child,
    "remove": lambda: os.unlink(new("renamed") if os.path.exists(new("renamed")) else existing),
}
for name, leak in ways.items():
    try:
        leak()
    except PermissionError:
        print("denied", name)
    except OSError:
        print("unsupported", name)
    else:
        print("LEAKED", name)
"""

BECOME_NOBODY = """
import os
import gateway.vault.lockdown, socket, subprocess, threading
os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""

WORK = """
import os, socket, subprocess, threading
descriptor = os.memfd_create("scratch")
os.write(descriptor, b"stays in memory")
assert open(f"/proc/self/fd/{descriptor}", "rb").read() == b"stays in memory"
left, right = socket.socketpair()
left.send(b"x"); assert right.recv(1) == b"x"
subprocess.run(["true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
thread = threading.Thread(target=bytearray, args=(2**24,)); thread.start(); thread.join()
bytearray(2**28)
print("works")
"""

pytestmark = [
    pytest.mark.peer("strace"),
    pytest.mark.skipif(abi_version() < 3, reason="this kernel has no Landlock that denies truncation"),
]


@pytest.fixture
def existing(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "existing"
    file.write_bytes(b"what was there")
    yield file
    Path("/dev/shm/contourgate-leak").unlink(missing_ok=True)


def _run(script: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **ENVIRONMENT, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )


def _leaks(changes: tuple[Change, ...], folder: Path) -> set[str]:
    return {change.path for change in changes if change.path.startswith((str(folder), "/dev/shm"))}


def test_under_lockdown_nothing_reaches_a_disk(existing: Path, tmp_path: Path) -> None:
    trace = file_changes(
        [sys.executable, "-c", LOCK + LEAK, str(tmp_path), str(existing)],
        env={**os.environ, **ENVIRONMENT},
        cwd=ROOT,
    )
    told = trace.stdout.decode().splitlines()
    assert told[0].split() == ["core", "dumpable", "mlock", "perturb", "landlock"]
    assert len(told) == 17
    assert [line for line in told[1:] if not line.startswith("denied")] == []
    assert trace.changes == ()
    assert trace.denied  # the trace saw the attempts
    assert trace.processes >= 2  # and followed the child
    assert existing.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [existing]
    assert os.listxattr(existing) == []


def test_control_without_lockdown_the_same_ways_leak_and_the_trace_sees_them(
    existing: Path, tmp_path: Path
) -> None:
    trace = file_changes(
        [sys.executable, "-c", LEAK, str(tmp_path), str(existing)],
        env={**os.environ, **ENVIRONMENT},
        cwd=ROOT,
    )
    told = trace.stdout.decode().splitlines()
    assert (len(told), trace.stderr) == (16, b"")
    # a file system may know no extended attributes or unnamed files; every other way leaks
    assert sum(line.startswith("LEAKED") for line in told) >= 14
    seen = _leaks(trace.changes, tmp_path)
    assert {str(tmp_path / name) for name in ("created", "child", "leak", "fifo", "existing")} <= seen
    assert "/dev/shm/contourgate-leak" in seen


def test_what_the_vault_needs_still_works_under_lockdown() -> None:
    done = _run(LOCK + WORK)
    assert (done.stdout.split()[-1:], done.stderr) == (["works"], "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_an_ordinary_account_is_locked_down_when_its_memlock_limit_is_lifted() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        pytest.skip("this root may not lift its memlock limit")
    done = _run(BECOME_NOBODY + LOCK + WORK)
    assert (done.stdout.split()[-1:], done.stderr) == (["works"], "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_an_ordinary_account_with_a_memlock_limit_starts_only_with_a_waiver() -> None:
    limit = "resource.setrlimit(resource.RLIMIT_MEMLOCK, (2**22, 2**22))\n"
    refused = _run("import resource\n" + limit + BECOME_NOBODY + LOCK)
    assert "LOCKDOWN_IMPOSSIBLE" in refused.stderr
    assert "missing mlock" in refused.stderr
    waived = """
from datetime import date
from gateway.config import Waiver
from gateway.vault.lockdown import lock_down
print(*lock_down([Waiver(protection="mlock", until=date.max, reason="a test")]).in_force)
"""
    done = _run("import resource\n" + limit + BECOME_NOBODY + waived + WORK)
    assert (done.stdout.splitlines(), done.stderr) == (["core dumpable perturb landlock", "works"], "")


def test_without_the_environment_the_vault_does_not_start() -> None:
    done = _run(LOCK, PYTHONMALLOC="pymalloc")
    assert "missing perturb" in done.stderr


def test_a_file_that_is_open_for_writing_stops_the_start(tmp_path: Path) -> None:
    done = _run(f"file = open({str(tmp_path / 'open')!r}, 'w')\n" + LOCK)
    assert "missing landlock" in done.stderr


def test_a_second_thread_stops_the_start() -> None:
    done = _run(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        + LOCK
    )
    assert "second thread" in done.stderr


def test_no_stranger_of_the_same_account_reads_our_memory() -> None:
    script = LOCK + "import os, sys; sys.stdout.flush(); print(os.stat('/proc/self/mem').st_uid); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    try:
        assert "dumpable" in child.stdout.readline()
        limits = Path(f"/proc/{child.pid}/limits").read_text("ascii")
        assert "Max core file size        0                    0" in limits
        status = Path(f"/proc/{child.pid}/status").read_text("ascii")
        assert int(status.split("VmLck:")[1].split()[0]) > 0
    finally:
        child.communicate("\n")


@pytest.mark.parametrize("missing", ["MALLOC_PERTURB_", "PYTHONMALLOC", "GLIBC_TUNABLES"])
def test_control_each_part_of_the_environment_is_needed_for_freed_memory_to_be_overwritten(
    missing: str,
) -> None:
    environment = {**os.environ, **ENVIRONMENT}
    del environment[missing]
    count = "from gateway.vault import memory as m; print(sum(map(m.values_left_after_free, (48, 480, 900))))"

    def left(env: dict[str, str]) -> int:
        return int(
            subprocess.run(
                [sys.executable, "-c", count], env=env, capture_output=True, check=True, cwd=ROOT
            ).stdout
        )

    assert left(environment) > 0
    assert left({**os.environ, **ENVIRONMENT}) == 0
