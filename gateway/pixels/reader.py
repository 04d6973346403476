"""The reader process: says where in a picture there is text, and never what it says.

`python -m gateway.pixels.reader` reads pictures from its standard input and answers on its standard output until the
input ends. It runs apart from the vault because a recogniser is a large C++ library with threads of its own. The
recognised text is judged here (`gateway.pixels.rule`) and dropped: only places and counts leave the process.

A request is `REQUEST` (rows, columns) and the grey values. An answer is `COUNT` and so many `PLACE` (left, top, right,
bottom in pixels, letters and digits, score in thousandths). Once, before the first answer, it sends `READY`.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.vault import landlock
from gateway.vault.memory import protect_child

if TYPE_CHECKING:
    from gateway.pixels.windows import Grey

REQUEST: Final = struct.Struct(">HH")
COUNT: Final = struct.Struct(">H")
PLACE: Final = struct.Struct(">6H")
READY: Final = b"R"

SIDE: Final = 512
"""Pixels to which the shorter side of a smaller picture is enlarged, and the side of a larger one's pieces."""
PIXEL_IS_TEXT: Final = 0.15
PLACE_IS_TEXT: Final = 0.2
"""From which probability on the detector's answer is passed on to be recognised: low, because anatomy is told from text
by what it reads as, and what is not passed on is not read at all."""
OVERLAP: Final = 64
"""Pixels that neighbouring pieces of a large picture share."""
LEAST_SIDE: Final = 64
MEMORY_BYTES: Final = 3 * 2**30
"""Address space beyond what the process has at its start."""
NICE: Final = 10
"""Intake goes before reading."""


class Place(NamedTuple):
    """Where text is in a picture, and how much of it."""

    left: int
    top: int
    right: int
    bottom: int
    letters: int
    """Letters and digits that were recognised."""
    score: float
    """How sure the recogniser is, 0 to 1."""


class Recogniser:
    """The models, loaded once.

    Parameters
    ----------
    threads : int
        How many work on one picture.
    """

    def __init__(self, threads: int = 1) -> None:
        from rapidocr import RapidOCR

        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.text_score": 0.0,
                "Det.limit_side_len": SIDE,
                "Det.thresh": PIXEL_IS_TEXT,
                "Det.box_thresh": PLACE_IS_TEXT,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def places(self, picture: Grey) -> list[Place]:
        """Where a picture has text.

        Parameters
        ----------
        picture : numpy.ndarray
            (rows, columns), 8-bit grey.
        """
        found = []
        for rows, columns in pieces(*picture.shape):
            for left, top, right, bottom, letters, score in self._read(picture[rows, columns]):
                down, across = rows.start, columns.start
                found.append(Place(left + across, top + down, right + across, bottom + down, letters, score))
        return found

    def _read(self, piece: Grey) -> list[Place]:
        import numpy as np

        from gateway.pixels.rule import letters_of_text

        rows, columns = piece.shape
        half = -(-max(rows, columns) // 2)  # a sliver would be enlarged beyond all measure
        padded = np.pad(piece, ((0, max(0, half - rows)), (0, max(0, half - columns))), mode="edge")
        coloured = np.repeat(padded[..., None], 3, axis=2)
        found = self._engine(coloured, use_det=True, use_cls=False, use_rec=True)
        if found.boxes is None or found.txts is None:
            return []
        places = []
        for corners, reading, score in zip(found.boxes, found.txts, found.scores, strict=True):
            letters = letters_of_text(reading, float(score))
            if letters:
                left, top = (max(0, int(end)) for end in np.floor(np.min(corners, axis=0)))
                right, bottom = (int(end) for end in np.ceil(np.max(corners, axis=0)))
                places.append(Place(left, top, min(columns, right), min(rows, bottom), letters, float(score)))
        return places


def pieces(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """The pieces in which a picture is read: about square and not large, else small letters are overlooked.

    They overlap, so that a line of text that one cuts off is whole enough in the next one.
    """
    side = min(SIDE, max(LEAST_SIDE, 2 * min(rows, columns)))
    return [(down, across) for down in _parts(rows, side) for across in _parts(columns, side)]


def _parts(length: int, side: int) -> list[slice]:
    if length <= 1.25 * side:
        return [slice(0, length)]
    overlap = min(OVERLAP, side // 2)
    count = -(-(length - overlap) // (side - overlap))
    starts = [round(number * (length - side) / (count - 1)) for number in range(count)]
    return [slice(start, start + side) for start in starts]


def _serve() -> None:
    with contextlib.suppress(OSError):  # the vault's own rights, inherited, hold in any case
        landlock.deny_changes((), tcp=False)
    protect_child()
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = io.StringIO()  # what a library prints must not get between the answers
    import numpy as np

    recogniser = Recogniser()
    recogniser.places(np.zeros((64, 64), np.uint8))
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    answers.write(READY)
    answers.flush()
    while head := requests.read(REQUEST.size):
        rows, columns = REQUEST.unpack(head)
        picture = np.frombuffer(requests.read(rows * columns), np.uint8).reshape(rows, columns)
        places = recogniser.places(picture)[:0xFFFF]
        answers.write(COUNT.pack(len(places)))
        for place in places:
            answers.write(PLACE.pack(*place[:5], round(place.score * 1000)))
        answers.flush()


if __name__ == "__main__":
    _serve()
