"""From a slice to the bytes that the viewer's canvas reads.

Comes in: a `SlicePicture`. Goes out: a header of 32 bytes and the samples, all little-endian::

    offset  0  4 bytes   "CGS1"
            4  uint16    rows
            6  uint16    columns
            8  int32     what to add to each sample
           12  float32   spacing between rows, mm
           16  float32   spacing between columns, mm
           20  3 float32 ImagePositionPatient, mm
           32  int16     rows × columns samples, row by row
"""

from __future__ import annotations

import struct

import numpy as np

from gateway.flow.board import SlicePicture

HEADER = struct.Struct("<4sHHi2f3f")
"""See the table above."""

_INT16 = np.iinfo(np.int16)


def slice_bytes(picture: SlicePicture) -> bytes:
    """Return a slice as the viewer reads it.

    Values are exact where their range fits 16 bits, which every 16-bit image's does; values further than that from the
    smallest one are clipped.
    """
    values = picture.stored_values
    rows, columns = values.shape
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    fits = low >= _INT16.min and high <= _INT16.max
    offset = 0 if fits else low - int(_INT16.min)
    samples = values if fits else np.clip(values.astype(np.int64) - offset, _INT16.min, _INT16.max)
    header = HEADER.pack(b"CGS1", rows, columns, offset, *picture.spacing, *picture.position)
    return header + samples.astype("<i2").tobytes()
