"""The demo's side-by-side view says what really left."""

from __future__ import annotations

from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmwrite
from rich.console import Console

from gateway.config import Config, load
from gateway.demo.disclosure import Disclosure, disclosure_of
from gateway.demo.phantom import Phantom, phantom_series
from gateway.vault.keys import ClinicKey


@pytest.fixture
def config(configuration: Any, tmp_path: Path) -> Config:
    (tmp_path / "var").mkdir()
    ClinicKey.create(tmp_path / "var" / "clinic.key")
    return load(configuration.path)


@pytest.fixture
def disclosure(config: Config) -> Disclosure:
    return disclosure_of(sent(), config)


def sent() -> list[bytes]:
    streams = []
    for image in phantom_series(Phantom(slices=3, matrix=16)):
        stream = BytesIO()
        dcmwrite(stream, image, enforce_file_format=True)
        streams.append(stream.getvalue())
    return streams


def rows_of(disclosure: Disclosure) -> dict[str, str]:
    written = StringIO()
    Console(file=written, width=160, color_system=None).print(disclosure.table())
    lines = written.getvalue().splitlines()
    return {line.split()[0]: line for line in lines if line.strip()}


def test_who_the_patient_is_stands_on_the_hospitals_side_only(disclosure: Disclosure) -> None:
    rows = rows_of(disclosure)
    assert "INVENTED^PHANTOM=架空^模型" in rows["PatientName"]
    assert rows["PatientName"].count("INVENTED") == 1
    assert rows["PatientID"].split()[1] == "DEMO-0001"
    assert rows["PatientBirthDate"].rstrip().endswith(("—", "(empty)"))


def test_a_uid_is_a_pseudonym_on_the_contourers_side(disclosure: Disclosure) -> None:
    _, original, seen = rows_of(disclosure)["SOPInstanceUID"].split()
    assert original != seen
    assert any(pseudonym.startswith(seen.rstrip("…")) for pseudonym in disclosure.pseudonyms)


def test_what_geometry_needs_is_shown_unchanged(disclosure: Disclosure) -> None:
    _, original, seen = rows_of(disclosure)["PixelSpacing"].split()
    assert original == seen
    assert rows_of(disclosure)["PixelData"].split()[1:] == ["512", "bytes"] * 2


def test_every_image_has_its_pseudonym(disclosure: Disclosure, config: Config) -> None:
    assert len(set(disclosure.pseudonyms)) >= 1 + 1 + 3  # the patient, the study, three images
    assert disclosure_of(sent(), config).pseudonyms == disclosure.pseudonyms


def test_the_summary_counts_every_attribute(disclosure: Disclosure) -> None:
    numbers = [int(word) for word in disclosure.summary().replace(":", "").split() if word.isdigit()]
    assert numbers[0] == sum(numbers[1:]) == len(disclosure.lines)
