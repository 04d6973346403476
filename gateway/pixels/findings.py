"""Findings: where text was read, as numbers. What it says is nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.pixels.candidates import Sheet, Tile
from gateway.pixels.reader import Place
from gateway.pixels.sight import Picture, Source

FRAME: Final = 0.9
"""Of a tile's height: a place so high is the tile's frame and no line of text."""


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
    return [
        _on_slice(tile, place)
        for place in places
        for tile in (_nearest(picture.sheet, place),)
        if not _is_frame(tile, place)
    ]


def doubtful(picture: Picture, places: Sequence[Place]) -> list[int]:
    """Slices that must be read as a whole, because a tile of a sheet reads like a letter by its own frame.

    The edge between a cut-out and what is beside it is there on the sheet only. Whether the slice has text is told by
    the slice.
    """
    if picture.sheet is None:
        return []
    tiles = ((_nearest(picture.sheet, place), place) for place in places)
    return list(dict.fromkeys(tile.spot.slice_index for tile, place in tiles if _is_frame(tile, place)))


def _is_frame(tile: Tile, place: Place) -> bool:
    return place.bottom - place.top >= FRAME * tile.rows


def _nearest(sheet: Sheet, place: Place) -> Tile:
    """The tile nearest to the middle of a place."""
    row, column = (place.top + place.bottom) / 2, (place.left + place.right) / 2

    def distance(tile: Tile) -> float:
        bottom, right = tile.top + tile.rows, tile.left + tile.columns
        return max(0, tile.top - row, row - bottom) + max(0, tile.left - column, column - right)

    return min(sheet.tiles, key=distance)


def _on_slice(tile: Tile, place: Place) -> Finding:
    spot = tile.spot
    left, right = (spot.left + (column - tile.left) // tile.zoom for column in (place.left, place.right))
    top, bottom = (spot.top + (row - tile.top) // tile.zoom for row in (place.top, place.bottom))
    return Finding(
        Source.SLICE,
        spot.slice_index,
        min(max(spot.left, left), spot.right - 1),
        min(max(spot.top, top), spot.bottom - 1),
        max(min(spot.right, right), spot.left + 1),
        max(min(spot.bottom, bottom), spot.top + 1),
        place.letters,
    )
