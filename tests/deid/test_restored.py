"""What was taken away comes back as it was: de-identify, contour, inspect and restore, for identities of any kind (R6).

Identities are random: character sets, bytes that they do not allow, padding, lengths, empty and absent values, VRs. The
slices that leave are all that the contourer of these tests sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from gateway.cloud.payload import DeidentifiedSlice
from gateway.dicom.instance import Instance
from gateway.dicom.part10 import Part10
from gateway.dicom.walk import WalkLimits, walk
from gateway.flow.deidentify import deidentify
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.restore import restore
from gateway.flow.structure_set import Expectation, ExpectedSlice
from gateway.vault.identity import Identity
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import made, toy
from tests.deid.way_out import EXPLICIT, KEY, PROFILES, everything, received
from tests.raw import element, inserted

SLICES = 3
IDENTITY: dict[int, tuple[bytes, int]] = {
    0x00080020: (b"DA", 8),
    0x00080030: (b"TM", 14),
    0x00080050: (b"SH", 16),
    0x00080090: (b"PN", 64),
    0x00100010: (b"PN", 64),
    0x00100020: (b"LO", 64),
    0x00100021: (b"LO", 64),
    0x00100030: (b"DA", 8),
    0x00100040: (b"CS", 2),
    0x00101000: (b"LO", 64),
    0x00101010: (b"AS", 4),
    0x00101030: (b"DS", 16),
    0x00200010: (b"SH", 16),
}
"""Attributes of the patient and the study that are given back: VR and longest value."""
CHARACTER_SETS = {
    b"": "ascii",
    b"ISO_IR 100": "latin-1",
    b"ISO_IR 192": "utf-8",
    b"ISO_IR 144": "iso8859_5",
    b"ISO_IR 138": "iso8859_8",
    b"ISO_IR 126": "iso8859_7",
    b"GB18030": "gb18030",
    b"\\ISO 2022 IR 87": "iso2022_jp",
    b"\\ISO 2022 IR 149": "euc_kr",
}
LETTERS = "Zquex Ford^Ämzøñ Юлия Ωμέγα שרון 山田太郎 김희중 =-'._/"


@st.composite
def texts(draw: st.DrawFn, codec: str, most: int) -> bytes:
    """A text of a character set, or bytes that it does not allow; padded as senders pad, or not at all."""
    if draw(st.integers(0, 3)) == 0:
        raw = draw(st.binary(max_size=most)).replace(b"\\", b"/")
    else:
        raw = draw(st.text(LETTERS, max_size=most)).encode(codec, "ignore")[:most]
    if len(raw) % 2 == 0 and len(raw) <= most - 2 and draw(st.booleans()):
        raw += b"  "
    return raw + b" " * (len(raw) % 2)


@st.composite
def identities(draw: st.DrawFn) -> tuple[bytes, dict[int, bytes]]:
    """A Specific Character Set, and whole elements by tag."""
    declared, codec = draw(st.sampled_from(sorted(CHARACTER_SETS.items())))
    elements = {}
    for tag, (vr, most) in IDENTITY.items():
        if draw(st.integers(0, 4)) == 0:
            elements[tag] = element(tag, vr)
        elif vr == b"DA":
            elements[tag] = element(tag, vr, draw(st.dates()).strftime("%Y%m%d").rjust(8, "0").encode())
        elif vr in (b"PN", b"LO", b"SH"):
            elements[tag] = element(tag, vr, draw(texts(codec, most)))
        else:
            elements[tag] = element(tag, vr, b"061Y"[:most] if vr == b"AS" else b"70"[:most])
    return declared, elements


def slices_of(declared: bytes, elements: Mapping[int, bytes]) -> list[Instance]:
    instances = []
    for index in range(SLICES):
        data = made.encoded(made.image(index))
        for one in (element(0x00080005, b"CS", declared + b" " * (len(declared) % 2)), *elements.values()):
            data = inserted(data, one)
        instances.append(received(data))
    return instances


def contoured(sent: Sequence[DeidentifiedSlice]) -> bytes:
    """What an honest contourer makes of what it was sent, and of nothing else."""
    images = []
    for slice_ in sent:
        image = Dataset()
        seen = received(slice_.dataset())
        image.SOPClassUID, image.SOPInstanceUID = seen.sop_class_uid, seen.sop_instance_uid
        image.ImagePositionPatient, image.ImageOrientationPatient = (
            list(seen.position or ()),
            list(seen.orientation or ()),
        )
        image.PixelSpacing, image.Rows, image.Columns = list(seen.spacing or ()), seen.rows, seen.columns
        image.StudyInstanceUID, image.SeriesInstanceUID = seen.study_instance_uid, seen.series_instance_uid
        image.FrameOfReferenceUID = seen.frame_of_reference_uid
        image.PatientID = seen.text(0x00100020)
        images.append(image)
    contours = [toy.circle(index, radius=4, x=0, y=0) for index in range(SLICES)]
    dataset = toy.Toy(images=images).structure_set(["Liver"], contours)
    given = {toy.pseudonym(uid): uid for image in images for uid in uids_of(image)}
    for one in dataset.iterall():
        if one.VR == "UI":
            one.value = given.get(one.value, one.value)
    dataset.PatientID = dataset.PatientName = images[0].PatientID
    return toy.part10(dataset)


def uids_of(image: Dataset) -> list[str]:
    return [
        str(uid)
        for uid in (
            image.SOPInstanceUID,
            image.StudyInstanceUID,
            image.SeriesInstanceUID,
            image.FrameOfReferenceUID,
        )
    ]


def expectation(sent: Sequence[DeidentifiedSlice]) -> Expectation:
    """What the flow knows of what it sent."""
    seen = [received(slice_.dataset()) for slice_ in sent]
    slices = {}
    for one in seen:
        assert one.position is not None
        assert one.orientation is not None
        assert one.spacing is not None
        slices[one.sop_instance_uid] = ExpectedSlice(
            one.sop_class_uid, one.position, one.orientation, one.spacing, one.rows, one.columns
        )
    first = seen[0]
    return Expectation(
        study_instance_uid=first.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        slices=slices,
        patient_id=first.text(0x00100020),
    )


def there_and_back(sources: Sequence[Instance]) -> tuple[bytes, bytes]:
    """All that the contourer got, and what the TPS gets."""
    pseudonyms = Pseudonyms(KEY, scope_of(sources[0], "study"))
    sent = [deidentify(source, pseudonyms, PROFILES["CT"]) for source in sources]
    restored = restore(
        inspect(contoured(sent), expectation(sent)),
        Identity.of(sources[0]),
        OutputProfile("tps"),
        originals=pseudonyms.originals,
        seed=bytes(32),
        model="m",
        at=datetime.now(UTC),
    )
    return b"".join(everything(slice_) for slice_ in sent), restored


def values_in(part10: bytes) -> dict[int, bytes]:
    """The value fields of the first level, by tag."""
    stream = Part10.of(part10)
    assert stream.transfer_syntax_uid == EXPLICIT
    data = bytes(stream.dataset)
    spans = walk(data, implicit=False, limits=WalkLimits()).spans
    return {tag: data[start:stop] for tag, (_, start, stop) in spans.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(identities())
def test_every_identity_comes_back_to_the_byte_and_every_reference_to_its_slice(
    identity: tuple[bytes, dict[int, bytes]],
) -> None:
    declared, elements = identity
    sources = slices_of(declared, elements)
    sent, restored = there_and_back(sources)
    back = values_in(restored)
    for tag in elements:
        assert back.get(tag, b"") == sources[0].raw(tag), f"{tag:08X}"
    assert back.get(0x00080005, b"").strip() == declared.strip()
    assert back[0x0020000D].strip(b"\0").decode() == sources[0].study_instance_uid
    for source in sources:
        assert source.sop_instance_uid.encode() in restored
        assert source.sop_instance_uid.encode() not in sent
    for tag, (vr, _) in IDENTITY.items():
        raw = sources[0].raw(tag) or b""
        if vr in (b"PN", b"LO", b"SH") and len(raw.strip()) >= 6:
            assert raw.strip() not in sent, f"{tag:08X}"


def test_control_an_identity_that_loses_a_byte_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = {0x00100010: element(0x00100010, b"PN", "Büchenquex^Jörg ".encode("latin-1"))}
    sources = slices_of(b"ISO_IR 100", elements)
    honest = Identity.values.fget
    assert honest is not None
    _, restored = there_and_back(sources)
    assert values_in(restored)[0x00100010] == sources[0].raw(0x00100010)
    monkeypatch.setattr(
        Identity,
        "values",
        property(lambda self: {tag: (vr, raw.swapcase()) for tag, (vr, raw) in honest(self).items()}),
    )
    _, restored = there_and_back(sources)
    assert values_in(restored)[0x00100010] != sources[0].raw(0x00100010)
