"""What a running gateway takes: memory and descriptors of its processes, and how late its event loop is."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

LAG = "contourgate_event_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What processes take at one moment."""

    vault_bytes: int
    children_bytes: int
    """Resident, of the vault's children: the decoders, the reader, the embedded contourer and its engines."""
    descriptors: int
    """Open in the vault."""
    threads: int
    """Of the vault."""


def footprint(vault: int) -> Footprint:
    """Of a vault, by its process id."""
    children = descendants(vault)
    return Footprint(
        resident_bytes(vault),
        sum(map(resident_bytes, children)),
        len(os.listdir(f"/proc/{vault}/fd")),
        len(os.listdir(f"/proc/{vault}/task")),
    )


def resident_bytes(pid: int) -> int:
    """Resident set size; 0 for a process that has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def waited_s(pid: int) -> float:
    """How long a process's first thread could have run and had no processor, since its start (proc(5), schedstat)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def peak_bytes(pid: int) -> int:
    """The largest resident set size since the start, or since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("the kernel does not tell the peak")


def forget_peak(pid: int) -> None:
    """Let the peak be what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descendants(pid: int) -> list[int]:
    """Process ids of the children, and of theirs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found: list[int] = []
    generation = {pid}
    while generation:
        generation = {child for child, parent in parents.items() if parent in generation}
        found += generation
    return found


def samples(web: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of `/metrics`, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def buckets(web: int, name: str = LAG) -> dict[float, float]:
    """A histogram's cumulative counts by upper bound."""
    return {
        float(dict(labels)["le"]): value
        for (sample, labels), value in samples(web).items()
        if sample == f"{name}_bucket"
    }


def quantile(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float:
    """The quantile of what came between two readings, interpolated within its bucket.

    Raises
    ------
    ValueError
        If nothing came between.
    """
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = max(counts.values())
    if total == 0:
        raise ValueError("nothing was counted")
    wanted, lower, below = share * total, 0.0, 0.0
    for bound, count in counts.items():
        if count >= wanted:
            if bound == float("inf") or count == below:
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    raise ValueError("the counts are not cumulative")


def settled(vault: int, quiet_s: float = 70) -> Footprint:
    """The footprint once the vault's collector came by for the last time after the last passage's end."""
    time.sleep(quiet_s)
    return footprint(vault)
