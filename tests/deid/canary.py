"""Canaries: words that stand for an identifier, and the search for them in every form in which one could leave."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Canary"]


@dataclass(frozen=True)
class Canary:
    """An identifier that exists nowhere but in one test.

    Parameters
    ----------
    text : str
        A word, a name with `^`, a UID or a date (YYYYMMDD).
    """

    text: str

    def found_in(self, data: bytes) -> set[str]:
        """The forms in which it stands in some bytes."""
        lowered = data.lower()
        return {form for form, needle in self.forms() if needle.lower() in lowered}

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Every form, named."""
        for written in self._written():
            for codec in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"):
                try:
                    encoded = written.encode(codec)
                except UnicodeEncodeError:
                    continue
                yield codec, encoded
                yield f"{codec} hex", encoded.hex().encode()
                yield f"{codec} backwards", encoded[::-1]
                for name, part in _base64_parts(encoded):
                    yield f"{codec} base64 {name}", part

    def _written(self) -> set[str]:
        written = {self.text}
        if "^" in self.text:
            names = [name for name in self.text.split("^") if name]
            for order in (names, names[::-1]):
                written |= {between.join(order) for between in (" ", ", ", "^", "", "_")}
            written |= {name for name in names if len(name) > 3}
        if len(self.text) == 8 and self.text.isdigit():
            date = datetime.datetime.strptime(self.text, "%Y%m%d")
            for form in (
                "%Y-%m-%d",
                "%d.%m.%Y",
                "%d/%m/%Y",
                "%m/%d/%Y",
                "%d%m%Y",
                "%d %b %Y",
                "%d-%b-%Y",
                "%B %d, %Y",
            ):
                written.add(date.strftime(form))
        return written


def _base64_parts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What is the same of a base64 text whatever stands before and after the data."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data)
        start = (0, 2, 3)[offset]
        stop = len(encoded) - (0, 3, 2)[(len(data) + offset) % 3]
        if stop - start >= 6:
            yield str(offset), encoded[start:stop]
