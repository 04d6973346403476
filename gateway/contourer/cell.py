"""A cell: runs one module in a process that has no network, no key and no way to a disk (R41).

`python -m gateway.contourer.cell MODULE` (or a script ending in `.py`) takes everything away first and then runs the
module: sockets of every family, every right to change a file, capabilities, core dumps. The keys are in the memory
of the process that started it, which cannot be read from here. It starts with the environment that it is given and
no descriptor but the standard three, and it dies with its parent.

`--without-landlock` before the module does without Landlock where the kernel has none: an empty file can then be
made, but nothing written to one.
"""

from __future__ import annotations

import ctypes
import resource
import runpy
import signal
import sys
from pathlib import Path
from typing import Final

from gateway.vault import landlock, memory, seccomp

__all__ = ["WITHOUT_LANDLOCK", "lock"]

WITHOUT_LANDLOCK: Final = "--without-landlock"

_CLONE_NEWNET: Final = 0x40000000
_CAPABILITY_VERSION_3: Final = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _drop_capabilities() -> None:
    """So that even an account with all rights cannot read another process's memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    nothing = (_CapabilitySets * 2)()
    if libc.capset(ctypes.byref(header), ctypes.byref(nothing)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def lock(*, without_landlock: bool = False) -> None:
    """Take everything away from this process, for good.

    Parameters
    ----------
    without_landlock : bool
        Whether the administrator knows that this kernel has no Landlock.

    Raises
    ------
    OSError
        If the kernel cannot: nothing may run here then.
    """
    memory.forbid_core_dumps()
    memory.forbid_foreign_readers()
    # A network of its own where the account may make one; the denied system calls below do not depend on it.
    ctypes.CDLL(None).unshare(ctypes.c_int(_CLONE_NEWNET))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        landlock.deny_changes([Path("/dev/null")], tcp=False)
    except OSError:
        if not without_landlock:
            raise
    seccomp.deny(seccomp.OPEN_SOCKETS)
    _drop_capabilities()


def _main() -> None:
    memory.die_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):  # a service manager's; the contourer ends its cells itself
        signal.signal(number, signal.SIG_IGN)
    *options, target = sys.argv[1:]
    lock(without_landlock=WITHOUT_LANDLOCK in options)
    sys.argv = [target]
    if target.endswith(".py"):
        runpy.run_path(target, run_name="__main__")
    else:
        runpy.run_module(target, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
