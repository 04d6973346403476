from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon2mask

from gateway.contourer.engine.contours import MOST_POINTS, TOLERANCE_MM, outlines, rings, signed_area


def disc(radius, size=128, at=(64.0, 64.0)):
    rows, columns = np.mgrid[:size, :size]
    return (rows - at[0]) ** 2 + (columns - at[1]) ** 2 <= radius**2


def test_a_disc_keeps_its_area_within_a_half_percent():
    (ring,) = rings(disc(40), (1, 1))
    assert abs(signed_area(ring)) == pytest.approx(disc(40).sum(), rel=0.005)


def test_an_outline_lies_within_the_tolerance_of_the_edge():
    (ring,) = rings(disc(40), (1, 1))
    radii = np.hypot(*(ring - 64).T)
    assert (abs(radii - 40) < 0.5 + TOLERANCE_MM).all()
    assert len(ring) < 120


def test_a_keyholed_hole_has_the_area_of_the_mask():
    mask = disc(50) & ~disc(20, at=(60, 70)) & ~disc(8, at=(95, 64))
    found = rings(mask, (1, 1))
    assert len(found) == 1
    assert abs(signed_area(found[0])) == pytest.approx(mask.sum(), rel=0.01)


def test_a_ring_without_its_hole_fails_the_same_measure():
    mask = disc(50) & ~disc(20)
    (ring,) = rings(disc(50), (1, 1))
    assert abs(signed_area(ring)) != pytest.approx(mask.sum(), rel=0.01)


def test_a_keyholed_ring_painted_again_is_the_mask():
    mask = disc(50) & ~disc(20, at=(60, 70))
    (ring,) = rings(mask, (1, 1))
    painted = polygon2mask(mask.shape, ring[:, ::-1])
    assert 2 * (painted & mask).sum() / (painted.sum() + mask.sum()) > 0.99


def test_regions_apart_are_outlined_apart():
    assert len(rings(disc(10, at=(30, 30)) | disc(10, at=(90, 90)), (1, 1))) == 2


def test_a_line_one_pixel_wide_survives_and_a_single_pixel_does_not():
    mask = np.zeros((32, 32), bool)
    mask[10, 4:28] = True
    assert len(rings(mask, (1, 1))) == 1
    mask[:] = False
    mask[5, 5] = True
    assert rings(mask, (1, 1)) == []


def test_a_mask_up_to_the_edge_of_the_image_is_closed_there():
    (ring,) = rings(np.ones((20, 30), bool), (1, 1))
    assert ring.min() == pytest.approx(-0.5, abs=0.02)
    assert abs(signed_area(ring)) == pytest.approx(600, rel=0.01)


def test_spacing_stretches_the_outline():
    (ring,) = rings(np.ones((20, 30), bool), (3, 0.5))
    assert np.ptp(ring[:, 0]) == pytest.approx(15, rel=0.01)
    assert np.ptp(ring[:, 1]) == pytest.approx(60, rel=0.01)


def test_noise_never_gives_more_points_than_contour_data_can_hold():
    noise = np.random.default_rng(1).random((512, 512)) < 0.62
    found = rings(noise, (1, 1))
    assert max(len(ring) for ring in found) <= MOST_POINTS


def test_an_empty_mask_has_no_outline():
    assert rings(np.zeros((8, 8), bool), (1, 1)) == []


def test_outlines_lie_on_the_planes_of_their_slices(volume):
    mask = np.zeros(volume.voxels.shape, bool)
    mask[7:9, 40:80, 50:90] = True
    found = list(outlines(mask, volume))
    assert [outline.slice_index for outline in found] == [7, 8]
    for outline in found:
        assert (outline.points_mm[:, 2] == volume.first_voxel_mm[outline.slice_index, 2]).all()
        middle = (outline.points_mm.min(axis=0) + outline.points_mm.max(axis=0)) / 2
        wanted = (
            volume.first_voxel_mm[outline.slice_index]
            + 69.5 * volume.column_step_mm
            + 59.5 * volume.row_step_mm
        )
        assert np.allclose(middle, wanted, atol=0.05)
