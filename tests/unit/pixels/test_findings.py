"""What the reader found on a sheet is found on the slice it was cut from."""

import numpy as np

from gateway.pixels.candidates import Spot, sheets
from gateway.pixels.findings import doubtful, located
from gateway.pixels.reader import Place
from gateway.pixels.sight import Picture, Source

BLACK = np.zeros((512, 512), np.uint8)


def test_places_of_a_projection_are_places_of_the_matrix() -> None:
    (finding,) = located(Picture(Source.MEAN, BLACK), [Place(1, 2, 30, 40, 5, 0.9)])
    assert (finding.source, finding.slice_index) == (Source.MEAN, None)
    assert (finding.left, finding.top, finding.right, finding.bottom, finding.letters) == (1, 2, 30, 40, 5)


def test_places_of_a_sheet_are_brought_back_to_their_slices() -> None:
    spots = [
        Spot(index, 16 * index, 8 * index, 16 * index + 80, 8 * index + 256, 50.0) for index in range(20)
    ]
    for sheet in sheets(spots, lambda index: BLACK):
        places = [Place(t.left + 9, t.top + 30, t.left + 99, t.top + 45, 7, 0.9) for t in sheet.tiles]
        found = located(Picture(Source.SHEET, sheet.picture, sheet=sheet), places)
        for finding, tile in zip(found, sheet.tiles, strict=True):
            assert finding.source is Source.SLICE
            assert finding.slice_index == tile.spot.slice_index
            assert finding.left == tile.spot.left + 9
            assert finding.top == tile.spot.top + 30
            assert (finding.right - finding.left, finding.bottom - finding.top) == (90, 15)


def test_a_place_that_reaches_beyond_its_tile_ends_with_it() -> None:
    (sheet,) = sheets([Spot(3, 10, 20, 90, 276, 50.0)], lambda index: BLACK)
    (finding,) = located(Picture(Source.SHEET, sheet.picture, sheet=sheet), [Place(200, 66, 290, 90, 4, 0.9)])
    assert (finding.right, finding.bottom) == (276, 90)


def test_a_place_between_the_tiles_belongs_to_the_nearest() -> None:
    spots = [Spot(3, 10, 20, 90, 276, 50.0), Spot(5, 10, 20, 90, 276, 50.0)]
    (sheet,) = sheets(spots, lambda index: BLACK)
    for left, slice_index in ((255, 3), (300, 5)):
        place = Place(left, 300, left + 6, 310, 4, 0.9)
        (finding,) = located(Picture(Source.SHEET, sheet.picture, sheet=sheet), [place])
        assert finding.slice_index == slice_index
        assert 20 <= finding.left < finding.right <= 276
        assert 10 <= finding.top < finding.bottom <= 90


def test_the_frame_of_a_tile_is_no_text_but_has_its_slice_read_again() -> None:
    spots = [Spot(3, 10, 20, 90, 276, 50.0), Spot(5, 10, 20, 90, 276, 50.0)]
    (sheet,) = sheets(spots, lambda index: BLACK)
    picture = Picture(Source.SHEET, sheet.picture, sheet=sheet)
    second = sheet.tiles[1]
    frame = Place(second.left + 2, second.top, second.left + 250, second.top + 80, 3, 0.8)
    line = Place(second.left + 2, second.top + 20, second.left + 250, second.top + 65, 3, 0.8)
    assert located(picture, [frame]) == []
    assert doubtful(picture, [frame, frame]) == [5]
    assert len(located(picture, [frame, line])) == 1
    assert doubtful(picture, [line]) == []
    assert doubtful(Picture(Source.MEAN, BLACK), [frame]) == []
