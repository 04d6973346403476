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

if TYPE_CHECKING:
    from gateway.pixels.windows import Grey

REQUEST: Final = struct.Struct(">HH")
COUNT: Final = struct.Struct(">H")
PLACE: Final = struct.Struct(">6H")
READY: Final = b"R"

SIDE: Final = 512
"""Pixels to which the shorter side of a smaller picture is enlarged before text is looked for."""
MEMORY_BYTES: Final = 3 * 2**30
"""Address space beyond what the process has at its start."""
NICE: Final = 5
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
        import numpy as np

        from gateway.pixels.rule import letters_of_text

        found = self._engine(
            np.repeat(picture[..., None], 3, axis=2), use_det=True, use_cls=False, use_rec=True
        )
        if found.boxes is None or found.txts is None:
            return []
        rows, columns = picture.shape
        places = []
        for corners, reading, score in zip(found.boxes, found.txts, found.scores, strict=True):
            letters = letters_of_text(reading, float(score))
            if letters:
                left, top = np.floor(np.min(corners, axis=0)).astype(int)
                right, bottom = np.ceil(np.max(corners, axis=0)).astype(int)
                places.append(
                    Place(
                        max(0, int(left)),
                        max(0, int(top)),
                        min(columns, int(right)),
                        min(rows, int(bottom)),
                        letters,
                        float(score),
                    )
                )
        return places


def _serve() -> None:
    with contextlib.suppress(OSError):  # the vault's own rights, inherited, hold in any case
        landlock.deny_changes((), tcp=False)
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
