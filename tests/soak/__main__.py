"""A whole gateway under mixed senders and intruders for so long; nothing that was accepted may be lost.

::

    python -m tests.soak [--minutes 2] [--seed 1] [--lanes 4]

Every lane stores one made series after another, as its plan says (`plan`), beside two lanes of intruders. A fifth of
the time warms up; then everything comes to rest and memory is read, and again at the end. A person's part is played
too: whatever is held is counted with its reason and cancelled. Ends with 1 if an accepted instance is neither at the
TPS nor was held, if a sender that should have been served was not, or an intruder not turned away.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.vault.keys import ClinicKey
from tests.running import Gateway, Storescp, until
from tests.soak import intruders, stock, watch
from tests.soak.balance import Balance, pseudonym_of
from tests.soak.plan import SENDERS, Shipment, shipments
from tests.soak.senders import SEND

WARM_UP = 0.2
LAG_LIMIT_S = 0.02
AT_ONCE = 12
"""Passages under way, from which on no lane begins another series."""
PLAIN_EVERY_S = 15.0
REST_S = 600.0
"""In which everything must have come to its end once nobody sends any more."""


class Soak:
    """One run.

    Parameters
    ----------
    folder : Path
        For the gateway, the TPS and what is sent.
    seed, lanes : int
    """

    def __init__(self, folder: Path, seed: int, lanes: int) -> None:
        self._folder = folder
        self._seed = seed
        mr = folder / "mr.yaml"
        mr.write_text("extends: contouring-mr\nname: soak-mr\ntext_gate: false\n")
        self._plans = [shipments(seed, lane) for lane in range(lanes)]
        self._crowds = [random.Random(f"intruder {seed} {number}") for number in range(2)]
        self.gateway = Gateway(
            folder,
            {
                "sources": [
                    {"ae_title": "PACS", "addresses": ["127.0.0.1"]},
                    {"ae_title": intruders.AE_TITLE, "addresses": [intruders.FROM]},
                ],
                "passage": {"quiet_time_s": 0.5, "deadline_s": 1800, "review_s": 0},
                "limits": dict(intruders.LIMITS),
                "deid": {"profiles": [str(mr)]},
            },
        )
        self.balance = Balance()
        self.intrusions: Counter[str] = Counter()
        self._console = Console()
        self._stopped = threading.Event()

    def __enter__(self) -> Soak:
        self._tps = Storescp(self._folder / "tps", self.gateway.tps)
        try:
            self.gateway.start()
        except BaseException:
            self._tps.stop()
            raise
        self._key = ClinicKey.load(self._folder / "var" / "clinic.key")
        self.vault = self.gateway.pids()["vault"]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            print(self.gateway.log.read_text(errors="replace")[-4000:], file=sys.stderr)
        self.gateway.stop(60)
        self._tps.stop()

    def load(self, seconds: float, name: str) -> tuple[float, float]:
        """Send and intrude for so long, and tell how it goes.

        Returns
        -------
        tuple of float
            The event loop's lag meanwhile (p99), s, and the share of the time in which it waited for a processor.
        """
        self._stopped.clear()
        before, waited_s, began = (
            watch.buckets(self.gateway.web),
            watch.waited_s(self.vault),
            time.monotonic(),
        )
        with ThreadPoolExecutor(len(self._plans) + len(self._crowds)) as pool:
            work = [pool.submit(self._ship, lane) for lane in range(len(self._plans))]
            work += [pool.submit(self._intrude, chance) for chance in self._crowds]
            try:
                self._tell(seconds, name)
                after = watch.buckets(self.gateway.web)
                waiting = (watch.waited_s(self.vault) - waited_s) / (time.monotonic() - began)
            finally:
                self._stopped.set()
        for one in work:
            one.result()
        return watch.quantile(before, after, 0.99), waiting

    def rest(self) -> None:
        """Wait until nothing is under way, and take in what the TPS got."""

        def is_over() -> bool | None:
            self._decide()
            return self._status()["active"] + self._status()["held"] == 0 or None

        until(is_over, REST_S, "the end of every passage")
        for path in self._tps.received():
            self.balance.delivered(path)
            path.unlink()

    def _ship(self, lane: int) -> None:
        others = cycle(SENDERS)
        while not self._stopped.is_set():
            if self._status()["active"] >= AT_ONCE:
                time.sleep(0.2)
                continue
            shipment = next(self._plans[lane])
            self.balance.open(shipment, pseudonym_of(shipment, self._key))
            folder = self._folder / "out" / str(lane)
            try:
                paths = stock.write(shipment, folder)
                self._send(shipment, shipment.sender, paths, shipment.breaks_after)
                if shipment.breaks_after is not None and shipment.comes_again:
                    self._send(shipment, next(others), paths, None)
            finally:
                shutil.rmtree(folder)

    def _send(self, shipment: Shipment, sender: str, paths: list[Path], breaks_after: int | None) -> None:
        try:
            answers = SEND[sender](shipment, paths, self.gateway.port, breaks_after)
        except OSError as error:
            self.balance.failed(f"{sender}: {type(error).__name__}")
            return
        self.balance.answered(shipment, sender, answers, broke_off=breaks_after is not None)

    def _intrude(self, chance: random.Random) -> None:
        while not self._stopped.is_set():
            intrusion = intruders.intrude(self.gateway.port, chance)
            self.intrusions[intrusion.kind] += 1
            if not intrusion.was_turned_away:
                self.balance.failed(f"{intrusion.kind} was not turned away")

    def _decide(self) -> None:
        """Count what is held, with its reason, and cancel it."""
        if not self._status()["held"]:
            return
        for passage in self.gateway.passages():
            if passage["state"] != "held":
                continue
            self.balance.was_held(passage["pseudonym"], passage["reason"]["code"], passage["received"])
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.gateway.web}/api/passages/{passage['id']}/cancel",
                method="POST",
                headers={"X-Contourgate": "1"},
            )
            urllib.request.urlopen(request, timeout=10).close()

    def _status(self) -> dict[str, int]:
        status: dict[str, int] = json.loads(self.gateway.get("/api/status"))
        return status

    def _tell(self, seconds: float, name: str) -> None:
        began = last = time.monotonic()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while (now := time.monotonic()) < began + seconds:
                time.sleep(1)
                self._decide()
                line = self._line(name, began + seconds - now)
                if self._console.is_terminal:
                    live.update(Text(line), refresh=True)
                elif now - last >= PLAIN_EVERY_S:
                    print(line, flush=True)
                    last = now
                if self.gateway.process.poll() is not None:
                    raise RuntimeError("the gateway has ended")

    def _line(self, name: str, left_s: float) -> str:
        taken, status, balance = watch.footprint(self.vault), self._status(), self.balance
        return (
            f"{name}, {left_s:4.0f} s left: {balance.shipments} series, {balance.sent} sent, "
            f"{balance.accepted} accepted, {status['active']} passages under way, {status['done']} done; "
            f"{balance.broken_off} broken off, {sum(self.intrusions.values())} intruders; "
            f"vault {taken.vault_bytes / 2**20:.0f} MiB, {taken.descriptors} descriptors"
        )


def report(
    soak: Soak,
    footprints: dict[str, watch.Footprint],
    lag_s: float,
    idle_s: float,
    waiting: float,
    most: float,
) -> None:
    """Print the tables."""
    console, balance = Console(width=110), soak.balance
    counts = Table("", "count", title="instances", min_width=60)
    counts.add_row("sent", str(balance.sent))
    for sender, count in sorted(balance.by_sender.items()):
        counts.add_row(f"  by {sender}", str(count))
    counts.add_row("accepted", str(balance.accepted))
    refused = watch.samples(soak.gateway.web)
    for (name, labels), value in sorted(refused.items()):
        outcome = dict(labels).get("outcome")
        if name == "contourgate_instances_total" and outcome != "accepted":
            counts.add_row(f"refused: {outcome}", f"{value:.0f}")
    counts.add_row("delivered", str(balance.delivered_instances))
    counts.add_row("lost", str(balance.lost), style="bold")
    console.print(counts)

    passages = Table("", "count", title="passages and intruders", min_width=60)
    passages.add_row("series", str(balance.shipments))
    passages.add_row("broken off by the sender", str(balance.broken_off))
    passages.add_row("structure sets at the TPS", str(balance.structure_sets))
    for code, count in sorted(balance.held.items()):
        passages.add_row(f"held: {code}", str(count))
    for kind, count in sorted(soak.intrusions.items()):
        passages.add_row(f"intruder: {kind}", str(count))
    for (name, labels), value in sorted(refused.items()):
        if name in ("contourgate_connections_refused_total", "contourgate_aborts_total"):
            passages.add_row(f"turned away: {dict(labels)['reason']}", f"{value:.0f}")
    for failure, count in sorted(balance.failures.items()):
        passages.add_row(f"MUST NOT BE: {failure}", str(count), style="bold")
    console.print(passages)

    memory = Table("at rest", "vault MiB", "children MiB", "descriptors", "threads", title="footprint")
    for moment, taken in footprints.items():
        memory.add_row(
            moment,
            f"{taken.vault_bytes / 2**20:.1f}",
            f"{taken.children_bytes / 2**20:.1f}",
            str(taken.descriptors),
            str(taken.threads),
        )
    console.print(memory)
    print(f"vault at its peak: {most / 2**20:.0f} MiB")
    verdict = "within" if lag_s <= LAG_LIMIT_S else "OVER"
    print(
        f"event loop lag under load, p99: {lag_s * 1e3:.1f} ms, {verdict} {LAG_LIMIT_S * 1e3:.0f} ms "
        f"(an idle process on this machine meanwhile: {idle_s * 1e3:.1f} ms; "
        f"the event loop's thread waited for a processor {waiting:.1%} of the time)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=4)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # not without ending what was started
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=memory if memory.is_dir() else None))
    seconds = 60 * options.minutes
    print(f"seed {options.seed}, {options.lanes} lanes, {options.minutes:g} minutes", flush=True)
    footprints: dict[str, watch.Footprint] = {}
    try:
        with Soak(folder, options.seed, options.lanes) as soak:
            time.sleep(2)
            footprints["start"] = watch.footprint(soak.vault)
            soak.load(WARM_UP * seconds, "warm-up")
            soak.rest()
            footprints["after warm-up"] = watch.settled(soak.vault)
            idle = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.idle"], stdout=subprocess.PIPE, text=True
            )
            try:
                lag_s, waiting = soak.load((1 - WARM_UP) * seconds, "soak")
            finally:
                idle.send_signal(signal.SIGTERM)
                idle_s = float(idle.communicate()[0])
            soak.rest()
            footprints["end"] = watch.settled(soak.vault)
            report(soak, footprints, lag_s, idle_s, waiting, watch.peak_bytes(soak.vault))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lost, failures = soak.balance.lost, sum(soak.balance.failures.values())
    for shipment in soak.balance.lost_shipments():
        print(f"lost of {shipment}")
    print("nothing was lost" if not lost else f"{lost} instances were lost")
    return 1 if lost or failures else 0


if __name__ == "__main__":
    sys.exit(main())
