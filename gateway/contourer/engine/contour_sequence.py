"""The ROI Contour Sequence (PS3.3 C.8.8.6), encoded directly in explicit VR little endian (PS3.5 7.1.2, 7.5).

pydicom would make and check an object of each of some hundred thousand numbers; here they are formatted once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.contourer.engine.contours import Outline
from gateway.contourer.engine.roi import Roi
from gateway.contourer.engine.volume import ImageReference

__all__ = ["encode_roi_contours"]

_ROI_CONTOURS: Final = (0x3006, 0x0039)
_DISPLAY_COLOUR: Final = (0x3006, 0x002A)
_CONTOURS: Final = (0x3006, 0x0040)
_ROI_NUMBER: Final = (0x3006, 0x0084)
_IMAGES: Final = (0x3006, 0x0016)
_SOP_CLASS: Final = (0x0008, 0x1150)
_SOP_INSTANCE: Final = (0x0008, 0x1155)
_GEOMETRIC_TYPE: Final = (0x3006, 0x0042)
_POINT_COUNT: Final = (0x3006, 0x0046)
_DATA: Final = (0x3006, 0x0050)
_ITEM: Final = (0xFFFE, 0xE000)


def encode_roi_contours(rois: Sequence[Roi], images: Sequence[ImageReference]) -> bytes:
    """Encode the sequence element.

    Parameters
    ----------
    rois : sequence of Roi
        In the order of their ROI numbers, from 1.
    images : sequence of ImageReference
        In the order of the slices.
    """
    references = [_sequence(_IMAGES, [_reference(image)]) for image in images]
    return _sequence(_ROI_CONTOURS, [_roi(number, roi, references) for number, roi in enumerate(rois, 1)])


def _roi(number: int, roi: Roi, references: Sequence[bytes]) -> bytes:
    return (
        _element(_DISPLAY_COLOUR, b"IS", "\\".join(map(str, roi.structure.colour)))
        + _sequence(_CONTOURS, (_contour(outline, references) for outline in roi.outlines))
        + _element(_ROI_NUMBER, b"IS", str(number))
    )


def _contour(outline: Outline, references: Sequence[bytes]) -> bytes:
    return (
        references[outline.slice_index]
        + _element(_GEOMETRIC_TYPE, b"CS", "CLOSED_PLANAR")
        + _element(_POINT_COUNT, b"IS", str(len(outline.points_mm)))
        + _element(_DATA, b"DS", _decimal_strings(outline.points_mm))
    )


def _reference(image: ImageReference) -> bytes:
    return _element(_SOP_CLASS, b"UI", image.sop_class_uid) + _element(
        _SOP_INSTANCE, b"UI", image.sop_instance_uid
    )


def _decimal_strings(points_mm: NDArray[np.float64]) -> str:
    """Write points as DS, in micrometres: at most 12 of the 16 bytes that PS3.5 6.2 allows."""
    return "\\".join(f"{number:.3f}" for number in points_mm.ravel().tolist())


def _element(tag: tuple[int, int], vr: bytes, text: str) -> bytes:
    """Encode an element of a VR with a length of 16 bits.

    Raises
    ------
    struct.error
        If the value is longer than that; `contours.MOST_POINTS` keeps it shorter.
    """
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", *tag, vr, len(value)) + value


def _sequence(tag: tuple[int, int], items: Iterable[bytes]) -> bytes:
    content = b"".join(struct.pack("<HHI", *_ITEM, len(item)) + item for item in items)
    return struct.pack("<HH2sHI", *tag, b"SQ", 0, len(content)) + content
