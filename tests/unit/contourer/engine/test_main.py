"""The engine as the process that it is in service."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pydicom
import pytest

from gateway.demo.phantom import Phantom, phantom_series


def request(slices: list[bytes], announced: int | None = None) -> bytes:
    header = json.dumps({"model": "any", "slices": len(slices) if announced is None else announced}).encode()
    bodies = (len(body).to_bytes(8, "big") + body for body in slices)
    return len(header).to_bytes(4, "big") + header + b"".join(bodies)


def answers(stream: bytes) -> list[tuple[dict, bytes | None]]:
    source, found = io.BytesIO(stream), []
    while length := source.read(4):
        header = json.loads(source.read(int.from_bytes(length, "big")))
        found.append((header, source.read(int.from_bytes(source.read(8), "big")) if header["ok"] else None))
    return found


def engine(sent: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.contourer.engine"],
        input=sent,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def small(part10) -> list[bytes]:
    made = phantom_series(
        Phantom(slices=6, slice_distance_mm=20, matrix=128, pixel_spacing_mm=3.90625, vessels=2)
    )
    return [part10(image) for image in made]


def test_one_process_answers_one_request_after_another(small, few, part10):
    sent = request(small) + request([part10(few[0])]) + request([]) + request(small[::-1])
    ended = engine(sent)
    assert ended.returncode == 0
    assert ended.stderr == b""
    first, one_slice, none, last = answers(ended.stdout)
    assert first[0]["ok"]
    assert first[0]["rois"][0] == "External"
    assert first[0]["seconds"] > 0
    for header, structure_set in (first, last):
        written = pydicom.dcmread(io.BytesIO(structure_set))
        assert [roi.ROIName for roi in written.StructureSetROISequence] == header["rois"]
    assert one_slice[0] == {"ok": False, "code": "TOO_FEW_SLICES", "hint": one_slice[0]["hint"]}
    assert none[0]["code"] == "TOO_FEW_SLICES"
    assert last[0]["rois"] == first[0]["rois"]


def test_a_refusal_in_the_middle_leaves_the_next_request_where_it_is(small):
    ended = engine(request([small[0], b"no DICOM", *small[1:]]) + request(small))
    assert ended.returncode == 0
    broken, sound = answers(ended.stdout)
    assert broken[0]["code"] == "DATASET_UNPARSABLE"
    assert sound[0]["ok"]


def test_a_stream_cut_short_ends_the_process_without_an_answer(small):
    ended = engine(request(small, announced=9))
    assert ended.returncode == 2
    assert ended.stdout == b""


def test_nothing_of_a_dataset_reaches_standard_error(few, part10):
    secret = b"SECRET^NAME"
    for image in few:
        image.PatientName = secret.decode()
    # A date that pydicom warns of, quoting it, and a number whose exception quotes it.
    bad_date = [part10(image).replace(b"19000101", b"19SECRET") for image in few]
    damaged = [part10(image).replace(b"8.0\\8.0", b"SECRETX") for image in few]
    ended = engine(request(bad_date) + request(damaged) + request([b"", secret]))
    assert len(answers(ended.stdout)) == 3
    assert b"SECRET" not in ended.stderr
    assert ended.stderr == b""


def test_a_process_that_lets_exceptions_speak_fails_the_same_measure(few, part10):
    code = "import sys, io, pydicom; float(pydicom.dcmread(io.BytesIO(sys.stdin.buffer.read())).PixelSpacing)"
    damaged = part10(few[0]).replace(b"8.0\\8.0", b"SECRETX")
    ended = subprocess.run([sys.executable, "-c", code], input=damaged, capture_output=True, check=False)
    assert b"SECRET" in ended.stderr
