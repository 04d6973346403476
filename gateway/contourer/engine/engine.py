"""Slices in, structure set out: one order from beginning to end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.contourer.engine.contours import outlines
from gateway.contourer.engine.roi import Roi
from gateway.contourer.engine.segmentation import segment
from gateway.contourer.engine.slices import Slice, read_slice
from gateway.contourer.engine.structure_set import encode
from gateway.contourer.engine.volume import assemble
from gateway.errors import ContourerRefused

__all__ = ["Contoured", "contour"]


class Contoured(NamedTuple):
    """What came of an order."""

    roi_names: tuple[str, ...]
    structure_set: bytes
    """DICOM Part 10."""


def contour(images: Iterable[bytes | bytearray]) -> Contoured:
    """Contour a series.

    Parameters
    ----------
    images : iterable of bytes
        DICOM Part 10 streams with native pixels, in any order. Each is decoded as it comes and not kept.

    Raises
    ------
    ContourerRefused
        With the code that says why the series cannot be contoured.
    """
    slices: list[Slice] = [read_slice(image) for image in images]
    volume = assemble(slices)
    slices.clear()
    found = (Roi(structure, outlines(mask, volume)) for structure, mask in segment(volume))
    rois = [roi for roi in found if roi.outlines]
    if not rois:
        raise ContourerRefused("NOTHING_TO_CONTOUR")
    return Contoured(tuple(roi.structure.name for roi in rois), encode(volume, rois))
