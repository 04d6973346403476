"""Identifiers in and around the pixels, in the file around the dataset, and in compressed streams."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import EnhancedCTImageStorage, SecondaryCaptureImageStorage

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.dicom_file import parse_file
from gateway.deid.preview import Previewer
from gateway.deid.table import load_table
from gateway.dicom.contexts import LOSSLESS, LOSSY, NATIVE, RARE
from gateway.dicom.decode import Transcoder
from gateway.errors import DeidentificationError, IntakeError, PassageUnfit
from gateway.flow.declared import check_declared
from tests import made
from tests.deid.canary import Canary
from tests.deid.way_out import EXPLICIT, KEY, PROFILES, deidentified, everything, received
from tests.raw import element

WORD = Canary("ZQUEXFORD77")
UIDS = {"1.2.840.10008.1.2.4.57": "JPEGProcess14TransferSyntax", "1.2.840.10008.1.2.4.70": "JPEGProcess14SV1"}


def overlay_in_unused_bits(signed: bool) -> tuple[pydicom.Dataset, np.ndarray]:
    """A 12-bit image with a picture of its own in bits 12 to 15, and the values that are stored."""
    dataset = made.image(side=32)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(signed)
    values = np.random.default_rng(7).integers(0, 4096, (32, 32)).astype("<u2")
    picture = np.frombuffer(WORD.text.encode() * 94, "u1")[:1024].reshape(32, 32) & 0xF
    dataset.PixelData = (values | (picture.astype("<u2") << 12)).tobytes()
    stored = values.astype(int)
    return dataset, np.where(stored > 2047, stored - 4096, stored) if signed else stored


@pytest.mark.parametrize("signed", [False, True])
def test_an_overlay_in_the_unused_bits_is_gone_and_the_stored_values_are_not(signed: bool) -> None:
    """Case 14."""
    dataset, stored = overlay_in_unused_bits(signed)
    slice_ = deidentified(received(made.encoded(dataset)))
    words = np.frombuffer(slice_.pixels, "<u2")
    top = words >> 12
    assert set(top) <= ({0, 0xF} if signed else {0})
    if signed:
        assert ((top == 0xF) == (words & 0x800 > 0)).all()
    assert (np.frombuffer(slice_.pixels, "<i2" if signed else "<u2").reshape(32, 32) == stored).all()


def test_control_the_overlay_is_there_before() -> None:
    dataset, _ = overlay_in_unused_bits(signed=False)
    assert len(set(np.frombuffer(dataset.PixelData, "<u2") >> 12)) > 4


@pytest.mark.parametrize(
    "preamble", [WORD.text.encode(), b"MZ\x90\0" + WORD.text.encode(), b"\x7fELF\2\1\1\0"]
)
def test_preamble_and_file_meta_information_stay(preamble: bytes) -> None:
    """Cases 18 and 19."""
    meta = element(0x00020010, b"UI", EXPLICIT.encode() + b"\0")
    meta += element(0x00020016, b"AE", b"ZQUEXFORD77 ") + element(0x00020017, b"AE", b"ZQUEXFORD77 ")
    meta += element(0x00020100, b"UI", b"1.2\0") + element(0x00020102, b"OB", b"ZQUEXFORD77\0")
    content = preamble.ljust(128, b"\0") + b"DICM" + meta + made.encoded(made.image())
    out = everything(deidentified(received(bytes(parse_file(content).dataset))))
    assert WORD.found_in(content)
    assert WORD.found_in(out) == set()
    assert out[:128] == bytes(128)


@pytest.mark.parametrize(
    "uid", [SecondaryCaptureImageStorage, EnhancedCTImageStorage, "1.2.840.10008.5.1.4.1.1.88.67"]
)
def test_secondary_captures_and_multi_frames_do_not_get_here(uid: str) -> None:
    """Cases 31 and 32."""
    dataset = made.image()
    dataset.SOPClassUID = uid
    with pytest.raises(IntakeError) as caught:
        received(made.encoded(dataset))
    assert caught.value.dimse_status == 0x0122


def test_a_mosaic_in_one_frame_cannot_hide_its_frames() -> None:
    dataset = made.image()
    dataset.NumberOfFrames = "4"
    with pytest.raises(IntakeError) as caught:
        received(made.encoded(dataset))
    assert caught.value.dimse_status == 0xA900


def test_a_localizer_is_not_made_an_axial_image() -> None:
    """Case 32: the gate that holds localizers must not be deceived, nor the contourer."""
    dataset = made.image()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]
    header = deidentified(received(made.encoded(dataset))).header
    assert b"ORIGINAL\\PRIMARY\\LOCALIZER" in header
    assert b"SOM5" not in header


NOT_SLICES = {
    "a localizer": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    "a Siemens topogram": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 TOP"],
    "a screen save": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
    "a dose sheet": ["DERIVED", "SECONDARY", "DOSE_INFO"],
    "a protocol": ["ORIGINAL", "SECONDARY", "OTHER", "PATIENT PROTOCOL"],
    "a mosaic": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"],
    "a rendering": ["DERIVED", "SECONDARY", "VOLUME RENDERING"],
}


@pytest.mark.parametrize("image_type", NOT_SLICES.values(), ids=NOT_SLICES)
def test_what_is_declared_to_be_no_slice_is_held_without_a_word_of_the_sender(image_type: list[str]) -> None:
    """Case 32; an axial image is the control."""
    dataset = made.image()
    check_declared(received(made.encoded(dataset)))
    dataset.ImageType = [*image_type, WORD.text]
    with pytest.raises(PassageUnfit) as held:
        check_declared(received(made.encoded(dataset)))
    assert held.value.code == "NOT_IMAGES"
    assert WORD.found_in(f"{held.value} {held.value.facts}".encode()) == set()


def test_a_header_that_claims_3_gb_is_refused_at_once() -> None:
    """Case 39."""
    data = made.encoded(made.image())
    at = data.index(b"\xe0\x7f\x10\0OW") + 8
    with pytest.raises(IntakeError) as caught:
        received(data[:at] + struct.pack("<L", 3_000_000_000) + data[at + 4 :])
    assert caught.value.code == "DATASET_UNPARSABLE"


@pytest.fixture
async def transcoder() -> AsyncIterator[Transcoder]:
    transcoder = Transcoder(processes=1)
    yield transcoder
    await transcoder.close()


async def decoded(transcoder: Transcoder, content: bytes) -> DeidentifiedSlice:
    file = parse_file(content)
    return deidentified(received(await transcoder.to_native(file.dataset, file.transfer_syntax_uid, 2**24)))


def big_endian(content: bytes) -> bytes:
    """A big endian element of undefined length, with content."""
    return struct.pack(">HH2sHL", 0x0040, 0x0260, b"SQ", 0, 0xFFFFFFFF) + content


def in_big_endian(added: bytes) -> bytes:
    """A made image in explicit VR big endian, with something put before its group 7FE0."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = False, False
    dataset = made.image()
    dataset["PixelData"].value = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    write_dataset(stream, dataset)
    data = stream.getvalue()
    at = data.index(b"\x7f\xe0\0\x10OW")
    return data[:at] + added + data[at:]


NAMED = struct.pack(">HH2sH", 0x0010, 0x0010, b"PN", 12) + WORD.text.encode() + b" "
ITEM, ITEM_END, SEQUENCE_END = (struct.pack(">HHL", 0xFFFE, tag, length) for tag, length in
                                ((0xE000, 0xFFFFFFFF), (0xE00D, 0), (0xE0DD, 0)))  # fmt: skip


async def test_a_big_endian_sequence_of_undefined_length_stays(transcoder: Transcoder) -> None:
    """Case 39."""
    data = in_big_endian(big_endian(ITEM + NAMED + ITEM_END + SEQUENCE_END))
    assert WORD.found_in(data)
    native = await transcoder.to_native(data, "1.2.840.10008.1.2.2", 2**24)
    assert everything(deidentified(received(native))) == everything(deidentified(made.instance()))


@pytest.mark.parametrize(
    "content",
    [ITEM + NAMED + ITEM_END, ITEM + NAMED, ITEM + NAMED + SEQUENCE_END, NAMED, b""],
    ids=["without its end", "within an item", "an item without end", "no item", "nothing"],
)
async def test_a_big_endian_sequence_without_an_end_is_refused(
    transcoder: Transcoder, content: bytes
) -> None:
    """Case 39."""
    data = in_big_endian(big_endian(content))

    async def leaves() -> None:
        deidentified(received(await transcoder.to_native(data, "1.2.840.10008.1.2.2", 2**24)))

    with pytest.raises((IntakeError, DeidentificationError)) as refused:
        await leaves()
    assert WORD.found_in(str(refused.value).encode()) == set()


def with_segment(content: bytes, marker: bytes, after: bytes) -> bytes:
    """A compressed file with a segment that carries the canary behind a marker, in its only fragment."""
    at = content.index(after)
    item_at = content.rindex(b"\xfe\xff\x00\xe0", 0, at)
    length = struct.unpack_from("<L", content, item_at + 4)[0]
    segment = marker + struct.pack(">H", 2 + 12) + b"ZQUEXFORD77\0"
    content = content[: item_at + 4] + struct.pack("<L", length + len(segment)) + content[item_at + 8 :]
    return content[: at + len(after)] + segment + content[at + len(after) :]


@pytest.mark.parametrize("marker", [b"\xff\xfe", b"\xff\xe1", b"\xff\xed"], ids=["COM", "APP1", "APP13"])
async def test_comments_of_jpeg_streams_stay(data: Path, transcoder: Transcoder, marker: bytes) -> None:
    """Case 25."""
    path = next((data / "samples/ct/tsuid_matrix").glob("*JPEGProcess14SV1*"))
    content = path.read_bytes()
    planted = with_segment(content, marker, b"\xff\xd8")
    assert WORD.found_in(planted)
    out = await decoded(transcoder, planted)
    assert WORD.found_in(everything(out)) == set()
    assert bytes(out.pixels) == bytes((await decoded(transcoder, content)).pixels)


async def test_comments_of_jpeg_2000_streams_stay(data: Path, transcoder: Transcoder) -> None:
    """Case 25."""
    path = next((data / "samples/ct/tsuid_matrix").glob("*JPEG2000LosslessOnly*"))
    content = path.read_bytes()
    at = content.index(b"\xff\x4f\xff\x51") + 2
    size = struct.unpack_from(">H", content, at + 2)[0]
    planted = with_segment(content, b"\xff\x64", content[at - 2 : at + 2 + size])
    assert WORD.found_in(planted)
    out = await decoded(transcoder, planted)
    assert WORD.found_in(everything(out)) == set()
    assert bytes(out.pixels) == bytes((await decoded(transcoder, content)).pixels)


async def test_one_slice_leaves_alike_in_every_lossless_transfer_syntax(
    data: Path, transcoder: Transcoder
) -> None:
    wanted = ("BigEndian", "Deflated", "LosslessOnly", "JPEGLSLossless", "Process14", "LittleEndian", "RLE")
    outs = {}
    for path in sorted((data / "samples/ct/tsuid_matrix").glob("CTImage.dcm_*")):
        if any(word in path.name for word in wanted):
            file = parse_file(path.read_bytes())
            native: bytes | memoryview = file.dataset
            implicit = file.transfer_syntax_uid == "1.2.840.10008.1.2"
            if not implicit and file.transfer_syntax_uid != EXPLICIT:
                native = await transcoder.to_native(native, file.transfer_syntax_uid, 2**24)
            slice_ = deidentified(received(bytes(native), implicit=implicit))
            outs[path.name] = bytes(slice_.pixels)
    assert len(outs) >= 8
    assert len(set(outs.values())) == 1


def test_every_file_there_is_has_a_clear_answer_in_bounded_time_and_memory(
    data: Path, tmp_path: Path
) -> None:
    """The command `gateway deid preview` over every sample and every hostile file."""
    command = [sys.executable, "-m", "gateway", "deid", "preview", "--json", "--accept-lossy"]
    command += ["--out", str(tmp_path / "out"), str(data / "samples"), str(data / "malformed")]
    with (tmp_path / "told").open("wb") as told, (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(command, stdout=told, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1, "nothing leaves of some of them"
    assert (tmp_path / "errors").read_bytes() == b""
    assert used.ru_utime + used.ru_stime < 60
    assert used.ru_maxrss < 512 * 1024  # KiB
    answers = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert len(answers) > 600
    leaving = [answer for answer in answers if answer["leaves"]]
    assert len(leaving) > 200
    assert all(answer["code"] for answer in answers if not answer["leaves"])
    assert not any("malformed" in answer["file"] for answer in leaving)
    for answer in leaving:
        assert pydicom.dcmread(answer["written"]).pixel_array.ndim == 2


async def test_a_preview_of_every_transfer_syntax_that_is_taken_shows_what_leaves(
    data: Path, transcoder: Transcoder
) -> None:
    """Lossless ones as they come, the others where the configuration accepts them."""
    table = load_table()
    previewers = {
        accept: Previewer(PROFILES, table, KEY, transcoder.to_native, max_bytes=2**26, accept_lossy=accept)
        for accept in (False, True)
    }
    seen = set()
    for path in sorted((data / "samples/ct/tsuid_matrix").glob("CTImage.dcm_*")):
        syntax = parse_file(path.read_bytes()).transfer_syntax_uid
        refused, result = [await previewers[accept].preview(path) for accept in (False, True)]
        if syntax in LOSSY:
            assert refused.error is not None
            assert refused.error.code == "LOSSY_REFUSED"
        else:
            assert refused.leaves, path.name
        if result.error is not None:  # 8 bits of 16: what a JPEG of 8 bits can hold is no image of this CT
            assert result.error.code == "PIXELS_UNFIT", path.name
            continue
        assert result.outgoing is not None
        assert result.counts["removed"] > 200
        seen.add(syntax)
    assert {*NATIVE, *LOSSLESS, *RARE} <= seen
    assert seen & set(LOSSY)
