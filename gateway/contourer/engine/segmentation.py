"""A volume becomes the masks of the structures that can be found in it.

In: a volume. Out: structures with their masks, External first. What is not in the field of view is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.contourer.engine.bones import bones
from gateway.contourer.engine.canal import spinal_canal
from gateway.contourer.engine.external import external
from gateway.contourer.engine.external_mr import external_mr
from gateway.contourer.engine.grid import CoarseGrid, Mask
from gateway.contourer.engine.lungs import lungs
from gateway.contourer.engine.roi import BONE, EXTERNAL, LUNG_L, LUNG_R, SPINAL_CANAL, Structure
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
    if volume.modality == "MR":
        yield EXTERNAL, external_mr(volume)
        return
    grid = CoarseGrid.of(volume)
    body = external(volume, grid)
    yield EXTERNAL, body
    bone = bones(volume, body, grid)
    canal = None if bone is None else spinal_canal(volume, bone, grid)
    left, right = lungs(volume, body, canal, grid)
    if bone is not None and canal is not None:
        bone &= ~canal
    for structure, mask in ((LUNG_L, left), (LUNG_R, right), (BONE, bone), (SPINAL_CANAL, canal)):
        if mask is not None and mask.any():
            yield structure, mask
