"""Findings: where text was read, as numbers. What it says is nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.pixels.reader import Place
from gateway.pixels.sight import Picture, Source


@dataclass(frozen=True, slots=True)
class Finding:
    """One place with text."""

    source: Source
    """What was read."""
    slice_index: int | None
    """Along the axis; None where a projection of all slices was read."""
    left: int
    top: int
    right: int
    bottom: int
    """In pixels of the matrix; right and bottom are the first ones outside."""
    letters: int
    """Letters and digits that were recognised."""


def located(picture: Picture, places: Sequence[Place]) -> list[Finding]:
    """The places of a picture, in pixels of the matrix.

    Parameters
    ----------
    picture : Picture
    places : sequence of Place
        What the reader found in it.
    """
    if picture.sheet is None:
        return [
            Finding(picture.source, picture.slice_index, p.left, p.top, p.right, p.bottom, p.letters)
            for p in places
        ]
    found = []
    for place in places:
        row, column = (place.top + place.bottom) / 2, (place.left + place.right) / 2
        for tile in picture.sheet.tiles:
            spot = tile.spot
            rows, columns = spot.bottom - spot.top, spot.right - spot.left
            if tile.top <= row < tile.top + rows and tile.left <= column < tile.left + columns:
                down, across = spot.top - tile.top, spot.left - tile.left
                found.append(
                    Finding(
                        Source.SLICE,
                        spot.slice_index,
                        max(spot.left, place.left + across),
                        max(spot.top, place.top + down),
                        min(spot.right, place.right + across),
                        min(spot.bottom, place.bottom + down),
                        place.letters,
                    )
                )
                break
    return found
