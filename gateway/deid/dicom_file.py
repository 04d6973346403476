"""A DICOM file from anywhere, taken apart without trusting it (PS3.10 section 7.1).

In: a path. Out: the transfer syntax and the encoded dataset. Refused, with `IntakeError`: what is larger than the
limit, has no preamble and `DICM`, or file meta information that is not what PS3.10 asks for. The group length is not
believed.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import Final, NamedTuple

from gateway.dicom import values
from gateway.dicom.walk import CANNOT_UNDERSTAND
from gateway.errors import IntakeError, Word

__all__ = ["DicomFile", "parse_file", "read_file"]

_START: Final = 132
_MOST_META: Final = 64
"""Elements of group 0002; PS3.10 table 7.1-1 has 17."""
_TRANSFER_SYNTAX_UID: Final = 0x0010
_LONG: Final = (b"OB", b"UN", b"UR", b"UT", b"UC")
_VRS: Final = (*_LONG, b"UI", b"UL", b"SH", b"AE", b"LO", b"ST")


class DicomFile(NamedTuple):
    """What is needed of a file."""

    transfer_syntax_uid: str
    dataset: memoryview
    """The encoded dataset, without preamble and file meta information."""


def read_file(path: Path, max_bytes: int) -> DicomFile:
    """Read and take apart one file.

    Raises
    ------
    IntakeError
        FILE_UNREADABLE, DATASET_TOO_LARGE or UID_INVALID.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unreadable("no regular file")
            content = file.read(max_bytes + 1)
    except OSError:
        raise _unreadable("cannot be read") from None
    if len(content) > max_bytes:
        raise IntakeError("DATASET_TOO_LARGE", CANNOT_UNDERSTAND, limit=max_bytes)
    return parse_file(content)


def parse_file(content: bytes) -> DicomFile:
    """Take apart the content of a file.

    Raises
    ------
    IntakeError
        FILE_UNREADABLE or UID_INVALID.
    """
    if content[128:_START] != b"DICM":
        raise _unreadable("no preamble and DICM")
    at, last, syntax = _START, -1, None
    try:
        for _ in range(_MOST_META):
            if at == len(content) or content[at : at + 2] != b"\2\0":
                break
            _, number, vr, length = struct.unpack_from("<HH2sH", content, at)
            if vr not in _VRS or number <= last:
                raise _unreadable("file meta information")
            last = number
            at += 8
            if vr in _LONG:
                (length,) = struct.unpack_from("<L", content, at)
                at += 4
            if at + length > len(content):
                raise _unreadable("file meta information")
            if number == _TRANSFER_SYNTAX_UID:
                syntax = values.uid(content[at : at + min(length, values.MAX_UID + 2)])
                if syntax is None:
                    raise IntakeError("UID_INVALID", CANNOT_UNDERSTAND)
            at += length
        else:
            raise _unreadable("file meta information")
    except struct.error:
        raise _unreadable("file meta information") from None
    if syntax is None:
        raise _unreadable("no transfer syntax")
    return DicomFile(syntax, memoryview(content)[at:])


def _unreadable(why: str) -> IntakeError:
    return IntakeError("FILE_UNREADABLE", CANNOT_UNDERSTAND, because=Word(why))
