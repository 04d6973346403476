"""A volume becomes the masks of the structures that can be found in it.

In: a volume. Out: structures with their masks, External first. What is not in the field of view is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.contourer.engine.external import external
from gateway.contourer.engine.grid import CoarseGrid, Mask
from gateway.contourer.engine.roi import EXTERNAL, Structure
from gateway.contourer.engine.volume import Volume

__all__ = ["segment"]


def segment(volume: Volume) -> Iterator[tuple[Structure, Mask]]:
    """Find the structures of a volume.

    Yields
    ------
    structure : Structure
        What was found.
    mask : (slices, rows, columns) array of bool
        On the voxels of `volume`.

    Raises
    ------
    ContourerRefused
        NOTHING_TO_CONTOUR, where there is no body.
    """
    grid = CoarseGrid.of(volume)
    body = external(volume, grid)
    yield EXTERNAL, body
