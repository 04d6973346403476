"""Burned-in text, made: strings of invented people drawn into slices as consoles, PACS and screen captures draw them.

Everything follows from a seed. Strings, fonts and seeds of the set on which thresholds were chosen (`tuning`) do not
occur in the one that is reported (`held-out`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Stack = npt.NDArray[Any]
"""(slices, rows, columns), stored values."""

WORDS: Final = {
    "tuning": ("INVENTED", "MADEUP", "SAMPLE", "NOBODY", "EXAMPLE", "FICTUS", "PERSON", "ANYONE"),
    "held-out": (
        "PRETENDO",
        "IMAGINE",
        "FALSCHER",
        "UNREAL",
        "GHOSTWOOD",
        "NEMO",
        "ZWILLING",
        "QUIXOTE",
        "HOLLOW",
    ),
}
MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
SYSTEM_FONTS: Final = Path("/usr/share/fonts")
UNFIT_FONTS: Final = ("Fallback", "Math", "Symbols", "D050000L", "Z003", "ExtraLight")
"""Without letters, or scripts and hairlines that nothing burns in."""
EXTENTS: Final = ("all", "one", "some", "half")
SHADES: Final = ("light", "dark", "mid", "boxed")


class Face(NamedTuple):
    """How letters are drawn."""

    kind: str
    """sans, serif, mono, stroke (plotter letters) or bitmap."""
    file: str = ""
    number: int = 0
    """Of OpenCV's plotter fonts."""


@dataclass(frozen=True)
class Text:
    """One text and where it goes."""

    words: str
    face: Face
    height: int
    """Of a capital, pixels, about."""
    is_smooth: bool
    extent: str
    shade: str
    place: str


@dataclass(frozen=True)
class Burned:
    """A stack with a text in it."""

    stack: Stack
    text: Text
    slices: range | list[int]
    box: tuple[int, int, int, int]
    """Left, top, right, bottom."""
    is_legible: bool


def faces(split: str) -> list[Face]:
    """The fonts of a split: every second one of the system's, one plotter font in two, the bitmap font in both."""
    files = sorted(
        path
        for path in (*SYSTEM_FONTS.rglob("*.ttf"), *SYSTEM_FONTS.rglob("*.otf"))
        if not any(word in path.name for word in UNFIT_FONTS)
    )
    mine = files[split == "held-out" :: 2]
    found = [
        Face(
            "mono"
            if "Mono" in path.name
            else "serif"
            if "Serif" in path.name or "Roman" in path.name
            else "sans",
            str(path),
        )
        for path in mine
    ]
    plotter = {
        "tuning": (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX),
        "held-out": (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX),
    }
    found += [Face("stroke", number=number) for number in plotter[split] for _ in range(3)]
    return found + [Face("bitmap")] * 4


def words(random: np.random.Generator, split: str) -> str:
    """A name, a date or a number as they are burned in."""

    def name() -> str:
        return str(random.choice(WORDS[split]))

    day, month, year = random.integers(1, 29), random.integers(1, 13), random.integers(1920, 2024)
    forms = (
        f"{name()} {name()}",
        f"{name().title()}, {name().title()}",
        f"{name()}^{name()}",
        f"{day:02}.{month:02}.{year}",
        f"{year}-{month:02}-{day:02}",
        f"{month}/{day}/{year}",
        f"ID {random.integers(10**5, 10**8)}",
        f"{random.integers(10**6, 10**9)}",
        f"{name()} {random.integers(10, 9999)}",
        f"DOB {day:02} {MONTHS[month - 1]} {year}",
    )
    return forms[random.integers(len(forms))]


def drawn(text: Text) -> npt.NDArray[np.float32]:
    """The letters, 0 to 1, cut to their size."""
    if text.face.kind == "stroke":
        scale = text.height / 21
        (width, height), below = cv2.getTextSize(text.words, text.face.number, scale, 1)
        canvas = np.zeros((height + below + 6, width + 6), np.uint8)
        line = cv2.LINE_AA if text.is_smooth else cv2.LINE_8
        cv2.putText(canvas, text.words, (3, height + 2), text.face.number, scale, 255, 1, line)
    else:
        font: Any
        if text.face.kind == "bitmap":
            font = ImageFont.load_default_imagefont()
        else:
            font = ImageFont.truetype(text.face.file, round(text.height / 0.72))
        right, bottom = map(int, font.getbbox(text.words)[2:])
        picture = Image.new("L", (right + 4, bottom + 4))
        pen = ImageDraw.Draw(picture)
        pen.fontmode = "L" if text.is_smooth else "1"
        pen.text((2, 2), text.words, fill=255, font=font)
        canvas = np.asarray(picture)
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    cut = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (cut / np.float32(255)).astype(np.float32)


def chosen(random: np.random.Generator, split: str, all_faces: list[Face], shape: tuple[int, ...]) -> Text:
    """One text for a stack of a shape."""
    side = min(shape[1:])
    tallest = 22 if side >= 400 else 14 if side >= 130 else 8
    place = str(random.choice(("corner", "corner", "edge", "inside")))
    extent = str(random.choice(EXTENTS, p=(0.4, 0.3, 0.15, 0.15))) if shape[0] > 4 else "all"
    return Text(
        words(random, split),
        all_faces[random.integers(len(all_faces))],
        int(random.integers(7, tallest + 1)),
        bool(random.random() < 0.6),
        extent,
        str(random.choice(SHADES, p=(0.5, 0.2, 0.15, 0.15))),
        place,
    )


def burned(random: np.random.Generator, stack: Stack, text: Text, low: float, high: float) -> Burned | None:
    """Draw a text into a copy of a stack; None where it does not fit.

    Parameters
    ----------
    low, high : float
        The window in which a person looks, in stored values: it is burned in as it is seen there.
    """
    letters = drawn(text)
    count, rows, columns = stack.shape
    height, width = letters.shape
    if height > rows - 6 or width > columns - 6:
        return None
    top, left = _placed(random, text.place, rows - height, columns - width)
    slices = _slices(random, text.extent, count)
    shade = {"light": high, "dark": low, "mid": low + 0.6 * (high - low), "boxed": low}[text.shade]
    copy = stack.copy()
    box = slice(top, top + height), slice(left, left + width)
    around = slice(max(0, top - 2), top + height + 2), slice(max(0, left - 2), left + width + 2)
    legible = []
    for index in slices:
        if text.shade == "boxed":
            copy[index][around] = high
        seen = np.clip(copy[index].astype(np.float32), low, high)
        under = seen[box].copy()
        seen[box] = under * (1 - letters) + shade * letters
        copy[index][box] = np.where(letters > 0, np.rint(seen[box]), copy[index][box]).astype(stack.dtype)
        legible.append(_is_legible(np.clip(copy[index][box].astype(float), low, high), letters, high - low))
    return Burned(copy, text, slices, (left, top, left + width, top + height), any(legible))


def _placed(random: np.random.Generator, place: str, down: int, across: int) -> tuple[int, int]:
    if place == "corner":
        return int(random.choice((3, down - 3))), int(random.choice((3, across - 3)))
    top, left = int(random.integers(3, down - 2)), int(random.integers(3, across - 2))
    if place == "edge":
        return (
            (top, int(random.choice((3, across - 3))))
            if random.random() < 0.5
            else (
                int(random.choice((3, down - 3))),
                left,
            )
        )
    return top, left


def _slices(random: np.random.Generator, extent: str, count: int) -> list[int]:
    if extent == "all":
        return list(range(count))
    if extent == "one":
        return [int(random.integers(count))]
    if extent == "half":
        return list(range(count // 2)) if random.random() < 0.5 else list(range(count // 2, count))
    length = min(count - 1, int(random.integers(2, 9)))
    start = int(random.integers(count - length))
    return list(range(start, start + length))


def _is_legible(seen: npt.NDArray[Any], letters: npt.NDArray[np.float32], width: float) -> bool:
    """Whether a person could read it in this window: by contrast, noise and share of the letters.

    The text is cut into pieces as wide as it is high. A piece can be read where its strokes differ from what lies
    between and around them by a tenth of the window and by one and a half times the spread there; six pieces in ten
    must be. That is low: a person sees 25 of 256 greys, and does not read a name of which less is seen.
    """
    pieces = max(1, round(letters.shape[1] / max(letters.shape[0], 1)))
    core, outside = letters > 0.6, ndimage.maximum_filter(letters, 3) < 0.1
    readable = []
    for columns in np.array_split(np.arange(letters.shape[1]), pieces):
        on, off = seen[:, columns][core[:, columns]], seen[:, columns][outside[:, columns]]
        if len(on) < 3 or len(off) < 3:
            continue
        contrast = abs(float(np.median(on)) - float(np.median(off)))
        readable.append(contrast >= width / 10 and contrast >= 1.5 * float(off.std()))
    return len(readable) > 0 and sum(readable) >= 0.6 * len(readable)
