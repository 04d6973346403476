"""What de-identifying one slice costs: ours beside pydicom, dicom-anonymizer and dcmodify, in one run.

::

    python -m tests.bench.deid [--rounds 30] [--file IMAGE.dcm]

CPU of one 512 x 512 x 16 bit CT slice, from its encoded bytes to the bytes that may leave. The contenders take turns
within a round, so that what else the machine does meets all of them; the median of the rounds is printed, and its ratio
to ours. They do not do the same: ours builds a fresh dataset from an allow-list, proves each value and searches what is
about to leave; pydicom here removes, empties and replaces what table E.1-1 names at every depth; dicom-anonymizer does
its own reading of the profile; dcmodify erases and replaces the same first-level attributes, one process for a batch of
files on a RAM disk, without its start.
"""

from __future__ import annotations

import argparse
import io
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from gateway.deid.dicom_file import parse_file
from gateway.deid.profile import load_profiles
from gateway.deid.table import load_table
from gateway.deid.tripwire import Tripwire
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits, walk
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made

BATCH = 20
"""Files of one call of dcmodify."""


def typical_slice() -> bytes:
    """A CT slice as a scanner sends it: some hundred attributes, private ones and sequences among them."""
    dataset = made.image(side=512)
    for keyword, value in (
        ("SeriesDescription", "Thorax 3.0 B30f"),
        ("StudyDescription", "CT Thorax planning"),
        ("InstitutionName", "Invented Hospital"),
        ("InstitutionAddress", "1 Invented Street"),
        ("StationName", "CT-INVENTED"),
        ("OperatorsName", "Invented^Operator"),
        ("ManufacturerModelName", "Scanner 9"),
        ("DeviceSerialNumber", "INV-4711"),
        ("ProtocolName", "RT Thorax"),
        ("BodyPartExamined", "CHEST"),
        ("ConvolutionKernel", "B30f"),
        ("PatientAge", "087Y"),
        ("PatientComments", "Invented comment about an invented person"),
        ("ContentDate", "20200102"),
        ("ContentTime", "101112.345000"),
        ("AcquisitionDate", "20200102"),
        ("AcquisitionTime", "101112.345000"),
        ("SliceLocation", "-123.5"),
        ("RequestedProcedureDescription", "Planning"),
        ("PerformedProcedureStepStartDate", "20200102"),
    ):
        setattr(dataset, keyword, value)
    for group in (0x0019, 0x0021, 0x0029, 0x0051):
        block = dataset.private_block(group, f"INVENTED {group:x}", create=True)
        for number in range(12):
            block.add_new(number, "LO" if number % 2 else "DS", f"{group * number % 977}")
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "1", "99INV", "Invented"
    dataset.ProcedureCodeSequence = [procedure]
    values = np.random.default_rng(1).integers(-1000, 1000, (512, 512)).astype("<i2")
    dataset.PixelData = values.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made.part10(dataset)


def ours(content: bytes) -> dict[str, Callable[[], object]]:
    """Our contenders: with and without the tripwire, each step on its own."""
    file = parse_file(content)
    data, syntax = bytes(file.dataset), file.transfer_syntax_uid
    profiles = load_profiles()
    tripwire = Tripwire(profiles)
    key = ClinicKey(b"k" * 32)

    def parsed() -> Instance:
        return parse_instance(data, syntax, limits=WalkLimits())

    instance = parsed()
    pseudonyms = Pseudonyms(key, scope_of(instance, "study"))
    slice_ = deidentify(instance, pseudonyms, profiles[instance.modality])

    def whole(*, with_tripwire: bool) -> None:
        received = parsed()
        outgoing = deidentify(received, pseudonyms, profiles[received.modality])
        if with_tripwire:
            tripwire.check("series", received, outgoing)

    return {
        "ours, bytes in to what leaves": lambda: whole(with_tripwire=False),
        "ours, with the tripwire": lambda: whole(with_tripwire=True),
        "  walk": lambda: walk(data, implicit=instance.implicit, limits=WalkLimits()),
        "  parse (with walk)": parsed,
        "  deidentify": lambda: deidentify(instance, pseudonyms, profiles[instance.modality]),
        "  tripwire": lambda: tripwire.check("series", instance, slice_),
        "  first slice of a series": lambda: Tripwire(profiles).check("series", instance, slice_),
    }


def by_pydicom(content: bytes) -> Callable[[], object]:
    """Read, walk and write: the Basic Profile by table E.1-1."""
    table = load_table()
    uids: dict[str, str] = {}

    def treat(dataset: Dataset, element: pydicom.DataElement) -> None:
        row = table.row(int(element.tag))
        if row is None:
            return
        if "X" in row.basic:
            del dataset[element.tag]
        elif "U" in row.basic:
            element.value = uids.setdefault(str(element.value), generate_uid())
        elif "Z" in row.basic:
            element.value = ""

    def work() -> None:
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.remove_private_tags()
        dataset.walk(treat)
        dataset.save_as(io.BytesIO())

    return work


def by_dicom_anonymizer(content: bytes) -> Callable[[], object] | None:
    try:
        from dicomanonymizer import anonymize_dataset
    except ImportError:
        return None

    def work() -> None:
        dataset = pydicom.dcmread(io.BytesIO(content))
        anonymize_dataset(dataset)
        dataset.save_as(io.BytesIO())

    return work


class ByDcmodify:
    """Erase and replace in place, without backup; CPU of the child for each file."""

    def __init__(self, content: bytes, folder: Path) -> None:
        self._content = content
        self._files = [folder / f"{number}.dcm" for number in range(BATCH)]
        table = load_table()
        tags = [one.tag for one in pydicom.dcmread(io.BytesIO(content)) if not one.tag.is_private]
        self._edits = ["-nb", "-ie", "-ep"]
        for tag in tags:
            row = table.row(int(tag))
            name = f"({tag.group:04X},{tag.element:04X})"
            if row is None:
                continue
            if row.basic == {"U"}:
                self._edits += ["-m", f"{name}=2.25.1"]
            else:
                self._edits += ["-ea" if "X" in row.basic else "-m", name if "X" in row.basic else f"{name}="]

    def seconds(self) -> float:
        return (self._run(self._files) - self._run(self._files[:1])) / (BATCH - 1)

    def _run(self, files: list[Path]) -> float:
        for file in files:
            file.write_bytes(self._content)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["dcmodify", *self._edits, *map(str, files)], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_of(work: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--file", type=Path, help="another image, with native pixels in little endian")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    content = arguments.file.read_bytes() if arguments.file else typical_slice()

    works = ours(content)
    times = dict.fromkeys(works, 20)
    works["pydicom read, walk, write"] = by_pydicom(content)
    anonymizer = by_dicom_anonymizer(content)
    if anonymizer is not None:
        works["dicom-anonymizer"] = anonymizer
    measured: dict[str, list[float]] = {name: [] for name in works}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        dcmodify = ByDcmodify(content, Path(folder)) if shutil.which("dcmodify") else None
        for name, work in works.items():
            seconds_of(work, times.get(name, 1))  # warm up
        for _ in range(arguments.rounds):
            for name, work in works.items():
                measured[name].append(seconds_of(work, times.get(name, 1)))
            if dcmodify is not None:
                measured.setdefault("dcmodify", []).append(dcmodify.seconds())

    first = statistics.median(next(iter(measured.values())))
    elements = len(walk(bytes(parse_file(content).dataset), implicit=False, limits=WalkLimits()).leaf_spans())
    print(f"one slice of {len(content)} bytes, {elements} elements; CPU, median of {arguments.rounds} rounds")
    for name, seconds in measured.items():
        median = statistics.median(seconds)
        low, high = min(seconds), max(seconds)
        print(
            f"{name:32} {1000 * median:8.3f} ms  ({1000 * low:.3f} to {1000 * high:.3f})  {median / first:6.1f} x"
        )


if __name__ == "__main__":
    main()
