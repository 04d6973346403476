"""Whether what reached the TPS is what the hospital may plan with.

In: the images that were sent and the objects that the TPS got. Out: a list of `Check`. Everything is read with pydicom,
not with the gateway's own reader, and the structure set is also given to dciodvfy where that is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

__all__ = ["Check", "check_disk", "check_structure_set"]

RT_STRUCTURE_SET: Final = "1.2.840.10008.5.1.4.1.1.481.3"
IDENTITY: Final = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "StudyID",
)
"""What must be there again, byte for byte."""
MARKS: Final = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)
"""What must not be there any more."""
OWN_UIDS: Final = frozenset({"SOPInstanceUID", "SeriesInstanceUID", "InstanceCreatorUID"})
"""UIDs that are the structure set's own."""
_NEAR_MM: Final = 0.01
_VALIDATION_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool | None
    """None where it could not be looked at here."""
    detail: str = ""


def check_structure_set(
    sent: Sequence[bytes], received: Sequence[bytes], pseudonyms: Sequence[str]
) -> list[Check]:
    """Look at everything that the TPS got.

    Parameters
    ----------
    sent, received : sequence of bytes
        Part 10 streams: the images, and what the TPS got.
    pseudonyms : sequence of str
        What the patient, the study and the images were called outside.
    """
    checks = [Check("one object reached the TPS", len(received) == 1, f"{len(received)}")]
    if not received:
        return checks
    stream = received[0]
    result = dcmread(BytesIO(stream))
    images = [dcmread(BytesIO(one), stop_before_pixels=True) for one in sent]
    checks.append(_is_structure_set(result))
    if not checks[-1].passed:
        return checks
    left = [one for one in pseudonyms if one.encode() in stream]
    return [
        *checks,
        _identity(sent[0], stream),
        _references(images, result),
        Check("no pseudonym is left in it", not left, f"{len(left)} of {len(pseudonyms)}"),
        _marks(result),
        _names(result),
        _contours(images, result),
        Check("it waits for approval", result.get("ApprovalStatus") == "UNAPPROVED"),
        _validated(stream),
    ]


def check_disk(folder: Path, identifiers: Sequence[bytes]) -> Check:
    """Look for identifiers in every file that the gateway wrote, its log included."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = sum(one in path.read_bytes() for path in files for one in identifiers)
    return Check(
        "no identifier is on the disk", not found, f"{len(files)} files, {len(identifiers)} identifiers"
    )


def _is_structure_set(result: Dataset) -> Check:
    is_one = result.SOPClassUID == RT_STRUCTURE_SET and result.Modality == "RTSTRUCT"
    return Check("it is an RT Structure Set", is_one, str(result.SOPClassUID.name))


def _identity(image: bytes, result: bytes) -> Check:
    source, restored = _raw_identity(image), _raw_identity(result)
    differ = [keyword for keyword in IDENTITY if source[keyword] != restored[keyword]]
    detail = f"{len(IDENTITY)} attributes" if not differ else f"not: {', '.join(differ)}"
    return Check("patient and study are the source's, byte for byte", not differ, detail)


def _raw_identity(stream: bytes) -> dict[str, bytes]:
    """The value fields, before anything decodes them; absent and empty are the same."""
    dataset = dcmread(BytesIO(stream), stop_before_pixels=True)
    values = dict.fromkeys(IDENTITY, b"")
    for keyword in IDENTITY:
        element = dataset.get_item(Tag(keyword)) if keyword in dataset else None
        if isinstance(element, RawDataElement):
            values[keyword] = bytes(element.value or b"")
        elif element is not None:  # the character set: the reader needed it
            values[keyword] = "\\".join(element.value).encode()
    return {keyword: value.rstrip(b" \0") for keyword, value in values.items()}


def _uids(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _uids(item)
        elif element.VR == "UI" and element.value:
            values = [element.value] if isinstance(element.value, str) else element.value
            yield from ((element.keyword, str(value)) for value in values)


def _references(images: Sequence[Dataset], result: Dataset) -> Check:
    known = {uid for image in images for _, uid in _uids(image)}
    referred = [
        uid for keyword, uid in _uids(result) if keyword not in OWN_UIDS and "SOPClassUID" not in keyword
    ]
    foreign = sum(uid not in known for uid in referred)
    detail = f"{len(referred)} references, {foreign} foreign"
    return Check("every UID that it refers to is the source's", bool(referred) and not foreign, detail)


def _marks(result: Dataset) -> Check:
    found = [keyword for keyword in MARKS if keyword in result]
    return Check("no mark of de-identification is left", not found, ", ".join(found))


def _names(result: Dataset) -> Check:
    names = [str(roi.ROIName) for roi in result.StructureSetROISequence]
    are_short = all(0 < len(name) <= 16 for name in names)
    are_unique = len({name.casefold() for name in names}) == len(names)
    return Check("ROI names fit a TPS", bool(names) and are_short and are_unique, ", ".join(names))


def _contours(images: Sequence[Dataset], result: Dataset) -> Check:
    heights = {str(image.SOPInstanceUID): float(image.ImagePositionPatient[2]) for image in images}
    contours = [contour for roi in result.ROIContourSequence for contour in roi.get("ContourSequence", [])]
    off = sum(not _lies_on_its_slice(contour, heights) for contour in contours)
    detail = f"{len(contours)} contours" + (f", {off} off" if off else "")
    return Check("every contour lies on its slice", bool(contours) and not off, detail)


def _lies_on_its_slice(contour: Dataset, heights: dict[str, float]) -> bool:
    referred = [str(item.ReferencedSOPInstanceUID) for item in contour.get("ContourImageSequence", [])]
    if not referred or any(uid not in heights for uid in referred):
        return False
    return all(abs(float(z) - heights[referred[0]]) < _NEAR_MM for z in contour.ContourData[2::3])


def _validated(stream: bytes) -> Check:
    name = "dciodvfy finds no error"
    program = shutil.which("dciodvfy")
    if program is None:
        return Check(name, None, "not installed (Debian: dicom3tools)")
    # A file in memory: dciodvfy seeks, which it cannot in a pipe, and the patient's name belongs on no disk.
    with open(os.memfd_create("structure set"), "w+b") as file:
        file.write(stream)
        file.seek(0)
        done = subprocess.run([program], stdin=file, capture_output=True, timeout=_VALIDATION_S, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    errors = [line for line in said if line.startswith("Error")]
    detail = "it said nothing" if not said else errors[0] if errors else ""
    return Check(name, bool(said) and not errors, detail)
