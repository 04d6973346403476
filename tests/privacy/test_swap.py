"""Nothing of a patient is ever swapped out (R2): the kernel is told to, on a swap file of its own, and cannot.

`MADV_PAGEOUT` asks the kernel for every page of the vault and its children, while an identity is in memory; the swap
file is looked through afterwards. The controls: a vault without its lockdown, and whether the kernel swaps at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.privacy.leak import leaking
from tests.privacy.memory import family
from tests.privacy.ordeal import Ordeal, needles, words
from tests.running import Gateway, until

pytestmark = [
    pytest.mark.peer("dcmsend", "storescp", "mkswap", "swapon"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may swap another process out"),
]

SWAP_BYTES = 2**28
_PIDFD_OPEN, _PROCESS_MADVISE, _MADV_PAGEOUT = 434, 440, 21
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r")
READER = "gateway.pixels.reader"
_PIECE = 16 * 2**20


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@pytest.fixture
def swap(tmp_path: Path) -> Iterator[Path]:
    """A swap file in use."""
    file = tmp_path / "swap"
    with file.open(
        "wb"
    ) as out:  # written, not only allocated: what was never written reads as zeros for good
        for _ in range(SWAP_BYTES // _PIECE):
            out.write(bytes(_PIECE))
        os.fsync(out.fileno())
    file.chmod(0o600)
    subprocess.run(["mkswap", "-q", str(file)], check=True, capture_output=True)
    if subprocess.run(["swapon", "-p", "100", str(file)], capture_output=True, check=False).returncode != 0:
        pytest.skip("this kernel or container lets nobody add a swap file")
    try:
        yield file
    finally:
        subprocess.run(["swapoff", str(file)], check=True, capture_output=True, timeout=120)


def page_out(process: int) -> None:
    """Ask the kernel to swap out all of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_PIDFD_OPEN, process, 0)
    assert descriptor >= 0
    try:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            if match := _MAPPING.match(line):
                start, stop = int(match[1], 16), int(match[2], 16)
                span = _Span(start, stop - start)
                # EINVAL for what is locked, and for what is not memory
                libc.syscall(_PROCESS_MADVISE, descriptor, ctypes.byref(span), 1, _MADV_PAGEOUT, 0)
    finally:
        os.close(descriptor)


def kilobytes(process: int, field: str) -> int:
    """A field of /proc/PID/status."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def on_swap(file: Path) -> set[str]:
    """Which needles stand in the swap file itself, not in what is cached of it."""
    found: set[str] = set()
    with file.open("rb") as swapped:
        os.posix_fadvise(swapped.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before = b""
        while piece := swapped.read(_PIECE):
            data = before + piece
            found |= {name for name, needle in needles().items() if name not in found and needle in data}
            before = piece[-256:]
    return found


@contextlib.contextmanager
def holding_an_identity(folder: Path, environment: dict[str, str]) -> Iterator[list[int]]:
    """A gateway with a patient in memory; the vault and its children."""
    ordeal = Ordeal(
        Gateway(folder, {"passage": {"drain_s": 0}}), folder / "images", folder / "tps", environment
    )
    with ordeal.running():
        ordeal.arrives(1)
        (vault,) = [pid for pid in family(ordeal.gateway.process.pid) if " vault " in words(pid)]
        yield [pid for pid in family(vault) if words(pid)]


def test_an_identity_in_memory_is_not_swapped_out(tmp_path: Path, swap: Path) -> None:
    with holding_an_identity(tmp_path, {}) as members:
        for process in members:
            page_out(process)
        assert on_swap(swap) == set()
        vault = members[0]
        assert kilobytes(vault, "VmLck") >= kilobytes(vault, "RssAnon")
        assert kilobytes(vault, "VmSwap") == 0


def test_every_child_that_reads_an_image_as_it_came_is_locked_too(tmp_path: Path, swap: Path) -> None:
    with holding_an_identity(tmp_path, {}) as members:
        (reader,) = [process for process in members if READER in words(process)]
        until(lambda: kilobytes(reader, "VmLck") or None, 120, "the lock of the reader")  # before it reads
        before = kilobytes(reader, "VmSwap")
        page_out(reader)
        assert kilobytes(reader, "VmSwap") <= before


def test_control_a_vault_that_is_not_locked_is_swapped_out_and_found(tmp_path: Path, swap: Path) -> None:
    with holding_an_identity(tmp_path, leaking(tmp_path / "site")) as members:
        page_out(members[0])
        if kilobytes(members[0], "VmSwap") == 0:
            pytest.skip("this kernel swaps nothing out when asked")
        assert {"PatientID in ascii", "UIDs"} <= on_swap(swap)
