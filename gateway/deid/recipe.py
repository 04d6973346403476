"""A profile, compiled: the bytes of the outgoing header, element by element.

What is the same for every image is encoded once, at start; for the rest there is one function for each attribute,
made for it. Every function reads the source's value, believes it only if it has the VR and the form that the profile
asks for, and writes a new element.

A value that is not believed: of type 1 it raises DEID_NOT_UNDERSTOOD, so the series is held; of type 2 the element goes
out empty; any other is left out. Numbers are never corrected, rounded or cut.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydicom.tag import BaseTag

from gateway.deid.declared import Action, Attribute
from gateway.deid.statement import Said
from gateway.dicom import values
from gateway.dicom.encode import element, head
from gateway.dicom.instance import Instance
from gateway.errors import DeidentificationError
from gateway.vault.pseudonyms import Pseudonyms, subject_of

__all__ = ["OLDEST_AGE_YEARS", "Recipe", "Step", "compiled"]

OLDEST_AGE_YEARS: Final = 89
"""Ages above are an identifier (45 CFR 164.514(b)(2)(i)(C))."""

Step = Callable[[Instance, Pseudonyms], bytes]
"""Writes one element; no bytes, where the attribute is left out."""
Recipe = tuple[bytes | Step, ...]
"""Encoded bytes and steps, in the order of the tags."""
_Number = Callable[[bytes], Sequence[float] | None]

_BINARY: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_AGE: Final = re.compile(rb"([0-9]{3})([DWMY])")
_DAYS: Final = {b"D": 1.0, b"W": 7.0, b"M": 30.4, b"Y": 365.25}


def compiled(attributes: Sequence[Attribute], said: Sequence[Said]) -> Recipe:
    """Compile a profile.

    Parameters
    ----------
    attributes : sequence of Attribute
    said : sequence of Said
        The computed attributes.
    """
    steps: list[tuple[int, bytes | Step]] = [(one.tag, one.encoded) for one in said]
    plain = {attribute.keyword: _step(attribute) for attribute in attributes}
    steps += [(attribute.tag, _conditional(attribute, plain)) for attribute in attributes]
    recipe: list[bytes | Step] = []
    for _, step in sorted(steps, key=lambda step: step[0]):
        if isinstance(step, bytes) and recipe and isinstance(recipe[-1], bytes):
            recipe[-1] += step
        else:
            recipe.append(step)
    return tuple(recipe)


def _step(attribute: Attribute) -> bytes | Step:
    match attribute.action:
        case Action.EMPTY:
            return element(attribute.tag, attribute.vr.encode("ascii"))
        case Action.CONSTANT:
            return element(attribute.tag, attribute.vr.encode("ascii"), attribute.value.encode("ascii"))
        case Action.PSEUDONYM:
            return _pseudonym(attribute)
        case Action.UID:
            return _uid(attribute)
        case Action.CODE:
            return _code(attribute)
        case Action.NUMBER:
            return _number(attribute)


def _conditional(attribute: Attribute, plain: Mapping[str, bytes | Step]) -> bytes | Step:
    """The step, left out where the attribute's condition does not hold (types 1C and 2C)."""
    step = plain[attribute.keyword]
    if attribute.unless:
        other = plain[attribute.unless]

        def unless(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
            return b"" if _written(other, instance, pseudonyms) else _written(step, instance, pseudonyms)

        return unless
    if attribute.when:
        told, word = plain[attribute.when[0]], attribute.when[1].encode("ascii")

        def when(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
            said = _written(told, instance, pseudonyms)[8:].rstrip(b" ").split(b"\\")
            return _written(step, instance, pseudonyms) if word in said else b""

        return when
    return step


def _written(step: bytes | Step, instance: Instance, pseudonyms: Pseudonyms) -> bytes:
    return step if isinstance(step, bytes) else step(instance, pseudonyms)


def _pseudonym(attribute: Attribute) -> Step:
    tag, vr = attribute.tag, attribute.vr.encode("ascii")

    def write(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
        return element(tag, vr, pseudonyms.patient_code(subject_of(instance)).encode("ascii"))

    return write


def _uid(attribute: Attribute) -> Step:
    tag = attribute.tag
    missing = _missing(attribute)

    def write(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
        span = instance.elements.spans.get(tag)
        if span is None or span[0] != b"UI":
            return missing(span is not None)
        uid = values.uid(bytes(instance.data[span[1] : span[2]]))
        if uid is None:
            return missing(True)
        return element(tag, b"UI", pseudonyms.uid(uid).encode("ascii"))

    return write


def _code(attribute: Attribute) -> Step:
    tag, vr = attribute.tag, attribute.vr.encode("ascii")
    positions = [frozenset(word.encode("ascii") for word in words) for words in attribute.positions]
    anywhere = frozenset(word.encode("ascii") for word in attribute.values)
    fewest = attribute.at_least
    fill, if_empty = attribute.fill.encode("ascii"), attribute.if_empty.encode("ascii")
    missing = _missing(attribute)

    def write(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
        span = instance.elements.spans.get(tag)
        if span is None or span[0] != vr or span[2] - span[1] > 1024:
            return missing(span is not None)
        found = bytes(instance.data[span[1] : span[2]]).rstrip(b"\0").split(b"\\")
        if if_empty and not found[0].strip(b" ") and len(found) == 1:
            return element(tag, vr, if_empty)
        words = []
        if positions:
            for word, known in zip(found, positions, strict=False):
                if word.strip(b" ") not in known:
                    break
                words.append(word.strip(b" "))
        else:
            words = [word.strip(b" ") for word in found if word.strip(b" ") in anywhere][: attribute.most]
        if len(words) < fewest:
            return missing(True)
        if fill and len(words) == len(positions) - 1:
            words.append(fill)
        return element(tag, vr, b"\\".join(words))

    return write


def _number(attribute: Attribute) -> Step:
    if attribute.vr == "US or SS":
        unsigned = _numbers(attribute, b"US", (b"US", b"SS"))
        signed = _numbers(attribute, b"SS", (b"SS", b"US"))

        def write(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
            return (signed if instance.is_signed else unsigned)(instance, pseudonyms)

        return write
    return _numbers(attribute, attribute.vr.encode("ascii"), (attribute.vr.encode("ascii"),))


def _numbers(attribute: Attribute, vr: bytes, accepted: tuple[bytes, ...]) -> Step:
    """Copy the value field as it is, if every number in it is one and lies in the range."""
    tag = attribute.tag
    start_of_element = head(tag, vr)
    parse = _parser(attribute, vr)
    low, high = attribute.bounds or (-math.inf, math.inf)
    longest = 20 * attribute.most
    is_text = vr in (b"DS", b"IS", b"AS")
    missing = _missing(attribute)

    def write(instance: Instance, pseudonyms: Pseudonyms) -> bytes:
        span = instance.elements.spans.get(tag)
        if span is None or span[0] not in accepted or span[2] - span[1] > longest:
            return missing(span is not None)
        raw = bytes(instance.data[span[1] : span[2]])
        if is_text:
            raw = raw.rstrip(b"\0")  # padding of the wrong kind
        numbers = parse(raw)
        if numbers is None or min(numbers) < low or max(numbers) > high:
            return missing(True)
        if len(raw) % 2:
            raw += b" "
        return start_of_element + len(raw).to_bytes(2, "little") + raw

    return write


def _parser(attribute: Attribute, vr: bytes) -> _Number:
    fewest, most = attribute.fewest, attribute.most
    if vr in (b"DS", b"IS"):
        read: Callable[[bytes], Sequence[float] | None] = values.decimals if vr == b"DS" else values.integers

        def text(raw: bytes) -> Sequence[float] | None:
            numbers = read(raw)
            return numbers if numbers is not None and fewest <= len(numbers) <= most else None

        return text
    if vr == b"AS":
        return _age
    form = _BINARY[vr.decode("ascii")]
    size = struct.calcsize(form)

    def binary(raw: bytes) -> Sequence[float] | None:
        count, rest = divmod(len(raw), size)
        if rest or not fewest <= count <= most:
            return None
        numbers: tuple[float, ...] = struct.unpack(f"<{count}{form}", raw)
        return numbers if all(map(math.isfinite, numbers)) else None

    return binary


def _age(raw: bytes) -> Sequence[float] | None:
    """An age of VR AS, in years; None above `OLDEST_AGE_YEARS`."""
    match = _AGE.fullmatch(raw.rstrip(b" "))
    if match is None:
        return None
    years = int(match[1]) * _DAYS[match[2]] / 365.25
    return (years,) if years < OLDEST_AGE_YEARS + 1 else None


def _missing(attribute: Attribute) -> Callable[[bool], bytes]:
    """What goes out where there is no value to believe; told whether the source has the element at all."""
    tag = BaseTag(attribute.tag)
    vr = b"US" if attribute.vr == "US or SS" else attribute.vr.encode("ascii")
    empty = element(attribute.tag, vr)

    def write(is_present: bool) -> bytes:
        if attribute.type == "1":
            raise DeidentificationError("DEID_NOT_UNDERSTOOD", tag=tag)
        if attribute.type == "2" or (attribute.type == "2C" and (is_present or attribute.when)):
            return empty
        return b""

    return write
