"""A file system of its own in one file, so that everything that ever reached the disk can be looked through."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.running import until

SIZE_BYTES: Final = 2**30
_PIECE: Final = 16 * 2**20


@contextlib.contextmanager
def mounted(folder: Path, *, at_once: bool = True) -> Iterator[tuple[Path, Path]]:
    """An ext4 file system in `folder`.

    Parameters
    ----------
    folder : Path
    at_once : bool
        Whether every write goes through to the image at once, so that one undone a moment later is seen, too.

    Yields
    ------
    tuple of Path
        The mount point and the image. Unmount happens at the end, if it has not before (`unmount`).
    """
    image, point = folder / "disk.img", folder / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True, check=False)
    if made.returncode == 0:
        options = "loop,sync,dirsync" if at_once else "loop"
        made = subprocess.run(
            ["mount", "-o", options, str(image), str(point)], capture_output=True, check=False
        )
    if made.returncode != 0:
        pytest.skip("this kernel or container mounts no image")
    try:
        yield point, image
    finally:
        unmount(point)


def unmount(point: Path) -> None:
    """Write out what is cached, and let go of the image."""

    def is_free() -> bool | None:
        os.sync()
        command = ["umount", str(point)]
        return not point.is_mount() or not subprocess.run(command, capture_output=True).returncode or None

    until(is_free, 60, "the end of the last process that had a file there")


def found_on(image: Path, needles: Mapping[str, bytes]) -> set[str]:
    """Which needles stand anywhere in an image: in a file, a removed one, a name, a journal."""
    found: set[str] = set()
    longest = max(map(len, needles.values()))
    with image.open("rb") as file:
        for start, stop in _written(file.fileno()):
            for offset in range(start, stop, _PIECE):
                file.seek(max(0, offset - longest))
                data = file.read(_PIECE + longest)
                found |= {name for name, needle in needles.items() if name not in found and needle in data}
    return found


def _written(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that were ever written."""
    end = os.fstat(descriptor).st_size
    start = 0
    while start < end:
        try:
            start = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing more
            return
        stop = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, stop
        start = stop
