"""Expiry: certificates of ours that end soon are told of 30 days ahead, for as long as they are not renewed.

In: what the doctor finds when it looks at the files. Out: a concern for each that ends soon, has ended or cannot be
read; it is over when a renewed file is there, which the DICOM port takes up by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.errors import Fact, Word
from gateway.flow.concerns import Concerns

__all__ = ["ExpiryWatch"]

CODE: Final = "CERTIFICATE_ENDS"
LOOK_S: Final = 10.0
"""Between two looks; a look reads a few small files."""


class ExpiryWatch:
    """Looks at the certificates again and again.

    Parameters
    ----------
    examine : callable
        What the doctor finds now, one diagnosis for each file.
    concerns : Concerns
    """

    def __init__(self, examine: Callable[[], Iterable[Diagnosis]], concerns: Concerns) -> None:
        self._examine = examine
        self._concerns = concerns
        self._told: dict[str, str] = {}
        """What stands, by subject; told anew when it changes, which it does as the days go by."""

    def look(self) -> None:
        """Look once."""
        for diagnosis in self._examine():
            subject, found = diagnosis.subject, diagnosis.text
            if self._told.get(subject) == found:
                continue
            if self._told.pop(subject, None) is not None:
                self._concerns.end(CODE, subject)
            if diagnosis.finding is not Finding.WELL:
                self._told[subject] = found
                word = Word.known(found.replace(",", ""))
                facts: dict[str, Fact] = {} if word is None else {"found": word}
                self._concerns.begin(CODE, Word.known(subject) or "", facts)

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)
