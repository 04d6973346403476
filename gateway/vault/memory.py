"""What keeps memory from outliving its use: no core dump, no foreign reader, no swap, no freed value left.

Freed memory is overwritten only if three things come together, measured with glibc 2.36: `MALLOC_PERTURB_` (glibc
fills what is freed), `PYTHONMALLOC=malloc` (objects up to 512 bytes, names for instance, otherwise live in
CPython's own arenas, which nobody fills) and no thread cache (chunks that wait in it are not filled). Large buffers
are mapped one by one and go back to the kernel. A value that a library copied and has not freed stays, so this is
never called zeroising.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import resource
import signal
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = {
    "MALLOC_PERTURB_": "165",
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"
    # A slice's buffers come and go by the hundred; mapped and unmapped each time, they cost a page fault for every
    # 4 KiB. `return_freed` gives back what is free after a passage.
    f":glibc.malloc.mmap_threshold={32 * 2**20}:glibc.malloc.trim_threshold={256 * 2**20}",
}
"""What a process must be started with, so that its freed memory is overwritten, and soon used again."""

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_PROBE_BYTES: Final = 2**36
"""Address space (not memory) that must still be to be had once everything is locked."""
_PROBED_SIZES: Final = (48, 200, 480, 900, 4000)


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def forbid_core_dumps() -> None:
    """Set the core size limit to 0 for good.

    A core that is piped to a program ignores the limit; `forbid_foreign_readers` stops that one.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        raise OSError("the core limit did not hold")


def forbid_foreign_readers() -> None:
    """Make the process undumpable: no ptrace and no /proc/PID/mem by others of the account, no core."""
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    libc.prctl(_PR_SET_DUMPABLE, none, none, none, none)
    if libc.prctl(_PR_GET_DUMPABLE, none, none, none, none) != 0:
        raise OSError("PR_SET_DUMPABLE did not hold")


def forbid_swap() -> None:
    """Lock every page, present and future, as it is first touched.

    Raises
    ------
    OSError
        If not permitted, or if a limit would make allocations fail later on.
    """
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, infinite)
    except ValueError:  # not permitted; CAP_IPC_LOCK makes the limit void
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        mmap.mmap(-1, _PROBE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except OSError:
        libc.munlockall()
        raise
    locked = re.search(r"^VmLck:\s+(\d+)", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    if locked is None or int(locked[1]) == 0:
        raise OSError("mlockall did not hold")


def die_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process, by a signal, when the one that started it ends (prctl(2)).

    Raises
    ------
    OSError
        If the kernel does not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(by), none, none, none) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")


def protect_child() -> None:
    """What a child of the vault that handles identities does for itself before it reads the first one.

    File rights and the core limit are handed down by the kernel, the environment with the command; what is not
    handed down is done here. Locking needs no proof: where the vault could, the child can, and where it could not,
    that is waived. It dies with the vault, also while it starts.
    """
    forbid_foreign_readers()
    die_with_parent()
    ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def return_freed() -> None:
    """Give the free end of the heap back to the kernel; what is free in the middle of locked memory is used again."""
    ctypes.CDLL(None).malloc_trim(0)


def prove_freed_memory_is_overwritten() -> None:
    """Free values of several sizes and look for them where they were.

    Raises
    ------
    OSError
        If one is still there: the process was not started with `ENVIRONMENT`, or its C library does not fill.
    """
    left = sum(values_left_after_free(size) for size in _PROBED_SIZES)
    if left:
        raise OSError("freed memory is not overwritten")


def values_left_after_free(size: int) -> int:
    """How many of 24 freed `bytes` objects of `size` bytes can still be read where they were."""
    marker = os.urandom(16)
    values = [bytes(bytearray(marker * (size // 16))) for _ in range(24)]
    first_byte = bytes.__basicsize__ - 1
    addresses = [id(value) + first_byte for value in values]
    del values
    # glibc keeps its links of free chunks in the first bytes, so the look is further in
    return sum(_read_own(address + 32, 16) == marker for address in addresses)


def _read_own(address: int, length: int) -> bytes | None:
    """Read our own memory through the kernel, so that an address that is gone is an error and no crash."""
    buffer = ctypes.create_string_buffer(length)
    here = _Span(ctypes.addressof(buffer), length)
    there = _Span(address, length)
    libc = ctypes.CDLL(None, use_errno=True)
    read = libc.process_vm_readv(
        ctypes.c_int(os.getpid()),
        ctypes.byref(here),
        ctypes.c_ulong(1),
        ctypes.byref(there),
        ctypes.c_ulong(1),
        ctypes.c_ulong(0),
    )
    return buffer.raw if read == length else None
