"""What a passage in flight takes of the vault's memory, and that nothing stays when it has gone.

::

    python -m tests.bench.memory [--slices 5000] [--studies 20] [--side 256]

First one study after another, of growing sizes: the vault's peak resident memory above what it was before, beside the
bytes of the study. Then so many slices in so many studies, two at once; before and after everything has come to rest,
and the vault's collector has been by for the last time, resident memory must be the same within 5 %. The slices are MR
images in whose pixels no text is looked for: that is another process's memory, and takes most of the time.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from pydicom import uid

from tests.running import Gateway, Storescp, until
from tests.soak import stock, watch
from tests.soak.plan import Shipment
from tests.soak.senders import Answers, blast

BOUND = 0.05
AT_ONCE = 2
WARM_UP = 6
"""Studies before anything is measured, sent like the others: what is loaded or allocated once is there by then."""
ONE = (50, 100, 200, 400)


class Bench:
    """A gateway and its TPS, and studies that pass through them.

    Parameters
    ----------
    folder : Path
    side : int
        Of the matrix.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self._folder, self._side = folder, side
        mr = folder / "mr.yaml"
        mr.write_text("extends: contouring-mr\nname: bench-mr\ntext_gate: false\n")
        passage = {"quiet_time_s": 0.5, "review_s": 0}
        self._gateway = Gateway(folder, {"passage": passage, "deid": {"profiles": [str(mr)]}})
        self._tps = Storescp(folder / "tps", self._gateway.tps)
        self._numbers = count()

    def __enter__(self) -> Bench:
        self._gateway.start()
        self.vault = self._gateway.pids()["vault"]
        return self

    def __exit__(self, *_: object) -> None:
        self._gateway.stop(60)
        self._tps.stop()

    def send(self, slices: int) -> None:
        """One study, up to its last response."""
        number = next(self._numbers)
        shipment = Shipment(
            0, number, "blast", slices, self._side, uid.ExplicitVRLittleEndian, "MR", None, False, 0
        )
        folder = self._folder / f"out{number}"
        answers: Answers = blast(shipment, stock.write(shipment, folder), self._gateway.port, None)
        shutil.rmtree(folder)
        if len(answers.accepted) != slices:
            raise RuntimeError(f"{len(answers.accepted)} of {slices} were accepted: {answers}")

    def until_delivered(self) -> None:
        """Wait for every study that was sent, and let the TPS forget them."""

        def is_over() -> bool | None:
            return not [p for p in self._gateway.passages() if p["state"] != "delivered"] or None

        until(is_over, 600, "the delivery")
        for path in self._tps.received():
            path.unlink()

    def pass_through(self, studies: Sequence[int]) -> None:
        """Bring studies of so many slices to the TPS, a few at once: what is in flight is the same all the time."""

        def bring(slices: int) -> None:
            self.send(slices)
            until(lambda: self._has_room() or None, 600, "a delivery")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(bring, studies))
        self.until_delivered()

    def _has_room(self) -> bool:
        under_way = [passage for passage in self._gateway.passages() if passage["state"] != "delivered"]
        return len(under_way) < AT_ONCE

    def peak_of(self, slices: int) -> tuple[int, int]:
        """Resident bytes before one study, and at the most while it passed."""
        before = watch.settled(self.vault, quiet_s=12).vault_bytes
        watch.forget_peak(self.vault)
        self.send(slices)
        self.until_delivered()
        return before, watch.peak_bytes(self.vault)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=5000)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="bench-"))
    try:
        with Bench(folder, options.side) as bench:
            each = options.slices // options.studies
            bench.pass_through([each] * WARM_UP)
            print(f"one study of {options.side} x {options.side} x 16 bit in flight; vault, MiB resident")
            print(f"{'slices':>8}{'pixels':>9}{'before':>9}{'peak':>9}{'taken':>9}{'/ pixels':>10}")
            for slices in ONE:
                before, peak = bench.peak_of(slices)
                pixels = slices * options.side**2 * 2
                print(
                    f"{slices:>8}{pixels / 2**20:>9.1f}{before / 2**20:>9.1f}{peak / 2**20:>9.1f}"
                    f"{(peak - before) / 2**20:>9.1f}{(peak - before) / pixels:>10.2f}",
                    flush=True,
                )
            before = watch.settled(bench.vault).vault_bytes
            watch.forget_peak(bench.vault)
            bench.pass_through([each] * options.studies)
            peak = watch.peak_bytes(bench.vault)
            after = watch.settled(bench.vault).vault_bytes
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    growth = (after - before) / before
    print(
        f"{each * options.studies} slices in {options.studies} studies, {AT_ONCE} at once; vault, MiB resident"
    )
    print(f"  before {before / 2**20:.1f}, peak {peak / 2**20:.1f}, after {after / 2**20:.1f}")
    print(f"  growth {growth:+.1%}, {'within' if abs(growth) <= BOUND else 'OVER'} {BOUND:.0%}")


if __name__ == "__main__":
    main()
