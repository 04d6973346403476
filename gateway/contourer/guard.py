"""The guard: before anything is contoured, is every slice really de-identified (R9)?

In: an opened slice, as the client sent it. Out: nothing, or `IdentifiersFound`. It is a second opinion from the other
side and shares no code with what de-identifies: it reads the header itself, knows which attributes a de-identified
image may have, and what their values may look like. What it does not know or cannot read is a finding.

A finding names a tag and a rule, never a value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.cloud.payload import SlicePayload
from gateway.contourer.deidentified import (
    BASIC_PROFILE,
    CHARACTERISTICS,
    CLASSES,
    CODED,
    DECIMAL,
    EMPTY,
    METHOD_LINE,
    METHODS,
    NUMBERS,
    PATIENT_CHARACTERISTICS,
    PSEUDONYMS,
    UIDS,
)

__all__ = ["Finding", "IdentifiersFound", "Rule", "findings", "inspect_slice"]


class Rule(StrEnum):
    """What a de-identified image must keep to."""

    PARSABLE = "parsable"
    """Explicit VR little endian, every tag once and in order, nothing left over (PS3.5 7.1)."""
    LISTED = "listed"
    """Only attributes that contouring needs."""
    NO_PRIVATE = "no_private"
    NO_DATE = "no_date"
    NO_TEXT = "no_text"
    """No text but words from a list."""
    EMPTY = "empty"
    NUMERIC = "numeric"
    PSEUDONYM = "pseudonym"
    """A name or id that is a short code."""
    PSEUDONYMOUS_UID = "pseudonymous_uid"
    """`2.25.` and a UUID of version 8: a keyed digest, not one that some device made."""
    DECLARED = "declared"
    """PatientIdentityRemoved is YES and the Basic Profile's code is there (PS3.15 E.1.1)."""
    CONSISTENT = "consistent"
    """The header is about the image under whose UID it travels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule."""

    tag: int
    rule: Rule

    def __str__(self) -> str:
        return f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X}) {self.rule}"


class IdentifiersFound(Exception):
    """A slice is not de-identified."""

    def __init__(self, found: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(str(finding) for finding in found[:20]))
        self.findings: Final = found


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    vr: bytes
    value: bytes


class _Unreadable(Exception):
    def __init__(self, tag: int) -> None:
        self.tag = tag


_LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_DATES: Final = frozenset((b"DA", b"TM", b"DT"))
_WORDS_OF_BYTES: Final[Mapping[bytes, int]] = {
    b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8,
}  # fmt: skip
_INTEGER: Final = re.compile(rb" *[+-]?\d{1,12} *")
_CODE: Final = re.compile(rb"P-[0-9A-HJKMNP-TV-Z]{8}")
_UUID_MASK: Final = (0xF << 76) | (0x3 << 62)
_UUID_VERSION_8: Final = (0x8 << 76) | (0x2 << 62)
_METHOD: Final = 0x00120063
_METHOD_CODES: Final = 0x00120064


def inspect_slice(payload: SlicePayload) -> None:
    """Let a slice pass, or not.

    Raises
    ------
    IdentifiersFound
        With everything that was found in it.
    """
    found = tuple(findings(payload))
    if found:
        raise IdentifiersFound(found)


def findings(payload: SlicePayload) -> Iterator[Finding]:
    """Every rule that the slice's header breaks."""
    try:
        elements = {element.tag: element for element in _elements(payload.header)}
        method_codes = set(_method_codes(elements))
    except _Unreadable as fault:
        yield Finding(fault.tag, Rule.PARSABLE)
        return
    if 0x00120062 not in elements or BASIC_PROFILE not in method_codes:
        yield Finding(0x00120062, Rule.DECLARED)
    for tag, uid in ((0x00080016, payload.sop_class_uid), (0x00080018, payload.sop_instance_uid)):
        if tag not in elements or elements[tag].value.rstrip(b"\0") != uid.encode("ascii"):
            yield Finding(tag, Rule.CONSISTENT)
    for element in elements.values():
        broken = _broken_rule(element, may_describe_patient=PATIENT_CHARACTERISTICS in method_codes)
        if broken is not None:
            yield Finding(element.tag, broken)


def _elements(data: bytes) -> Iterator[_Element]:
    """The elements of explicit VR little endian bytes, in ascending order and each once."""
    at, last = 0, -1
    while at < len(data):
        if len(data) - at < 8:
            raise _Unreadable(max(last, 0))
        group, number, vr, length = struct.unpack_from("<HH2sH", data, at)
        tag = group << 16 | number
        at += 8
        if vr in _LONG_VRS:
            if length or len(data) - at < 4:
                raise _Unreadable(tag)
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
        if tag <= last or length > len(data) - at or not vr.isalpha():
            raise _Unreadable(tag)
        yield _Element(tag, vr, data[at : at + length])
        at, last = at + length, tag


def _method_codes(elements: Mapping[int, _Element]) -> Iterator[bytes]:
    """The code values of the one sequence that may be there, of which nothing else may carry text."""
    element = elements.get(_METHOD_CODES)
    if element is None:
        return
    at, data = 0, element.value
    while at < len(data):
        if data[at : at + 4] != b"\xfe\xff\x00\xe0" or len(data) - at < 8:
            raise _Unreadable(_METHOD_CODES)
        (length,) = struct.unpack_from("<I", data, at + 4)
        try:
            item = {part.tag: part.value.rstrip(b" ") for part in _elements(data[at + 8 : at + 8 + length])}
        except _Unreadable:
            raise _Unreadable(_METHOD_CODES) from None
        at += 8 + length
        value = item.pop(0x00080100, b"")
        sound = (
            at <= len(data)
            and value in METHODS
            and item.pop(0x00080102, b"") == b"DCM"
            and item.pop(0x00080104, b"") == METHODS[value]
            and not item
        )
        if not sound:
            raise _Unreadable(_METHOD_CODES)
        yield value


def _broken_rule(element: _Element, *, may_describe_patient: bool) -> Rule | None:
    tag, vr, value = element.tag, element.vr, element.value
    if tag & 0x10000:
        return Rule.NO_PRIVATE
    if tag in EMPTY:
        if not value.strip(b" \0"):
            return None
        return Rule.NO_DATE if vr in _DATES else Rule.EMPTY
    if vr in _DATES:
        return Rule.NO_DATE
    if tag in CHARACTERISTICS:
        told = value.strip(b" \0")
        allowed = not told or (may_describe_patient and CHARACTERISTICS[tag].fullmatch(told))
        return None if allowed else Rule.LISTED
    check = _check_of(tag, vr)
    if check is None:
        return Rule.LISTED
    rule, keeps = check
    return None if keeps(value) else rule


def _check_of(tag: int, vr: bytes) -> tuple[Rule, Callable[[bytes], object]] | None:
    """The rule for an attribute and the test of its value; nothing, where it may not be there at all."""
    if tag == 0x00080016:
        return Rule.LISTED, lambda value: value.rstrip(b"\0") in CLASSES
    if tag in UIDS:
        return Rule.PSEUDONYMOUS_UID, _is_pseudonymous
    if tag in PSEUDONYMS:
        return Rule.PSEUDONYM, lambda value: not value.strip(b" ") or _CODE.fullmatch(value.rstrip(b" "))
    if tag in CODED:
        known = CODED[tag]
        return (
            Rule.NO_TEXT,
            lambda value: not value or all(word.strip(b" \0") in known for word in value.split(b"\\")),
        )
    if tag == _METHOD:
        return Rule.NO_TEXT, lambda value: all(
            METHOD_LINE.fullmatch(line.strip(b" ")) for line in value.split(b"\\")
        )
    if tag == _METHOD_CODES:
        return Rule.NO_TEXT, lambda value: value  # read already
    if tag in NUMBERS:
        return Rule.NUMERIC, lambda value: _are_numbers(value, vr, NUMBERS[tag])
    return None


def _are_numbers(value: bytes, vr: bytes, most: int) -> bool:
    if vr in _WORDS_OF_BYTES:
        return len(value) % _WORDS_OF_BYTES[vr] == 0 and len(value) <= most * _WORDS_OF_BYTES[vr]
    if vr not in (b"DS", b"IS"):
        return False
    form = DECIMAL if vr == b"DS" else _INTEGER
    numbers = value.split(b"\\") if value else []
    return len(numbers) <= most and all(len(one.strip(b" ")) <= 16 and form.fullmatch(one) for one in numbers)


def _is_pseudonymous(value: bytes) -> bool:
    uid = value.removesuffix(b"\0")
    digits = uid.removeprefix(b"2.25.")
    if len(digits) == len(uid) or not re.fullmatch(rb"[1-9]\d{0,38}", digits):
        return False
    number = int(digits)
    return number < 2**128 and number & _UUID_MASK == _UUID_VERSION_8
