"""The contenders: each takes the same files and gives what it would let out of each.

All run as they come, with no rules of ours: `dicom-anonymizer` and `dicognito` on each dataset, `deid` with its own
recipe (private tags removed, its pixel cleaner where its recipe flags a file), Orthanc's `/patients/{id}/anonymize`.
Two are no tools but controls of the scorer: one changes nothing, the other empties every value.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset

from gateway.deid.dicom_file import parse_file
from gateway.deid.profile import load_profiles
from gateway.deid.tripwire import Tripwire
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import DeidentificationError, IntakeError
from gateway.flow.deidentify import deidentify
from gateway.pixels.reader import Recogniser
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests.bench.pixels import first_text
from tests.peers.pacs import Orthanc
from tests.running import free_ports

__all__ = ["CONTROLS", "PEERS", "Outputs", "Tool", "ours", "with_text", "written"]

Outputs = list[bytes | None]
"""A Part 10 file for each input; None where nothing is let out."""
Tool = Callable[[Sequence[bytes]], Outputs]


def written(dataset: FileDataset) -> bytes:
    """A dataset as a Part 10 file."""
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def with_text(contents: Sequence[bytes]) -> set[str]:
    """The SeriesInstanceUIDs of the series in whose pixels the gateway sees text: nothing of them leaves."""
    recogniser = Recogniser()
    series: dict[str, list[FileDataset]] = {}
    for content in contents:
        dataset = pydicom.dcmread(io.BytesIO(content))
        series.setdefault(dataset.SeriesInstanceUID, []).append(dataset)
    return {uid for uid, datasets in series.items() if _has_text(recogniser, datasets)}


def ours(contents: Sequence[bytes], *, held: set[str], linkage: Literal["study", "patient"]) -> Outputs:
    """The gateway's way out, but for the series that are held: parse, de-identify, tripwire."""
    profiles, key = load_profiles(), ClinicKey(b"k" * 32)
    tripwire = Tripwire(profiles)
    outputs: Outputs = []
    for content in contents:
        try:
            instance = _received(content)
            if instance.series_instance_uid in held:
                outputs.append(None)
                continue
            pseudonyms = Pseudonyms(key, scope_of(instance, linkage))
            outgoing = deidentify(instance, pseudonyms, profiles[instance.modality])
            tripwire.check(instance.series_instance_uid, instance, outgoing)
        except (IntakeError, DeidentificationError):
            outputs.append(None)
        else:
            outputs.append(outgoing.part10())
    return outputs


def _received(content: bytes) -> Instance:
    file = parse_file(content)
    return parse_instance(bytes(file.dataset), file.transfer_syntax_uid, limits=WalkLimits())


def _has_text(recogniser: Recogniser, datasets: Sequence[FileDataset]) -> bool:
    slope, intercept = (
        float(datasets[0].get("RescaleSlope", 1)),
        float(datasets[0].get("RescaleIntercept", 0)),
    )
    stack = np.stack([dataset.pixel_array for dataset in datasets]) * slope + intercept
    return bool(first_text(recogniser, str(datasets[0].Modality), np.rint(stack).astype(np.int16)))


def by_dicom_anonymizer(contents: Sequence[bytes]) -> Outputs:
    from dicomanonymizer import anonymize_dataset

    return _each(contents, anonymize_dataset)


def by_dicognito(contents: Sequence[bytes]) -> Outputs:
    from dicognito.anonymizer import Anonymizer

    return _each(contents, Anonymizer(seed="score").anonymize)


def by_deid(contents: Sequence[bytes]) -> Outputs:
    from deid.dicom import DicomCleaner, get_identifiers, replace_identifiers

    with tempfile.TemporaryDirectory() as folder:
        paths = _saved(contents, Path(folder))
        names = [str(path) for path in paths]
        cleaner = DicomCleaner(output_folder=folder)
        for name in names:
            if cleaner.detect(name)["flagged"] and cleaner.clean() is not None:
                shutil.move(cleaner.save_dicom(), name)
        identifiers = get_identifiers(names)
        datasets = [
            replace_identifiers(name, ids={name: identifiers[name]}, deid="dicom", remove_private=True)[0]
            for name in names
        ]
        return [written(dataset) for dataset in datasets]


def by_orthanc(contents: Sequence[bytes]) -> Outputs:
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports(1)
        orthanc = Orthanc(Path(folder) / "orthanc", port, port)
        orthanc.start()
        try:
            return _by_running_orthanc(orthanc, contents)
        finally:
            orthanc.stop()


def _by_running_orthanc(orthanc: Orthanc, contents: Sequence[bytes]) -> Outputs:
    import urllib.request

    stored = [orthanc.ask("/instances", content) for content in contents]
    found: dict[str, bytes] = {}
    for patient in dict.fromkeys(one["ParentPatient"] for one in stored):
        made = orthanc.ask(f"/patients/{patient}/anonymize", b'{"Synchronous": true}')
        for instance in orthanc.ask(f"/patients/{made['PatientID']}/instances"):
            address = f"http://127.0.0.1:{orthanc.web}/instances/{instance['ID']}"
            with urllib.request.urlopen(f"{address}/metadata/AnonymizedFrom", timeout=60) as answer:
                source = answer.read().decode()
            with urllib.request.urlopen(f"{address}/file", timeout=60) as answer:
                found[source] = answer.read()
    return [found.get(one["ID"]) for one in stored]


def unchanged(contents: Sequence[bytes]) -> Outputs:
    return list(contents)


def emptied(contents: Sequence[bytes]) -> Outputs:
    def empty(dataset: Dataset) -> None:
        for element in list(dataset):
            dataset[element.tag].value = None

    return _each(contents, empty)


def _each(contents: Sequence[bytes], anonymise: Callable[[Any], object]) -> Outputs:
    outputs: Outputs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in contents:
            dataset = pydicom.dcmread(io.BytesIO(content))
            anonymise(dataset)
            outputs.append(written(dataset))
    return outputs


def _saved(contents: Sequence[bytes], folder: Path) -> list[Path]:
    paths = [folder / f"{number}.dcm" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def _if_module(name: str, tool: Tool) -> Tool | None:
    logging.getLogger(name).setLevel(logging.CRITICAL)
    return tool if importlib.util.find_spec(name) else None


PEERS: dict[str, Tool | None] = {
    "dicom-anonymizer": _if_module("dicomanonymizer", by_dicom_anonymizer),
    "dicognito": _if_module("dicognito", by_dicognito),
    "deid": _if_module("deid", by_deid),
    "Orthanc": by_orthanc if shutil.which("Orthanc") or Path("/usr/sbin/Orthanc").exists() else None,
}
"""None stands for a tool that is not installed."""
CONTROLS: dict[str, Tool] = {"changes nothing": unchanged, "empties all": emptied}
