"""What stands in the memory of a process, as the kernel shows it to root (R5)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_CHUNK = 16 * 2**20
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)$")


def family(process: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [process]
    for each in found:
        found.extend(children.get(each, []))
    return found


def occurrences(process: int, needles: Sequence[bytes]) -> dict[bytes, list[str]]:
    """Where each needle stands in the readable memory of a process.

    Returns
    -------
    dict of bytes to list of str
        For each needle that was found, the address and the mapping of each place.

    Raises
    ------
    PermissionError
        If this account may not look.
    """
    found: dict[bytes, list[str]] = {}
    longest = max(map(len, needles))
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for start, stop, name in _mappings(process):
            for offset in range(start, stop, _CHUNK):
                size = min(_CHUNK + longest, stop - offset)
                try:
                    memory.seek(offset)
                    data = memory.read(size)
                except (OSError, ValueError, OverflowError):  # [vvar], or gone meanwhile
                    continue
                for needle in needles:
                    place = data.find(needle)
                    while place >= 0:
                        found.setdefault(needle, []).append(f"{offset + place:x} {name}")
                        place = data.find(needle, place + 1)
    return found


def around(process: int, needle: bytes, reach: int = 64) -> Iterator[bytes]:
    """The bytes around each place of a needle, to find out who holds it."""
    for place in occurrences(process, [needle]).get(needle, []):
        address = int(place.split()[0], 16)
        with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
            memory.seek(max(0, address - reach))
            yield memory.read(len(needle) + 2 * reach)


def _mappings(process: int) -> Iterator[tuple[int, int, str]]:
    for line in Path(f"/proc/{process}/maps").read_text().splitlines():
        if (match := _MAPPING.match(line)) and match[3] not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
            yield int(match[1], 16), int(match[2], 16), match[3]
