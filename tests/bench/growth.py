"""Whether a slice costs the same however many there are, and however many associations send.

::

    python -m tests.bench.growth [--side 256] [--associations 1 2 4 8 16] [--slices 100 300 1000 2500 5000]

The whole gateway with its embedded contourer. First so many slices in all, spread over associations that send at once,
each a series of its own; then one association with a series of growing length. Time is per slice: up to the last
C-STORE response, and up to the commit, by when everything is pseudonymised, sealed, uploaded and released, without
the quiet time. Beside it the vault's CPU. The slices are MR images in whose pixels no text is looked for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from pydicom import uid

from tests.running import Gateway, Storescp, until
from tests.soak import stock
from tests.soak.plan import Shipment
from tests.soak.senders import blast

QUIET_S = 1.0
IN_ALL = 800
"""Slices of the first table."""
FLAT = 0.20


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one slice, s."""

    answered: float
    committed: float
    cpu: float


class Bench:
    """A gateway, its TPS and senders in processes of their own."""

    def __init__(self, folder: Path, side: int, most: int) -> None:
        self._folder, self._side = folder, side
        mr = folder / "mr.yaml"
        mr.write_text("extends: contouring-mr\nname: bench-mr\ntext_gate: false\n")
        passage = {"quiet_time_s": QUIET_S, "review_s": 0}
        source = {"ae_title": "PACS", "addresses": ["127.0.0.1"], "max_associations": most}
        self._gateway = Gateway(
            folder,
            {
                "passage": passage,
                "deid": {"profiles": [str(mr)]},
                "sources": [source],
                "limits": {"memory_bytes": 6 * 2**30},
            },
        )
        self._tps = Storescp(folder / "tps", self._gateway.tps)
        self._numbers = count()

    def __enter__(self) -> Bench:
        self._gateway.start()
        self._vault = self._gateway.pids()["vault"]
        return self

    def __exit__(self, *_: object) -> None:
        self._gateway.stop(60)
        self._tps.stop()

    def cost(self, slices: int, associations: int) -> Cost:
        """Send so many slices, an equal share over each association."""
        each = slices // associations
        shipments = [
            Shipment(
                0,
                next(self._numbers),
                "blast",
                each,
                self._side,
                uid.ExplicitVRLittleEndian,
                "MR",
                None,
                False,
                0,
            )
            for _ in range(associations)
        ]
        paths = [stock.write(one, self._folder / f"out{one.number}") for one in shipments]
        known = {passage["id"] for passage in self._gateway.passages()}
        cpu = self._cpu_s()
        with ProcessPoolExecutor(associations, get_context("spawn")) as pool:
            list(pool.map(int, range(associations)))  # the senders are there before the clock runs
            began = time.time()
            sent = pool.map(_send, shipments, paths, [self._gateway.port] * associations)
            accepted, ended = zip(*sent, strict=True)
        if sum(accepted) != each * associations:
            raise RuntimeError(f"{sum(accepted)} of {each * associations} were accepted")

        def is_over() -> bool | None:
            return json.loads(self._gateway.get("/api/status"))["active"] == 0 or None

        until(is_over, 1200, "the delivery")
        passages = [passage for passage in self._gateway.passages() if passage["id"] not in known]
        if {passage["state"] for passage in passages} != {"delivered"} or len(passages) != associations:
            raise RuntimeError("not every series was delivered")
        committed = max(_entered(passage, "committed") for passage in passages) - QUIET_S
        for path in (*self._tps.received(), *(one for group in paths for one in group)):
            path.unlink()
        count_ = each * associations
        return Cost(
            (max(ended) - began) / count_, (committed - began) / count_, (self._cpu_s() - cpu) / count_
        )

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._vault}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _send(shipment: Shipment, paths: Sequence[Path], port: int) -> tuple[int, float]:
    """How many were accepted, and when the last was answered."""
    accepted = len(blast(shipment, paths, port, None).accepted)
    return accepted, time.time()


def _entered(passage: dict[str, object], state: str) -> float:
    history: list[dict[str, str]] = passage["history"]  # type: ignore[assignment]
    at = next(step["at"] for step in history if step["state"] == state)
    return datetime.fromisoformat(at).astimezone(UTC).timestamp()


def table(bench: Bench, title: str, runs: Sequence[tuple[int, int]], rounds: int) -> None:
    """Print what a slice costs for each pair of slices and associations; medians of rounds that take turns."""
    costs: dict[tuple[int, int], list[Cost]] = {run: [] for run in runs}
    for _ in range(rounds):
        for run in runs:
            costs[run].append(bench.cost(*run))
    print(f"\n{title}; ms per slice, median of {rounds}, and beside the first row")
    print(
        f"{'slices':>8}{'associations':>14}{'answered':>10}{'':>7}{'committed':>11}{'':>7}{'vault cpu':>11}{'':>7}"
    )
    medians = {
        run: [statistics.median(getattr(cost, name) for cost in costs[run]) for name in Cost.__slots__]
        for run in runs
    }
    first = medians[runs[0]]
    for (slices, associations), of_run in medians.items():
        cells = "".join(
            f"{1e3 * value:>{width}.2f}{value / reference:>6.2f}x"
            for value, reference, width in zip(of_run, first, (10, 11, 11), strict=True)
        )
        print(f"{slices:>8}{associations:>14}{cells}")
    worst = max(of_run[1] / first[1] for of_run in medians.values())
    print(
        f"committed: at most {worst:.2f} of the first row, {'within' if worst <= 1 + FLAT else 'OVER'} {FLAT:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--associations", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--slices", type=int, nargs="*", default=[100, 300, 1000, 2500, 5000])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="bench-"))
    try:
        with Bench(folder, options.side, max(options.associations, default=1)) as bench:
            bench.cost(200, 1)  # warms up
            if options.associations:
                runs = [(IN_ALL, associations) for associations in options.associations]
                table(bench, f"{IN_ALL} slices in all, {options.side} x {options.side}", runs, options.rounds)
            if options.slices:
                runs = [(slices, 1) for slices in options.slices]
                table(bench, f"one series, {options.side} x {options.side}", runs, 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
