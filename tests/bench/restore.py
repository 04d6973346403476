"""What inspecting and restoring a large structure set costs: ours beside pydicom, in one run.

::

    python -m tests.bench.restore [--slices 200] [--rois 40] [--points 60] [--rounds 9]

CPU from the encoded bytes to the encoded bytes; the contenders take turns within a round, the median of the rounds and
the least are printed. They do not do the same: ours checks every attribute, every UID and every coordinate, and writes
the structure set anew; pydicom reads, replaces the UIDs that it finds in every sequence, sets the patient and writes.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from rich.console import Console
from rich.table import Table

from gateway.dicom.writer import EXPLICIT_VR_LITTLE_ENDIAN, Writer, part10
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.restore import restore
from tests import toy
from tests.toy import Toy

CONTOURS, ROI_CONTOURS, REFERENCED_ROI = 0x30060040, 0x30060039, 0x30060084


def large(passage: Toy, *, rois: int, points: int) -> bytes:
    """A structure set with one contour of every ROI on every slice, to a hundredth of a millimetre.

    The contours of one ROI are encoded by pydicom and repeated: it is slow with so many numbers.
    """
    write = Writer(implicit=False)
    rings = [
        toy.circle(index, radius=15 + 20 * abs(np.sin(index)), points=points)
        for index in range(passage.slices)
    ]
    one = toy.encoded(passage.structure_set(["ROI"], rings).ROIContourSequence[0])
    start = one.index(b"\x06\x30\x40\x00SQ")
    contours = one[start : one.index(write.text(REFERENCED_ROI, b"IS", "1"), start)]
    items = [contours + write.text(REFERENCED_ROI, b"IS", str(number + 1)) for number in range(rois)]
    dataset = passage.structure_set([f"ROI_{number:03}" for number in range(rois)], [])
    del dataset.ROIContourSequence
    around = toy.encoded(dataset)
    at = around.index(b"\x06\x30\x80\x00SQ")
    return part10(
        [around[:at], write.sequence(ROI_CONTOURS, items), around[at:]],
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
    )


def with_pydicom(returned: bytes, originals: Mapping[str, str], source: Dataset) -> bytes:
    """What a straightforward program would do."""
    dataset = dcmread(io.BytesIO(returned))

    def visit(level: Dataset) -> None:
        for tag in level.keys():  # noqa: SIM118 - iterating over the dataset would convert every number
            element = level.get_item(tag)
            if element.VR == "SQ":
                for item in level[tag].value:
                    visit(item)
            elif element.VR == "UI":
                level[tag].value = originals.get(level[tag].value, level[tag].value)

    visit(dataset)
    dataset.PatientName, dataset.PatientID = source.PatientName, source.PatientID
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--rois", type=int, default=40)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    passage = Toy(arguments.slices)
    returned = large(passage, rois=arguments.rois, points=arguments.points)
    expectation, identity, originals = passage.expectation, passage.identity, passage.originals
    found = inspect(returned, expectation)
    profile, at = OutputProfile("tps", roi_name_limit=64), datetime.now(UTC)

    def give_back() -> bytes:
        return restore(found, identity, profile, originals=originals, seed=bytes(32), model="m", at=at)

    contenders: dict[str, Callable[[], object]] = {
        "inspect": lambda: inspect(returned, expectation),
        "restore": give_back,
        "pydicom": lambda: with_pydicom(returned, originals, passage.images[0]),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, call in contenders.items():
            started = time.process_time()
            call()
            taken[name].append(time.process_time() - started)

    console = Console()
    console.print(
        f"{len(returned) / 1e6:.1f} MB in, {len(give_back()) / 1e6:.1f} MB out, "
        f"{found.contour_count} contours, {found.point_count} points"
    )
    table = Table("CPU s", "median", "least")
    for name, seconds in taken.items():
        table.add_row(name, f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
