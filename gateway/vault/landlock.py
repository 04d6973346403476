"""Landlock: a process gives up rights over files for good, for itself and its children.

The three system calls of landlock(7) through `ctypes`. What is denied is denied by the kernel whatever the program
does afterwards; descriptors that were open before keep their rights. Must run before the process has a second
thread, because a thread that already runs would keep its rights.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path
from typing import Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
"""The same numbers on every architecture (the kernel's `scripts/syscall.tbl`)."""
_ASK_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


class Files(IntFlag):
    """Rights over files that change something (`LANDLOCK_ACCESS_FS_*`)."""

    WRITE_FILE = 1 << 1
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    """Rename or link into another folder; ABI 2. Always denied by ABI 1."""
    TRUNCATE = 1 << 14
    """ABI 3. Older kernels do not deny it; it destroys but stores nothing."""
    IOCTL_DEV = 1 << 15
    """ABI 5."""


class Reading(IntFlag):
    """Rights over files that change nothing."""

    EXECUTE = 1 << 0
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3


class Tcp(IntFlag):
    """Rights over TCP (`LANDLOCK_ACCESS_NET_*`); ABI 4."""

    BIND = 1 << 0
    CONNECT = 1 << 1


_SINCE: Final = {Files.REFER: 2, Files.TRUNCATE: 3, Files.IOCTL_DEV: 5}
_TCP_SINCE: Final = 4
_OF_ONE_FILE: Final = (
    Files.WRITE_FILE | Files.TRUNCATE | Files.IOCTL_DEV | Reading.EXECUTE | Reading.READ_FILE
)
"""The rights that a rule on something other than a folder may name."""


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """The version of Landlock that the kernel speaks; 0 where it has none or it is switched off."""
    answer = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    return max(int(answer), 0)


def deny_changes(writable: Iterable[Path], *, reading: bool = True, tcp: bool = True) -> int:
    """Give up every right to create, write, truncate, remove or rename a file.

    Parameters
    ----------
    writable : iterable of Path
        Existing files and folders (with what is beneath) that stay writable.
    reading : bool
        Whether all other files may still be read and run.
    tcp : bool
        Whether TCP stays allowed; where the kernel cannot deny it, it stays.

    Returns
    -------
    int
        The ABI version that is in force.

    Raises
    ------
    OSError
        If the kernel has no Landlock, or refuses.
    RuntimeError
        If the process has a second thread, which would keep its rights.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError("Landlock must be applied before the process has a second thread")
    abi = abi_version()
    if abi == 0:
        raise OSError("no Landlock")
    handled: int = sum(right for right in Files if _SINCE.get(right, 1) <= abi)
    if not reading:
        handled |= sum(Reading)
    handled_tcp = Tcp(0) if tcp or abi < _TCP_SINCE else Tcp.BIND | Tcp.CONNECT
    attributes = _RulesetAttr(handled, handled_tcp)
    size = ctypes.sizeof(attributes) if abi >= _TCP_SINCE else _RulesetAttr.handled_access_fs.size
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in writable:
            _allow(ruleset, path, handled)
        _no_new_privileges()
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, path: Path, handled: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = handled if path.is_dir() else handled & _OF_ONE_FILE
        rule = _PathBeneathAttr(rights, beneath)
        _call(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_RULE_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(beneath)


def _no_new_privileges() -> None:
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc
