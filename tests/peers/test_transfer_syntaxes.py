"""Each transfer syntax is taken with its exact pixels, or refused: never anything between."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, generate_uid

from tests.running import Gateway, running, until

pytestmark = pytest.mark.peer("dcmsend", "storescp")

LOSSLESS = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
]
LOSSY = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
]
HEAD_BYTES = 32
"""Before the samples of what the console gives for a slice."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("syntaxes")) as (gateway, _):
        yield gateway


def two_slices(data: Path, syntax: str, folder: Path) -> None:
    """A series of two: the sample in this transfer syntax, and itself again 5 mm higher."""
    (source,) = (
        path
        for path in (data / "samples" / "ct" / "tsuid_matrix").glob("CTImage.dcm_*")
        if path.name.endswith(f"_{syntax}.dcm")
    )
    series = generate_uid()
    for index in range(2):
        dataset = pydicom.dcmread(source)
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = series, generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.ImagePositionPatient[2] += 5 * index
        dataset.save_as(folder / f"{index}.dcm")


def send(gateway: Gateway, folder: Path) -> str:
    done = subprocess.run(
        ["dcmsend", "-v", "-aet", "PACS", "-aec", "CONTOURGATE", "--decompress-never", "127.0.0.1", str(gateway.port),
         *map(str, sorted(folder.iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def passage_of_two(gateway: Gateway, known: set[str]) -> str | None:
    return next((p["id"] for p in gateway.passages() if p["id"] not in known and p["received"] == 2), None)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: UID(syntax).keyword)
def test_a_lossless_image_leaves_with_its_exact_values(
    gateway: Gateway, data: Path, tmp_path: Path, syntax: str
) -> None:
    original = pydicom.dcmread(data / "samples" / "ct" / "tsuid_matrix" / "CTImage.dcm")
    expected = original.pixel_array * float(original.RescaleSlope) + float(original.RescaleIntercept)
    known = {passage["id"] for passage in gateway.passages()}
    two_slices(data, syntax, tmp_path)
    report = send(gateway, tmp_path)
    passage = until(lambda: passage_of_two(gateway, known), 20, f"the passage; {report[-500:]}")
    until(lambda: gateway.passages()[0]["uploaded"] == 2 or None, 30, "the upload")
    for index in range(2):
        samples = gateway.get(f"/passages/{passage}/slices/{index}.bin")[HEAD_BYTES:]
        values = np.frombuffer(samples, "<i2").reshape(expected.shape)
        assert np.array_equal(values - values.min(), expected - expected.min())


@pytest.mark.parametrize("syntax", LOSSY, ids=lambda syntax: UID(syntax).keyword)
def test_a_lossy_image_is_refused_as_long_as_nobody_lets_it_in(
    gateway: Gateway, data: Path, tmp_path: Path, syntax: str
) -> None:
    known = {passage["id"] for passage in gateway.passages()}
    two_slices(data, syntax, tmp_path)
    report = send(gateway, tmp_path)
    assert "NOT sent to the peer   : 2" in report, report
    assert {passage["id"] for passage in gateway.passages()} == known
