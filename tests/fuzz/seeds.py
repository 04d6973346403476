"""Where fuzzing starts from: small valid inputs, made by other programs than the ones under test.

An input's first byte decides how a target takes the rest; see each target's `fuzz_one`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from tests import made, raw, toy, wire

__all__ = ["DICTIONARY", "SEEDS", "dataset_seeds", "pdu_seeds", "write"]

DICTIONARY: Final = (
    *raw.SHORT,
    *b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split(),
    *(
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x0d\xe0",
        b"\xfe\xff\xdd\xe0",
        b"\xff\xff\xff\xff",
        b"\xe0\x7f\x10\x00",
    ),
    *(
        b"\x28\x00\x10\x00",
        b"\x08\x00\x18\x00",
        b"\x20\x00\x0d\x00",
        b"\x10\x00\x20\x00",
        b"\x06\x30\x39\x00",
    ),
    *(b"CLOSED_PLANAR", b"ISO 2022 IR 87", b"\\", b"2.25.", b"DICM"),
)
"""What a byte-wise change would hardly ever hit on."""

TOY_SLICES: Final = 2
"""Of the passage that a structure set must fit."""


def pdu_seeds() -> list[bytes]:
    """Sessions of a requestor."""
    sessions = [
        wire.associate_rq(),
        wire.associate_rq() + wire.p_data(3, 3, wire.echo_rq()) + wire.RELEASE_RQ,
        wire.associate_rq()
        + wire.store_message(wire.made_dataset(), fragment_bytes=700) * 2
        + wire.RELEASE_RQ,
        wire.associate_rq() + wire.p_data(1, 3, wire.find_rq()) + wire.p_data(1, 2, b"x") + wire.ABORT,
    ]
    return [b"\0" + session for session in sessions]


def dataset_seeds() -> list[bytes]:
    """Images, native and big endian, Part 10 streams and structure sets."""
    nested = _nested()
    structure_set = toy.Toy(TOY_SLICES).structure_set(["Liver"])
    undefined = toy.Toy(TOY_SLICES).structure_set(["A", "B"], [toy.circle(0, points=4)])
    for keyword in ("ROIContourSequence", "StructureSetROISequence"):
        undefined[keyword].is_undefined_length = True
        for item in undefined[keyword].value:
            item.is_undefined_length_sequence_item = True
    return [
        b"\0" + made.encoded(made.image(side=4)),
        b"\0" + made.encoded(made.image(side=4, modality="MR")),
        b"\0" + made.encoded(nested),
        b"\0" + toy.encoded(toy.image(Rows=4, Columns=4)),
        b"\1" + made.encoded(made.image(side=4), implicit=True),
        b"\1" + made.encoded(nested, implicit=True),
        b"\2" + _big_endian(made.image(side=4)),
        b"\2" + _big_endian(nested),
        b"\3" + made.part10(made.image(side=4)),
        b"\3" + toy.part10(toy.image(Rows=4, Columns=4), implicit=True),
        b"\4" + toy.part10(structure_set),
        b"\4" + toy.part10(structure_set, implicit=True),
        b"\4" + toy.part10(undefined),
    ]


SEEDS: Final = {"pdu": pdu_seeds, "dataset": dataset_seeds}
"""By target."""


def write(seeds: list[bytes], folder: Path) -> None:
    """Write a corpus and, beside it, the dictionary, in the forms that libFuzzer reads."""
    folder.mkdir(parents=True)
    for number, seed in enumerate(seeds):
        (folder / f"{number:02}").write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in DICTIONARY)
    folder.with_suffix(".dict").write_text("".join(f'"{word}"\n' for word in words))


def _nested() -> Dataset:
    """An image with sequences within sequences, of defined and of undefined length."""
    dataset = made.image(side=2)
    inner = Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "1", "99INV", "invented"
    outer = Dataset()
    outer.ReferencedSOPInstanceUID = "1.2.3"
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, inner])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    dataset.ReferencedImageSequence = Sequence([outer])
    dataset.OtherPatientIDsSequence = Sequence([Dataset()])
    dataset["OtherPatientIDsSequence"].is_undefined_length = True
    dataset.add_new(0x00091001, "UN", b"private")
    return dataset


def _big_endian(dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = False, False
    write_dataset(stream, dataset)
    return stream.getvalue()
