"""ROI names: read from the contourer without trust, written so that the TPS takes them.

A TPS may take 16 characters, tell names apart only by their letters and not by case, and read them in the patient's
character set. So a name is cleaned, cut, made unique and, where the character set lacks a letter, transliterated.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["clean", "encode", "fit", "plain", "read"]

_BLANK: Final = frozenset({"Zs", "Zl", "Zp", "Cc"})
_REMOVED: Final = frozenset({"Cf", "Cs", "Co", "Cn"})
"""Unicode categories that have no business in a name: format characters (bidirectional controls, zero widths),
surrogates, private use, unassigned."""
_SPELLED: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
     "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "α": "alpha", "β": "beta", "γ": "gamma", "µ": "u", "μ": "u"}
)  # fmt: skip
"""Letters that no decomposition turns into ASCII."""
_CODECS: Final = {
    b"ISO_IR 100": "latin-1",
    b"ISO_IR 101": "iso8859-2",
    b"ISO_IR 109": "iso8859-3",
    b"ISO_IR 110": "iso8859-4",
    b"ISO_IR 144": "iso8859-5",
    b"ISO_IR 127": "iso8859-6",
    b"ISO_IR 126": "iso8859-7",
    b"ISO_IR 138": "iso8859-8",
    b"ISO_IR 148": "iso8859-9",
    b"ISO_IR 203": "iso8859-15",
    b"ISO_IR 166": "iso8859-11",
    b"ISO_IR 192": "utf-8",
    b"GB18030": "gb18030",
    b"GBK": "gbk",
}
"""Character sets without code extensions (PS3.3 C.12.1.1.2). The others begin with ASCII, so ASCII is written."""


def read(octets: bytes, character_set: bytes) -> str:
    """Decode a name of the contourer.

    Parameters
    ----------
    octets : bytes
        The value as encoded.
    character_set : bytes
        The value of SpecificCharacterSet of the same dataset (PS3.5 6.1). Code extensions are not followed.

    Returns
    -------
    str
        Cleaned; what cannot be decoded is left out.
    """
    try:
        return clean(octets.decode(_codec(character_set)))
    except UnicodeDecodeError:
        return clean(octets.decode("ascii", "ignore"))


def clean(name: str) -> str:
    """Remove control, format and unassigned characters and backslashes; runs of blanks become one space."""
    kept = []
    for character in unicodedata.normalize("NFC", name):
        category = unicodedata.category(character)
        if category in _BLANK or character == "\\":
            kept.append(" ")
        elif category not in _REMOVED:
            kept.append(character)
    return " ".join("".join(kept).split())


def fit(names: Sequence[str], *, limit: int, character_set: bytes) -> tuple[str, ...]:
    """Make names that a TPS tells apart.

    Parameters
    ----------
    names : sequence of str
        In the order of the ROIs, at most 999.
    limit : int
        Characters that the TPS takes, 4 or more.
    character_set : bytes
        The value of SpecificCharacterSet in which they will be written.

    Returns
    -------
    tuple of str
        As many; none empty, none longer than `limit`, no two alike without regard to case. A name that needs no
        change gets none, whatever stands before it.
    """
    wanted = [_writable(clean(name), character_set)[:limit].strip() for name in names]
    wanted = [want if any(map(str.isalnum, want)) else "ROI" for want in wanted]
    unchanged: dict[str, int] = {}
    for index, (name, want) in enumerate(zip(names, wanted, strict=True)):
        if name == want:
            unchanged.setdefault(name.casefold(), index)
    taken = set(unchanged)
    fitted = []
    for index, want in enumerate(wanted):
        if unchanged.get(want.casefold()) != index and want.casefold() in taken:
            want = _numbered(want, limit, taken)
        taken.add(want.casefold())
        fitted.append(want)
    return tuple(fitted)


def encode(name: str, character_set: bytes) -> bytes:
    """Encode a fitted name, padded to even length (VR LO)."""
    octets = name.encode(_codec(character_set))
    return octets + b" " * (len(octets) % 2)


def _numbered(name: str, limit: int, taken: set[str]) -> str:
    number = 2
    while True:
        ending = f"_{number}"
        candidate = name[: limit - len(ending)].rstrip() + ending
        if candidate.casefold() not in taken:
            return candidate
        number += 1


def _codec(character_set: bytes) -> str:
    return _CODECS.get(character_set.strip(b" \0"), "ascii")


def _writable(name: str, character_set: bytes) -> str:
    """The name itself where the character set has all its letters, otherwise in ASCII letters."""
    try:
        octets = name.encode(_codec(character_set))
    except UnicodeEncodeError:
        return plain(name)
    # In GBK and GB 18030 the second byte of a character may be the backslash that separates values.
    return plain(name) if b"\\" in octets else name


def plain(name: str) -> str:
    """The name in ASCII letters, cleaned: accents go, what has no ASCII likeness becomes an underscore."""
    decomposed = unicodedata.normalize("NFKD", name.translate(_SPELLED))
    return clean("".join("" if unicodedata.combining(c) else c if c.isascii() else "_" for c in decomposed))
