"""The masked picture: it shows a person where text is, and nobody what it says.

The places are black within a white frame. Everything else is shown in coarse squares, so that text that was not found
cannot be read either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import imagecodecs
import numpy as np

from gateway.pixels.findings import Finding
from gateway.pixels.windows import Grey

SQUARES: Final = 32
"""Coarse squares along the longer side: a body is recognised, a letter is not."""
SHOWN_SIDE: Final = 576
"""Pixels of the picture's longer side, about."""
MARGIN: Final = 0.3
"""Of a place's height: what is blackened above and below it; its whole height to both sides."""
_FRAME: Final = 2


def masked(picture: Grey, findings: Sequence[Finding]) -> bytes:
    """Draw the masked picture.

    Parameters
    ----------
    picture : numpy.ndarray
        (rows, columns), 8-bit grey.
    findings : sequence of Finding
        Where text is in it.

    Returns
    -------
    bytes
        A PNG file.
    """
    rows, columns = picture.shape
    square = max(4, -(-max(rows, columns) // SQUARES))
    padded = np.pad(picture, ((0, -rows % square), (0, -columns % square)), mode="edge").astype(np.float32)
    tall, wide = padded.shape[0] // square, padded.shape[1] // square
    coarse = padded.reshape(tall, square, wide, square).mean(axis=(1, 3)).astype(np.uint8)
    zoom = max(1, round(SHOWN_SIDE / max(rows, columns)))
    shown = np.repeat(np.repeat(coarse, square * zoom, axis=0), square * zoom, axis=1)
    shown = np.ascontiguousarray(shown[: rows * zoom, : columns * zoom])
    for place in findings:
        height = place.bottom - place.top
        margin = max(2, round(height * MARGIN))
        top, left = max(0, place.top - margin) * zoom, max(0, place.left - height) * zoom
        bottom, right = (place.bottom + margin) * zoom, (place.right + height) * zoom
        shown[top:bottom, left:right] = 255
        shown[top + _FRAME : bottom - _FRAME, left + _FRAME : right - _FRAME] = 0
    return bytes(imagecodecs.png_encode(shown))
