"""Identifiers: what of a source value must not be found in what leaves, and how it could be written.

In: one value field of the source with its VR. Out: `Needles`, in bytes that are lower-case as far as ASCII goes
(`bytes.lower`), to be looked for in bytes made lower-case in the same way.

What is an identifier: every value of a VR that holds text, a name, a date, a time, an age, a title or a UID, whichever
attribute it stands in, and text that came as UN or OB. It is looked for

- whole, in the source's own bytes, in UTF-8, UTF-16, Latin-1 and the declared character sets; in upper and lower case;
  without its accents; and, if it holds digits, without its punctuation;
- names: by each component, and where a component has fewer than three letters, by the components joined in either
  order;
- dates: as year, month and day in the orders and with the separators that people use, with the month in letters too;
- text: also by each of its words.

What is none: a value of one character, a UID that the standard itself registers (1.2.840.10008), and binary values.
ASCII of two characters is looked for as a word, never inside of one.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from typing import Final, NamedTuple

from pydicom.charset import python_encoding

from gateway.deid.outgoing import LONGEST_CODE, SHORTEST_IN_CODE, SHORTEST_WHOLE
from gateway.dicom.values import decoded

__all__ = [
    "IDENTIFYING_VRS",
    "LONGEST_BINARY",
    "SHORTEST",
    "Needles",
    "needles_of",
    "words_in",
]

IDENTIFYING_VRS: Final = frozenset(b"PN LO SH LT ST UT UC UR UI DA DT TM AE AS UN OB".split())
SHORTEST: Final = 3
"""ASCII shorter than this is looked for as a word only: it stands by chance inside of many."""
LONGEST_BINARY: Final = 4096
"""Values of UN and OB longer than this, in bytes, are no text that a person typed."""
SHORTEST_IN_UID: Final = 16
"""Fewer characters of a keyed UID are there by chance."""
_LONGEST_WHOLE: Final = 256
"""A value longer than this is looked for by its words."""
_LONGEST_LIST: Final = 4096
"""A value field longer than this is not taken apart into its values but looked for by its words."""
_MOST_WORDS: Final = 4096
"""Words of one value; a text of more is looked for by its first ones."""

_WORDS: Final = re.compile(rb"[0-9a-z\x80-\xff]{2,64}")
_RUNS: Final = re.compile(rb"[\x20-\x7e\x80-\xff]{6,}")
_TEXT_BYTES: Final = bytes([0x09, 0x0A, 0x0C, 0x0D, 0x1B, *range(0x20, 0x7F), *range(0x80, 0x100)])
WORD_BYTES: Final = frozenset(
    bytes([n]) for n in (*range(0x30, 0x3A), *range(0x61, 0x7B), *range(0x80, 0x100))
)
"""The bytes of which words are made, once they are lower-case."""
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


class Needles(NamedTuple):
    """What to look for."""

    parts: tuple[bytes, ...]
    """To be found anywhere in text."""
    words: frozenset[bytes]
    """To be found in text as whole words: see `words_in`."""
    uids: tuple[bytes, ...]
    """The parts that could stand in a UID and are too long to do so by chance."""
    digits: frozenset[bytes]
    """The parts that could be all the digits of a number."""
    short: frozenset[bytes]
    """The parts that could stand in a patient code."""

    @classmethod
    def of(cls, parts: Iterable[bytes], words: Iterable[bytes]) -> Needles:
        """Sort parts and words by where they could stand."""
        long = tuple(sorted(part for part in set(parts) if len(part) >= SHORTEST))
        numeric = frozenset(part.strip(b"+- ") for part in long)
        return cls(
            parts=long,
            words=frozenset(word for word in words if len(word) >= SHORTEST_WHOLE or not word.isdigit()),
            uids=tuple(
                part for part in long if len(part) >= SHORTEST_IN_UID and not part.strip(b"0123456789.")
            ),
            digits=frozenset(part for part in numeric if len(part) >= SHORTEST_WHOLE and part.isdigit()),
            short=frozenset(part for part in long if SHORTEST_IN_CODE <= len(part) <= LONGEST_CODE),
        )


_NONE: Final = Needles.of((), ())


def words_in(lowered: bytes) -> frozenset[bytes]:
    """The words of some bytes, without numbers of fewer than six digits."""
    return frozenset(
        word for word in _WORDS.findall(lowered) if len(word) >= SHORTEST_WHOLE or not word.isdigit()
    )


def needles_of(vr: bytes, raw: bytes, character_sets: Iterable[Sequence[str]]) -> Needles:
    """What to look for because of one value field.

    Parameters
    ----------
    vr : bytes
        One of `IDENTIFYING_VRS`.
    raw : bytes
        The value field.
    character_sets : iterable of sequence of str
        Every (0008,0005) of the dataset, nested ones included.
    """
    raw = raw.strip(b"\0 ")
    if len(raw) < 2:
        return _NONE
    if vr in (b"UN", b"OB"):
        if len(raw) > LONGEST_BINARY:
            return _NONE
        if not _is_text(raw):
            return Needles.of((), (word for run in _RUNS.findall(raw) for word in words_in(run.lower())))
    if vr == b"UI":
        return Needles.of(_uids(raw), ())
    sets = list(character_sets)
    texts = {decoded(raw, names) for names in sets} or {decoded(raw, ())}
    wholes: set[str] = set()
    for text in texts if len(raw) <= _LONGEST_LIST else ():
        if vr in (b"DA", b"DT", b"TM"):
            wholes.update(_times(vr, text))
        elif vr == b"PN":
            wholes.update(_names(text))
        else:
            wholes.update(part.strip() for part in text.split("\\"))
    wholes.update([_alphanumeric(whole) for whole in wholes if any(map(str.isdigit, whole))])
    parts = {part for whole in wholes for part in _encodings(whole, sets)}
    words: set[bytes] = set()
    for source in (raw, *(text.casefold().encode("utf-8") for text in texts)):
        words.update(_WORDS.findall(source.lower())[:_MOST_WORDS])
    if len(raw) <= _LONGEST_WHOLE:
        parts.add(raw.lower())
    words.update(part for part in parts if len(part) < SHORTEST)
    return Needles.of(parts, words)


def _uids(raw: bytes) -> Iterator[bytes]:
    for uid in raw.lower().split(b"\\"):
        uid = uid.strip(b"\0 ")
        if not uid.startswith(b"1.2.840.10008."):
            yield uid


def _names(text: str) -> Iterator[str]:
    """Components of every representation of every person name, and joins of the short ones (PS3.5 6.2.1)."""
    for name in re.split(r"[\\=]", text):
        components = [part for part in re.split(r"[\^ ,]+", name) if part]
        yield from components
        if any(len(part) < SHORTEST and part.isascii() for part in components):
            for first, second in permutations(components[:4], 2):
                yield from (first + between + second for between in ("", " ", "^", ",", ", ", "_", "-", "."))


def _times(vr: bytes, text: str) -> Iterator[str]:
    """A date (DA), a time of day (TM) or both (DT), as people write them."""
    for part in text.split("\\"):
        yield part.strip()
        digits = "".join(filter(str.isdigit, re.split(r"[&+]", part)[0]))  # without the time zone
        if vr != b"TM":
            yield digits
            yield from _dates(digits[:8])
        clock = digits[:6] if vr == b"TM" else digits[8:14]
        if len(clock) == 6:
            yield clock
            yield f"{clock[:2]}:{clock[2:4]}:{clock[4:]}"


def _dates(digits: str) -> Iterator[str]:
    try:
        date = datetime.datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return
    year, month, day = digits[:4], digits[4:6], digits[6:]
    for order in ((year, month, day), (day, month, year), (month, day, year)):
        for between in ("", "-", "/", ".", " "):
            yield between.join(order)
    for order in ((year[2:], month, day), (day, month, year[2:]), (month, day, year[2:])):
        for between in ("", "-", "/", "."):
            yield between.join(order)
    plain = str(date.day)
    yield f"{plain}.{date.month}.{year}"
    yield f"{plain}/{date.month}/{year}"
    yield f"{date.month}/{plain}/{year}"
    for name in {_MONTHS[date.month - 1][:3], _MONTHS[date.month - 1]}:
        for number in {day, plain}:
            for between in ("", " ", "-"):
                yield between.join((number, name, year))
            yield f"{name} {number}, {year}"
            yield f"{name} {number} {year}"


def _encodings(text: str, sets: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """A text in the encodings and cases that it could be found in, lower-case as far as ASCII goes."""
    if len(text) < 2 or len(text) > _LONGEST_WHOLE:
        return
    lowered = text.lower()
    if text.isascii():
        yield lowered.encode("ascii")
        if len(text) >= SHORTEST:
            yield lowered.encode("utf-16-le")[:-1]  # what both byte orders have in common
        return
    plain = "".join(c for c in unicodedata.normalize("NFKD", lowered) if not unicodedata.combining(c))
    codecs = {"utf-8", "latin-1", "utf-16-le", "utf-16-be"}
    codecs.update(python_encoding[name] for names in sets for name in names if name in python_encoding)
    for form in {text, lowered, text.upper(), text.casefold(), plain, unicodedata.normalize("NFD", lowered)}:
        for codec in codecs:
            try:
                yield form.encode(codec).lower()
            except UnicodeEncodeError:
                continue


def _alphanumeric(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _is_text(raw: bytes) -> bool:
    """Whether bytes of unknown kind look like text: no control characters but those that text has."""
    return not raw.translate(None, _TEXT_BYTES)
