"""`python -m gateway.contourer.engine`: serve the frames of `frames.py` on standard input and output until it ends.

Everything is imported before the first request, so that a warm process answers at once. Nothing that a dataset holds
can get to the log: warnings and messages of libraries are silenced, and a fault is told by its type and place only.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from pydicom import config as pydicom_config

from gateway.contourer.engine.engine import contour
from gateway.contourer.engine.frames import BrokenPipeContract, read_body, read_request, write_answer
from gateway.errors import ContourerRefused

__all__ = ["serve"]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the stream ends.

    Raises
    ------
    BrokenPipeContract
        If the other side does not keep to the frames.
    """
    while (request := read_request(requests)) is not None:
        began = time.monotonic()
        bodies = _bodies(requests, request.slices)
        try:
            contoured = contour(bodies)
        except ContourerRefused as refusal:
            for _ in bodies:  # the next request stands behind them
                pass
            write_answer(answers, {"ok": False, "code": refusal.code, "hint": refusal.hint})
        else:
            told = {
                "ok": True,
                "rois": contoured.roi_names,
                "seconds": round(time.monotonic() - began, 3),
            }
            write_answer(answers, told, contoured.structure_set)


def _bodies(stream: BinaryIO, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield read_body(stream)


def _tell_place_only(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say where a fault is without its message, which may quote a value."""
    for frame in traceback.extract_tb(trace):
        sys.stderr.write(f"  {os.path.basename(frame.filename)}:{frame.lineno} {frame.name}\n")
    sys.stderr.write(f"{kind.__name__}\n")


def main() -> int:
    """Keep standard output for frames alone, then serve."""
    sys.excepthook = _tell_place_only
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            serve(sys.stdin.buffer, answers)
        except BrokenPipeContract:
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
