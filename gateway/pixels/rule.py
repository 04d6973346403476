"""The rule by which something that the recogniser read counts as text.

A recogniser gives a string and a score to whatever looks a little like letters: vessels, trabeculae, the edge of a
couch. What anatomy yields is short, or scored low, or repeats one character; what people and devices burn in has at
least three letters or digits that the recogniser is sure of, or two that it has no doubt about. A single character is
never text: it is how a rib or an air bubble reads, and a lone side marker identifies nobody.
"""

from __future__ import annotations

import unicodedata
from typing import Final

SURE: Final = 0.75
"""Mean score of a reading of three or more letters and digits."""
BEYOND_DOUBT: Final = 0.93
"""Mean score of a reading of two."""
LIKE_STROKES: Final = frozenset("1lI|ijJ!/\\-_.,:;'`oO0cCuUnvVxX")
"""Characters as which lone lines and rings read."""


def letters_of_text(reading: str, score: float) -> int:
    """How many letters and digits a reading has that counts as text; 0 where it does not count.

    Parameters
    ----------
    reading : str
        What the recogniser read; it is looked at here and goes nowhere.
    score : float
        The mean of its characters' scores, 0 to 1.
    """
    signs = [sign for sign in reading if unicodedata.category(sign)[0] in "LN"]
    kinds = {sign for sign in signs if sign not in LIKE_STROKES}
    if len(signs) >= 3 and score >= SURE and len(set(signs)) >= 2 and kinds:
        return len(signs)
    if len(signs) == 2 and score >= BEYOND_DOUBT and len(kinds) == 2:
        return 2
    return 0
