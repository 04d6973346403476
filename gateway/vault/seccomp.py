"""Deny single system calls, for this process and its children, for good.

What Landlock does not cover: extended attributes, which can carry data onto a disk, and sockets of every family. A
seccomp filter (seccomp(2), `Documentation/userspace-api/seccomp_filter.rst`) answers such a call with EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from enum import Enum
from typing import Final, NamedTuple


class _Numbers(NamedTuple):
    x86_64: int
    aarch64: int


class Call(Enum):
    """System calls that can be denied, by architecture."""

    SETXATTR = _Numbers(188, 5)
    LSETXATTR = _Numbers(189, 6)
    FSETXATTR = _Numbers(190, 7)
    SETXATTRAT = _Numbers(463, 463)
    TRUNCATE = _Numbers(76, 45)
    SOCKET = _Numbers(41, 198)
    SOCKETPAIR = _Numbers(53, 199)
    IO_URING_SETUP = _Numbers(425, 425)
    """Operations of io_uring do not pass a seccomp filter, so who denies a call denies this too."""


STORE_ATTRIBUTES: Final = (
    Call.SETXATTR,
    Call.LSETXATTR,
    Call.FSETXATTR,
    Call.SETXATTRAT,
    Call.IO_URING_SETUP,
)
OPEN_SOCKETS: Final = (Call.SOCKET, Call.SOCKETPAIR, Call.IO_URING_SETUP)

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT: Final = 0x40000000
_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCH: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def deny(calls: tuple[Call, ...]) -> None:
    """Answer these calls with EPERM from now on; also every call in a foreign calling convention.

    Raises
    ------
    OSError
        If the kernel or the architecture does not support it.
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, "no system call table for this architecture")
    numbers = sorted({getattr(call.value, machine) for call in calls})
    tests = [(_JUMP_IF_EQUAL, number) for number in numbers]
    if machine == "x86_64":
        tests.insert(0, (_JUMP_IF_AT_LEAST, _X32_BIT))
    steps = [
        _Instruction(_LOAD_WORD, 0, 0, _OFFSET_ARCH),
        _Instruction(_JUMP_IF_EQUAL, 0, len(tests) + 2, _AUDIT_ARCH[machine]),
        _Instruction(_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
    ]
    steps += [_Instruction(code, len(tests) - i, 0, value) for i, (code, value) in enumerate(tests)]
    steps += [_Instruction(_RETURN, 0, 0, _ALLOW), _Instruction(_RETURN, 0, 0, _FAIL | errno.EPERM)]
    array = (_Instruction * len(steps))(*steps)
    program = _Program(len(steps), array)
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), none, none, none) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), none, none) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
