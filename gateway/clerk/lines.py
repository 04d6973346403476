"""A file of checksummed lines that is only ever appended to.

Each line is the SHA-256 of its text in hexadecimal, a space, the text, a line feed. What is appended is on the disk
when `append` returns. A line that a crash cut off is removed at the next opening; a line that was damaged later is
found and located, never skipped in silence.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIGEST_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One good line."""

    offset: int
    """Where it begins, in bytes."""
    digest: str
    """SHA-256 of the text, hexadecimal."""
    text: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds."""

    lines: tuple[Line, ...]
    damaged: tuple[int, ...]
    """Offsets of lines whose text does not fit their checksum."""
    size: int
    """Bytes up to the end of the last whole line; what follows was cut off by a crash."""
    torn: int
    """Bytes that follow."""


def line_of(text: bytes) -> bytes:
    """The line of a text.

    Raises
    ------
    ValueError
        If the text has a line feed in it.
    """
    if b"\n" in text:
        raise ValueError("a line has no line feed in it")
    return b"%b %b\n" % (hashlib.sha256(text).hexdigest().encode("ascii"), text)


def scan(data: bytes) -> Scan:
    """Read the lines of a file's content, the good and the damaged."""
    lines: list[Line] = []
    damaged: list[int] = []
    offset = 0
    while (end := data.find(b"\n", offset)) >= 0:
        digest = data[offset : offset + _DIGEST_CHARACTERS]
        text = data[offset + _DIGEST_CHARACTERS + 1 : end]
        is_whole = end - offset > _DIGEST_CHARACTERS and data[offset + _DIGEST_CHARACTERS] == 0x20
        if is_whole and hashlib.sha256(text).hexdigest().encode("ascii") == digest:
            lines.append(Line(offset, digest.decode("ascii"), text))
        else:
            damaged.append(offset)
        offset = end + 1
    return Scan(tuple(lines), tuple(damaged), offset, len(data) - offset)


class LineFile:
    """The file, open for appending.

    Parameters
    ----------
    path : Path
        Made with mode 0600 where it does not exist; its folder must.

    Raises
    ------
    OSError
        If it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        try:
            sync_folder(path.parent)
            self._found: Scan | None = scan(self._read())
            self._size = self._found.size
            self._has_rest = self._found.torn > 0
        except OSError:
            os.close(self._descriptor)
            raise

    @property
    def size(self) -> int:
        """Bytes that are on the disk for certain."""
        return self._size

    def take_found(self) -> Scan:
        """What it held when it was opened; once, because it may be much."""
        found, self._found = self._found, None
        if found is None:
            raise RuntimeError("what the file held was taken already")
        return found

    def append(self, texts: Sequence[bytes]) -> None:
        """Put lines at the end and wait for the disk.

        Raises
        ------
        OSError
            Then none of them counts as written: what reached the file of them is removed before the next try.
            `ESTALE` if somebody else changed or replaced the file.
        """
        self._check_untouched()
        if self._has_rest:
            os.ftruncate(self._descriptor, self._size)
            os.fdatasync(self._descriptor)
            self._has_rest = False
        data = memoryview(b"".join(map(line_of, texts)))
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            # After a failed fdatasync the kernel forgets that the pages are not on the disk, so a second call would
            # lie: the lines are removed and written anew instead.
            os.fdatasync(self._descriptor)
        except OSError:
            self._has_rest = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def _check_untouched(self) -> None:
        ours = os.fstat(self._descriptor)
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            raise OSError(errno.ESTALE, "the file was removed") from None
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise OSError(errno.ESTALE, "the file was replaced")
        if ours.st_size != self._size and not self._has_rest:
            raise OSError(errno.ESTALE, "the file was changed")

    def _read(self) -> bytes:
        size = os.fstat(self._descriptor).st_size
        parts = []
        offset = 0
        while offset < size:
            part = os.pread(self._descriptor, size - offset, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, whole or not at all, and wait for the disk.

    Raises
    ------
    OSError
        Then the file is as it was.
    """
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    finally:
        os.close(descriptor)
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises
    ------
    OSError
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
