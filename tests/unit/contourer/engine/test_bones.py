from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.contourer.engine.bones import bones
from gateway.contourer.engine.external import external
from gateway.contourer.engine.grid import CoarseGrid


def bones_of(volume, voxels=None):
    if voxels is not None:
        volume = dataclasses.replace(
            volume, voxels=voxels, first_voxel_mm=volume.first_voxel_mm[: len(voxels)]
        )
    grid = CoarseGrid.of(volume)
    return bones(volume, external(volume, grid), grid)


def block(size=(12, 128, 128)):
    """Soft tissue of 100 x 100 pixels in air, with a little noise."""
    voxels = np.full(size, -1000, np.int16)
    voxels[:, 14:114, 14:114] = 50
    return voxels + np.random.default_rng(7).normal(0, 8, size).astype(np.int16)


def disc(radius, at, size=(128, 128)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - at[0]) ** 2 + (columns - at[1]) ** 2 <= radius**2


def test_the_bones_have_the_phantoms_volume(volume, phantom):
    found = bones_of(volume)
    truth = np.stack([phantom.bone(float(z)) for z in phantom.heights_mm])
    assert found.sum() == pytest.approx(truth.sum(), rel=0.03)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


def test_marrow_belongs_to_the_bone_and_the_canal_does_not(volume, phantom):
    found = bones_of(volume)
    canal = np.stack([phantom.canal(float(z)) for z in phantom.heights_mm])
    assert (found & canal).sum() < 0.02 * canal.sum()
    vertebra = found[30, 153, 128]  # in the middle of a vertebral body
    assert vertebra == phantom.bone(float(phantom.heights_mm[30]))[153, 128]


def test_a_vessel_full_of_contrast_medium_is_no_bone(volume):
    voxels = block()
    voxels[:, disc(9, (60, 40))] = 320
    voxels[:, disc(9, (60, 90))] = 320
    voxels[:, disc(9, (60, 90)) & ~disc(6, (60, 90))] = 900  # this one has a cortex
    found = bones_of(volume, voxels)
    assert not found[:, 60, 40].any()
    assert found[:, 60, 90].all()


def test_the_fat_in_a_shaft_is_filled_and_a_brain_is_not(volume):
    voxels = block()
    voxels[:, disc(8, (40, 40)) & ~disc(5, (40, 40))] = 1100
    voxels[:, disc(5, (40, 40))] = -60
    voxels[:, disc(30, (75, 75)) & ~disc(27, (75, 75))] = 1100
    found = bones_of(volume, voxels)
    assert found[:, 40, 40].all()
    assert not found[:, 75, 75].any()


def test_soft_tissue_has_no_bones(volume):
    assert bones_of(volume, block()) is None


def test_what_is_bone_all_over_is_no_patient(volume):
    assert bones_of(volume, np.full((6, 64, 64), 900, np.int16)) is None
    noise = np.random.default_rng(1).normal(100, 400, (6, 64, 64)).astype(np.int16)
    assert bones_of(volume, noise) is None
