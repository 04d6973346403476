"""How fast a series goes through the whole gateway while it arrives, beside dcmtk's storescp that only receives it.

::

    python -m tests.bench.passage [--runs 5] [--slices 300]

One storescu sends phantom CT slices of 512 x 512 x 16 bit over one association, in turn to storescp (writing to a RAM
disk) and to `gateway run` with its embedded contourer: there each slice is received, parsed, de-identified, searched by
the tripwire, compressed, sealed and uploaded over TLS. Wall time is storescu's. From the last C-STORE response to the
commit counts without the quiet time, which is a setting.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from gateway.demo.phantom import phantom_series
from tests.running import Gateway, Storescp, free_ports

QUIET_S = 1.0


def write(series: Sequence[Dataset], folder: Path) -> None:
    """Write the series under new UIDs."""
    folder.mkdir()
    study, of_series, frame = generate_uid(), generate_uid(), generate_uid()
    for index, dataset in enumerate(series):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = (
            study,
            of_series,
            frame,
        )
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folder / f"{index:04}.dcm", enforce_file_format=True)


def send(folder: Path, port: int, called: str) -> float:
    """Send a folder with storescu; its wall time, s."""
    started = time.perf_counter()
    subprocess.run(
        ["storescu", "-aet", "PACS", "-aec", called, "--max-send-pdu", "131072", "-R", "+sd", "127.0.0.1", str(port),
         str(folder)],
        check=True, env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    return time.perf_counter() - started


def entered(passage: dict[str, object], state: str) -> float:
    """When a passage came to a state, seconds since the epoch."""
    history: list[dict[str, str]] = passage["history"]  # type: ignore[assignment]
    at = next(step["at"] for step in history if step["state"] == state)
    return datetime.fromisoformat(at).astimezone(UTC).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--slices", type=int, default=300)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="bench-"))
    bare: list[float] = []
    whole: list[float] = []
    after: list[float] = []
    delivered: list[float] = []
    gateway = Gateway(folder, {"passage": {"quiet_time_s": QUIET_S, "review_s": 0}})
    tps = Storescp(folder / "tps", gateway.tps)
    (port,) = free_ports(1)
    try:
        series = phantom_series_of(options.slices)
        gateway.start()
        for run in range(options.runs):
            write(series, folder / "series")
            scp = Storescp(folder / f"scp{run}", port, "-pdu", "131072", ae_title="SCP")
            bare.append(send(folder / "series", port, "SCP"))
            scp.stop()
            shutil.rmtree(folder / f"scp{run}")
            whole.append(send(folder / "series", gateway.port, "CONTOURGATE"))
            responded = time.time()
            gateway.until_state("delivered", count=run + 1, limit_s=300)
            passage = gateway.passages()[0]
            after.append(entered(passage, "committed") - responded - QUIET_S)
            delivered.append(entered(passage, "delivered") - entered(passage, "returned"))
            shutil.rmtree(folder / "series")
    finally:
        gateway.stop()
        tps.stop()
        shutil.rmtree(folder)
    reference = statistics.median(bare)
    print(f"{options.slices} slices of 512 x 512 x 16 bit, one storescu, medians of {options.runs} runs")
    for name, times in (("storescp receives", bare), ("gateway: the whole pipeline", whole)):
        median = statistics.median(times)
        print(
            f"  {name:30} {median:6.2f} s  {options.slices / median:6.0f} slices/s  {median / reference:5.2f} x"
        )
    print(
        f"  last response to commit        {statistics.median(after) * 1e3:6.0f} ms (quiet time not counted)"
    )
    print(f"  result here to TPS             {statistics.median(delivered) * 1e3:6.0f} ms")


def phantom_series_of(slices: int) -> list[Dataset]:
    """The demo's phantom with so many slices, each with its file meta information."""
    from gateway.demo.phantom import Phantom

    return list(phantom_series(Phantom(slices=slices)))


if __name__ == "__main__":
    main()
