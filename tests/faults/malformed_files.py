"""Files with one mistake each, as senders put them on the wire, and what each is to be answered.

A sender that believes a file sends its dataset in the transfer syntax that the file names. Where the file meta
information is broken there is no such dataset, so everything that a careless sender could make of the file is sent.

The files lack a position, which the gateway asks for; so each is also sent with one, in which nothing but the mistake
itself decides.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from gateway.deid.dicom_file import parse_file
from gateway.errors import IntakeError
from tests import raw, wire

SUCCESS, MISMATCH, NOT_UNDERSTOOD, NOT_SUPPORTED = 0x0000, 0xA900, 0xC000, 0x0122
_FIRST_ELEMENT: Final = b"\x08\0\x16\0UI"
_ZLIB: Final = b"\x78\x9c"
_STARTS: Final = {b"\0\x08\0": ExplicitVRBigEndian, b"\x08\0\x05\0\x0a\0": ImplicitVRLittleEndian}
"""Of files without preamble, by their first bytes."""
_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_LONGEST_UID: Final = 64
_POSITION: Final = b"\x20\0\x32\0"


class Sent(NamedTuple):
    """One C-STORE request."""

    transfer_syntax_uid: str
    dataset: bytes
    sop_class_uid: str
    sop_instance_uid: str


class File(NamedTuple):
    """One file and what it must be answered."""

    path: Path
    expected: tuple[int, ...]
    """Of the dataset with a position."""


def requests(content: bytes) -> list[Sent]:
    """What can be sent of a file; the last is what a reader that forgives most would send."""
    with contextlib.suppress(IntakeError):
        file = parse_file(content)
        return [request(file.transfer_syntax_uid, bytes(file.dataset))]
    careless = [request(syntax, content) for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)]
    return [*careless, request(*_forgiven(content))]


def _forgiven(content: bytes) -> tuple[str, bytes]:
    """The transfer syntax and the dataset of a file whose file meta information is broken or not there."""
    for start, syntax in _STARTS.items():
        if content.startswith(start):
            return syntax, content
    if content[132:134] == _ZLIB:
        return DeflatedExplicitVRLittleEndian, content[132:]
    at = content.find(_FIRST_ELEMENT)
    return ExplicitVRLittleEndian, content[at if at >= 0 else 132 :]


def request(transfer_syntax_uid: str, dataset: bytes) -> Sent:
    """A request whose command says what the dataset says, as far as that can be said."""
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    plain = dataset
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        with contextlib.suppress(zlib.error):
            plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(dataset, 4096)
    order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
    form = order + ("HHL" if implicit else "HH2sH")
    found = [_uid_in(plain, struct.pack(f"{order}HH", 8, element), form) for element in (0x0016, 0x0018)]
    return Sent(transfer_syntax_uid, dataset, found[0] or wire.CT, found[1] or wire.SOP_INSTANCE)


def _uid_in(dataset: bytes, tag: bytes, form: str) -> str:
    """A UID that a command can carry; else empty."""
    for found in re.finditer(re.escape(tag), dataset[:-8]):
        at = found.start()
        length = int(struct.unpack_from(form, dataset, at)[-1])
        value = dataset[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace")
        if len(value) <= _LONGEST_UID and _UID.fullmatch(value):
            return value
    return ""


def with_a_place(sent: Sent) -> Sent:
    """The same with the position, orientation and spacing that a slice has; unchanged where there is no room for it."""
    implicit = sent.transfer_syntax_uid == ImplicitVRLittleEndian
    patient, plane = (_head(tag, implicit=implicit) for tag in (0x00280002, 0x00280100))
    data = sent.dataset
    if data.count(patient) != 1 or data.count(plane) != 1 or _POSITION in data:
        return sent
    where = {0x00200032: b"-8\\-8\\0 ", 0x00200037: b"1\\0\\0\\0\\1\\0 "}
    data = data.replace(patient, _elements(implicit, where) + patient)
    return sent._replace(dataset=data.replace(plane, _elements(implicit, {0x00280030: b"1\\1 "}) + plane))


def _head(tag: int, *, implicit: bool) -> bytes:
    return raw.implicit(tag, b"", length=2) if implicit else raw.element(tag, b"US", b"", length=2)


def _elements(implicit: bool, values: dict[int, bytes]) -> bytes:
    return b"".join(
        raw.implicit(tag, value) if implicit else raw.element(tag, b"DS", value)
        for tag, value in values.items()
    )


# What each mistake is answered; the first pattern that a file's name matches counts.
_EXPECTED: Final[tuple[tuple[str, tuple[int, ...]], ...]] = (
    # 1: values too long, or none. Text that does not leave is taken, text that must come back within bounds.
    (r"(patientname|patientid|accessionnumber|studydescription|patientsex)_over_(64KB|1MB)", (MISMATCH,)),
    (r"patientsex_over_10x", (MISMATCH,)),
    (r"instanceuid_(over|empty|len1)|uid_200_components", (MISMATCH,)),
    (r"cat01", (SUCCESS,)),
    # 2: what is depended on must have its VR; what is not may have any.
    (r"patientage_AS_as_IS|manufacturer_LO_as_UN|implicit_(patname|date)", (SUCCESS,)),
    (r"cat02", (MISMATCH,)),
    # 3: nesting
    (r"depth_(50|100|500)|missing_delim|stray_seq_delim", (NOT_UNDERSTOOD,)),
    (r"cat03", (SUCCESS,)),
    # 4: pixels that do not fit their description
    (r"encap_", (NOT_UNDERSTOOD, MISMATCH)),
    (r"cat04", (MISMATCH,)),
    # 5: transfer syntaxes
    (r"deflate_", (NOT_UNDERSTOOD,)),
    (r"cat05", (SUCCESS,)),
    # 6: private elements, foreign groups, injected text
    (r"TC\d+_(private_|inject_)", (SUCCESS,)),
    (r"cat06", (NOT_UNDERSTOOD,)),
    # 7, 10: the file meta information is not sent, the dataset behind it is sound
    (r"cat07|cat10", (SUCCESS,)),
    # 8: character sets; one file has PatientName twice
    (r"latin1_utf8_payload", (NOT_UNDERSTOOD,)),
    (r"cat08", (SUCCESS,)),
    # 9: what contradicts itself
    (r"sop_modality|odd_length_cs|uid_uid|uid_collision", (MISMATCH,)),
    (r"duplicate_tags", (NOT_UNDERSTOOD,)),
    (r"cat09|baseline", (SUCCESS,)),
    # Odd ones that somebody met in practice.
    (r"charset/chrSQEncoding", (MISMATCH,)),
    (
        r"charset/|reportsi|rtdose|test-SR|badVR|rtstruct|rtplan|image_dfl|JPEG2000-embedded",
        (NOT_SUPPORTED,),
    ),
    (r"pydicom/(MR_small_padded|no_meta_group_length|priv_SQ|UN_sequence)", (MISMATCH,)),
    (r"pydicom/(MR_truncated|meta_missing_tsyntax|nested_priv_SQ)", (NOT_UNDERSTOOD,)),
    (r"pydicom/(ExplVR_BigEndNoMeta|ExplVR_LitEndNoMeta)", (NOT_SUPPORTED,)),
    (r"pydicom/(MR_small|examples_overlay|no_meta\.)", (SUCCESS,)),
)


def files(shared: Path) -> list[File]:
    """Every hostile and odd file there is, with what it must be answered."""
    found = []
    for folder in (shared / "malformed", shared / "samples" / "odd"):
        for path in sorted(folder.rglob("*.dcm")):
            name = path.relative_to(shared).as_posix()
            expected = next((answers for pattern, answers in _EXPECTED if re.search(pattern, name)), ())
            if path.stat().st_size == 132:
                expected = NOT_UNDERSTOOD, MISMATCH  # nothing behind the preamble
            found.append(File(path, expected))
    return found
