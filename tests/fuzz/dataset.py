"""Bytes where a dataset should be, up to what may leave and what is delivered.

The input's first byte decides who reads the rest: as explicit (0) or implicit VR (1) the walk, the parser, the
identity and the de-identification; as big endian (2) the converter and then the same; as a Part 10 stream (3) what is
about to be delivered; (4) a structure set that came back, its inspection and its restoration.
"""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gateway.deid.profile import load_profiles
from gateway.deid.tripwire import Tripwire
from gateway.dicom.endian import to_little_endian
from gateway.dicom.instance import parse_instance
from gateway.dicom.part10 import Part10
from gateway.dicom.walk import Elements, WalkLimits, walk
from gateway.errors import DeidentificationError, IntakeError, PassageUnfit, StructureSetUnsound
from gateway.flow.deidentify import deidentify
from gateway.flow.inspect import inspect
from gateway.flow.output_profile import OutputProfile
from gateway.flow.restore import restore
from gateway.vault.identity import Identity
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, is_pseudonymous_uid, scope_of
from tests.fuzz.seeds import TOY_SLICES
from tests.toy import Toy

LIMITS = WalkLimits(elements=300, nesting=4)
PROFILES = load_profiles()
TRIPWIRE = Tripwire(PROFILES)
KEY = ClinicKey(bytes(32))
TOY = Toy(TOY_SLICES)
IDENTITY, EXPECTATION, ORIGINALS = TOY.identity, TOY.expectation, TOY.originals
WISHES = OutputProfile("tps")
NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)


def fuzz_one(data: bytes) -> None:
    """Let one reader read it, and check what must hold whatever it is.

    Raises
    ------
    AssertionError
        If something that must hold does not.
    """
    if not data:
        return
    rest = data[1:]
    match data[0] % 5:
        case 0:
            _image(rest, implicit=False)
        case 1:
            _image(rest, implicit=True)
        case 2:
            _big_endian(rest)
        case 3:
            _part10(rest)
        case _:
            _structure_set(rest)


def _image(data: bytes, *, implicit: bool) -> None:
    try:
        elements = walk(data, implicit=implicit, limits=LIMITS)
    except IntakeError:
        return
    _check_spans(elements, len(data))
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    try:
        instance = parse_instance(data, syntax, limits=LIMITS)
    except IntakeError:
        return
    assert instance.pixel_stop - instance.pixel_start == instance.rows * instance.columns * 2
    assert instance.pixel_stop <= len(data)
    profile = PROFILES[instance.modality]
    pseudonyms = Pseudonyms(KEY, scope_of(instance, "study"))
    with contextlib.suppress(PassageUnfit):
        Identity.of(instance)
    try:
        slice_ = deidentify(instance, pseudonyms, profile)
        TRIPWIRE.check("fuzz", instance, slice_)
    except DeidentificationError:
        return
    finally:
        TRIPWIRE.forget("fuzz")
    assert len(slice_.pixels) == instance.rows * instance.columns * 2
    assert is_pseudonymous_uid(slice_.sop_instance_uid)
    outgoing = walk(slice_.dataset(), implicit=False, limits=LIMITS)
    assert not [tag for tag in outgoing if tag >> 16 & 1 or 0x60000000 <= tag < 0x61000000]


def _check_spans(elements: Elements, size: int) -> None:
    """Values lie one after another and within the bytes; tags ascend."""
    assert len(elements) + len(elements.nested) <= LIMITS.elements
    for (tag, one), (following, other) in itertools.pairwise(elements.items()):
        assert tag < following
        assert one.start <= one.stop < other.start
    for span in elements.leaf_spans():
        assert 0 <= span[2] <= span[3] <= size
    if elements:
        assert elements[next(reversed(elements.spans))].stop == size


def _big_endian(data: bytes) -> None:
    try:
        converted = to_little_endian(data)
    except ValueError:
        return
    assert len(converted) <= len(data)
    _image(converted, implicit=False)


def _part10(data: bytes) -> None:
    try:
        found = Part10.of(data)
    except ValueError:
        return
    assert len(found.dataset) <= len(data)
    assert all((found.sop_class_uid, found.sop_instance_uid, found.study_instance_uid))


def _structure_set(data: bytes) -> None:
    try:
        inspected = inspect(data, EXPECTATION)
    except StructureSetUnsound:
        return
    for uid in EXPECTATION.slices:
        inspected.outlines(uid)
    try:
        restored = restore(
            inspected, IDENTITY, WISHES, originals=ORIGINALS, seed=bytes(32), model="fuzz", at=NOON
        )
    except StructureSetUnsound:
        return
    assert not any(pseudonym.encode() in restored for pseudonym in ORIGINALS)
    found = Part10.of(restored)
    implicit = found.transfer_syntax_uid == ImplicitVRLittleEndian
    walk(found.dataset, implicit=implicit, limits=WalkLimits(elements=100_000, nesting=8))
