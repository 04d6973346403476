from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.contourer.engine.airway import airway
from gateway.contourer.engine.external import external
from gateway.contourer.engine.grid import CoarseGrid
from gateway.contourer.engine.lungs import lungs
from gateway.contourer.engine.slices import read_slice
from gateway.contourer.engine.volume import assemble
from gateway.demo.phantom import Phantom, phantom_series


def truth(phantom, side):
    return np.stack([phantom.lung(side, float(z)) for z in phantom.heights_mm])


def lungs_of(volume, voxels=None, canal=None):
    if voxels is not None:
        volume = dataclasses.replace(
            volume, voxels=voxels, first_voxel_mm=volume.first_voxel_mm[: len(voxels)]
        )
    grid = CoarseGrid.of(volume)
    return lungs(volume, external(volume, grid), canal, grid)


def overlap(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_both_lungs_have_the_phantoms_volume(volume, phantom):
    found = lungs_of(volume)
    for mask, side in ((found.left, 1), (found.right, -1)):
        assert mask.sum() == pytest.approx(truth(phantom, side).sum(), rel=0.03)
        assert overlap(mask, truth(phantom, side)) > 0.97


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
def test_left_is_the_patients_left_however_the_patient_lies(part10, position):
    coarse = Phantom(slices=30, slice_distance_mm=10, matrix=128, pixel_spacing_mm=3.90625)
    turned = assemble(
        [read_slice(part10(image)) for image in phantom_series(coarse, patient_position=position)]
    )
    found = lungs_of(turned)
    for mask, side in ((found.left, 1), (found.right, -1)):
        x = (
            turned.first_voxel_mm[0, 0]
            + np.flatnonzero(mask.any(axis=(0, 1))).mean() * turned.column_step_mm[0]
        )
        assert np.sign(x) == side


def test_vessels_belong_to_the_lung_and_the_heart_does_not(volume, phantom):
    found = lungs_of(volume)
    for index, z in enumerate(phantom.heights_mm):
        heart = phantom.hounsfield(float(z)) == 45.0  # what is neither vessel nor airway
        assert (found.left[index] & heart).sum() <= 0.05 * max(1, found.left[index].sum())
    inside = truth(phantom, 1) & (volume.voxels > -200)
    assert (found.left & inside).sum() > 0.8 * inside.sum()


def test_the_trachea_belongs_to_neither_lung(volume, phantom):
    found = lungs_of(volume)
    high = [index for index, z in enumerate(phantom.heights_mm) if z > 60]
    rows, columns = slice(132, 137), slice(126, 131)  # the trachea's middle
    assert (volume.voxels[high][:, rows, columns] < -900).all()
    assert not (found.left | found.right)[high][:, rows, columns].any()


def test_the_airway_is_followed_from_the_trachea_into_both_bronchi(volume, phantom):
    grid = CoarseGrid.of(volume)
    air = (grid.voxels < -400) & grid.shrunk_mask(external(volume, grid))
    found = airway(air, None, grid)
    for index, z in enumerate(phantom.heights_mm):
        if z > 45:
            assert found[index, 134 // grid.factor, 128 // grid.factor]
    lung = grid.shrunk_mask(truth(phantom, 1) | truth(phantom, -1))
    assert (found & lung).sum() < 0.02 * lung.sum()


def test_lungs_that_touch_in_front_of_the_heart_are_parted(volume, phantom):
    voxels = volume.voxels.copy()
    bridged = [index for index, z in enumerate(phantom.heights_mm) if 40 < z < 70]
    voxels[bridged[0] : bridged[-1] + 1, 96:103, 100:160] = -840  # 14 mm thick, from one lung to the other
    found = lungs_of(volume, voxels)
    assert overlap(found.left, truth(phantom, 1)) > 0.96
    assert overlap(found.right, truth(phantom, -1)) > 0.96


def test_bowel_gas_is_no_lung(volume, phantom):
    voxels = volume.voxels[:14].copy()  # the abdomen
    assert not truth(phantom, 1)[:14].any()
    voxels[2:12, 110:150, 100:150] = -1000
    found = lungs_of(volume, voxels)
    assert found == (None, None)


def test_of_one_lung_in_a_cropped_image_nothing_is_drawn_unless_the_canal_tells_the_side(volume, phantom):
    cropped = volume.voxels[:, 70:200, 40:120]
    assert lungs_of(volume, cropped) == (None, None)
    canal = np.zeros(cropped.shape, bool)
    canal[:, 95:100, 76:80] = True
    found = lungs_of(volume, cropped, canal)
    assert found.left is None
    assert overlap(found.right, truth(phantom, -1)[:, 70:200, 40:120]) > 0.95


def test_a_body_without_lungs_has_none(volume):
    voxels = np.where(volume.voxels[:20] < -500, volume.voxels[:20], 40).astype(np.int16)
    voxels[:, 80:170, 60:190] = 40
    assert lungs_of(volume, voxels) == (None, None)
