"""What a command and its children do to the file system, as the kernel sees it (R2, R31).

`file_changes` runs a command under strace and lists every regular file that was created, opened for writing,
written, truncated, renamed, linked or removed, and every such attempt that was denied. The trace holds paths, never
contents.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OPENING = ("open", "openat", "openat2", "creat")
WRITING = (
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice"),
    *("ftruncate", "fallocate", "fsetxattr"),
)
NAMING = (
    *(
        "truncate",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "mkdir",
        "mkdirat",
    ),
    *("mknod", "mknodat", "unlink", "unlinkat", "rmdir", "setxattr", "lsetxattr"),
)
_LINE = re.compile(r"^(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)(?P<rest>.*)$")
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE")
_DESCRIPTOR = re.compile(r"\d+<(/[^<>]*)(?:<\w+ [\d:]+>)?>")
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Change:
    """One system call that changed the file system, or tried to."""

    call: str
    path: str
    process: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What a traced command did."""

    returncode: int
    stdout: bytes
    stderr: bytes
    changes: tuple[Change, ...]
    denied: tuple[Change, ...]
    """Attempts that the kernel refused."""
    processes: int
    """How many processes and threads were traced: 0 or 1 where more are expected means that the trace is blind."""


def traced(command: Sequence[str], folder: Path) -> list[str]:
    """The command line that runs `command` under strace and leaves one file a process in `folder`.

    For a test that starts the gateway by itself; `read_trace` reads what is left.
    """
    calls = ",".join((*OPENING, *WRITING, *NAMING))
    # a call that this kernel or strace does not know is no error: `?`
    calls = ",".join(f"?{call}" for call in calls.split(","))
    strace = ["strace", "--seccomp-bpf", "-ff", "-qq", "-yy", "-s", "0", "-e", f"trace={calls}"]
    return [*strace, "-e", "signal=none", "-o", str(folder / "trace"), *command]


def read_trace(folder: Path) -> tuple[tuple[Change, ...], tuple[Change, ...], int]:
    """What strace left in `folder`: changes, denied attempts, how many processes and threads."""
    changes: list[Change] = []
    denied: list[Change] = []
    files = sorted(folder.glob("trace.*"))
    for file in files:
        process = int(file.suffix[1:])
        for line in file.read_text("utf-8", "replace").splitlines():
            for call, path, result in _change_of(line):
                (denied if result < 0 else changes).append(Change(call, path, process))
    return tuple(changes), tuple(denied), len(files)


def file_changes(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
    cwd: Path | None = None,
) -> Trace:
    """Run a command to its end under strace.

    Parameters
    ----------
    command : sequence of str
    env : mapping, optional
    timeout_s : float
    cwd : Path, optional

    Returns
    -------
    Trace
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            traced(command, Path(folder)),
            env=env,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            cwd=cwd,
        )
        changes, denied, processes = read_trace(Path(folder))
        return Trace(done.returncode, done.stdout, done.stderr, changes, denied, processes)


def _change_of(line: str) -> Iterator[tuple[str, str, int]]:
    match = _LINE.match(line)
    if match is None:
        return
    call, arguments, result = match["call"], match["arguments"], int(match["result"])
    if result < 0 and not re.search(r"EACCES|EPERM|EROFS|EXDEV", match["rest"]):
        return  # not there, already there, not a folder: nothing was changed and nothing was refused
    if call in OPENING:
        if call != "creat" and not _WRITES.search(arguments):
            return
        opened = _DESCRIPTOR.search(f"{result}{match['rest']}") if result >= 0 else None
        paths = [opened[1]] if opened else _QUOTED.findall(arguments)[:1]
    elif call in WRITING:
        paths = _DESCRIPTOR.findall(arguments)
        if call in ("sendfile", "copy_file_range", "splice"):
            paths = paths[:1] if call == "sendfile" else paths[-1:]
    else:
        paths = _QUOTED.findall(arguments)
    for path in paths:
        if not path.startswith(("/dev/null", "/dev/pts/", "/dev/tty", "/memfd:")):
            yield call, path, result
