"""Values of single VRs, as bytes, checked before anything believes them.

Each function takes the value field as it was encoded and returns `None` where PS3.5 table 6.2-1 does not allow it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

__all__ = ["MAX_DS", "MAX_UID", "decimals", "decoded", "integers", "uid"]

MAX_UID: Final = 64
MAX_DS: Final = 16
_MAX_IS: Final = 12

_UID = re.compile(rb"[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_DS = re.compile(rb" *[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *").fullmatch
_IS = re.compile(rb" *[+-]?[0-9]+ *").fullmatch
_FRAGMENTS = re.compile(rb"\x1b[^\x1b]*|[^\x1b]+").findall
_KEEP_ESCAPE: Final = ("iso2022_jp", "iso2022_jp_2", "iso_ir_58")
"""Codecs of Python that expect the escape sequence (PS3.3 C.12.1.1.2)."""


def uid(raw: bytes) -> str | None:
    """A UID (VR UI, PS3.5 9.1): digits and dots, at most 64, no component with a leading zero."""
    raw = raw.rstrip(b"\0 ")
    return raw.decode("ascii") if len(raw) <= MAX_UID and _UID(raw) else None


def decimals(raw: bytes, count: int | None = None) -> tuple[float, ...] | None:
    """Finite numbers of VR DS, each of at most 16 bytes; `count` of them, if given."""
    parts = raw.rstrip(b"\0 ").split(b"\\")
    if count is not None and len(parts) != count:
        return None
    for part in parts:
        if not _DS(part) or len(part) > MAX_DS:
            return None
    numbers = tuple(map(float, parts))
    return numbers if all(map(math.isfinite, numbers)) else None


def integers(raw: bytes, count: int | None = None) -> tuple[int, ...] | None:
    """Numbers of VR IS, each of at most 12 bytes and of 32 bits; `count` of them, if given."""
    parts = raw.rstrip(b"\0 ").split(b"\\")
    if count is not None and len(parts) != count:
        return None
    for part in parts:
        if not _IS(part) or len(part) > _MAX_IS:
            return None
    numbers = tuple(map(int, parts))
    return numbers if all(-(2**31) <= number < 2**31 for number in numbers) else None


def decoded(raw: bytes, specific_character_set: Sequence[str]) -> str:
    """Text in the dataset's character set (PS3.5 6.1.2), never failing.

    Parameters
    ----------
    raw : bytes
        The value field.
    specific_character_set : sequence of str
        The values of (0008,0005); empty for the default repertoire.

    Notes
    -----
    For matching and searching only: what cannot be decoded becomes U+FFFD, so nothing that must be restored may pass
    through here. pydicom's own decoder is not used because it logs the declared character set, which is the sender's.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    first = python_encoding.get(specific_character_set[0] if specific_character_set else "", "latin_1")
    parts = []
    for fragment in _FRAGMENTS(raw):
        encoding = first
        if fragment[:1] == b"\x1b":
            escape = fragment[: 4 if fragment[1:3] in (b"$(", b"$)") else 3]
            encoding = CODES_TO_ENCODINGS.get(escape, "")
            if not encoding:
                encoding, fragment = first, fragment[1:]
            elif encoding not in _KEEP_ESCAPE:
                fragment = fragment[len(escape) :]
        parts.append(fragment.decode(encoding, "replace"))
    return "".join(parts)
