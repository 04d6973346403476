from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.contourer.engine.canal import spinal_canal
from gateway.contourer.engine.grid import CoarseGrid


def true_bone(phantom):
    return np.stack([phantom.bone(float(z)) for z in phantom.heights_mm])


def true_canal(phantom):
    return np.stack([phantom.canal(float(z)) for z in phantom.heights_mm])


def overlap(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_canal_is_found_through_discs_and_foramina(volume, phantom):
    canal = spinal_canal(volume, true_bone(phantom), CoarseGrid.of(volume))
    assert canal.sum() == pytest.approx(true_canal(phantom).sum(), rel=0.08)
    assert overlap(canal, true_canal(phantom)) > 0.94
    assert canal.any(axis=(1, 2)).all()


def test_a_slice_whose_arch_is_gone_is_bridged(volume, phantom):
    bone = true_bone(phantom)
    bone[30:33, 160:] = False
    canal = spinal_canal(volume, bone, CoarseGrid.of(volume))
    assert overlap(canal[30:33], true_canal(phantom)[30:33]) > 0.9


def test_a_disc_at_the_end_of_the_series_is_bridged_and_more_is_not(volume, phantom):
    bone = true_bone(phantom)
    closed = [index for index, z in enumerate(phantom.heights_mm) if z % 28 >= 6]  # vertebrae, not discs
    bone[: closed[0]], bone[closed[0] + 5 :] = False, False
    seen = spinal_canal(volume, bone, CoarseGrid.of(volume)).any(axis=(1, 2))
    assert seen[: closed[0] + 4].all()
    assert not seen[closed[0] + 6 :].any()


def test_nothing_is_drawn_where_no_vertebra_is(volume, phantom):
    grid = CoarseGrid.of(volume)
    bone = true_bone(phantom)
    bone[:, :, 90:166] = False
    assert spinal_canal(volume, bone, grid) is None
    assert spinal_canal(volume, np.zeros_like(bone), grid) is None


def test_the_cavity_of_a_shaft_is_no_canal(volume):
    rows, columns = np.mgrid[:256, :256]
    radius = np.hypot(rows - 120, columns - 90)
    bone = np.repeat(((radius < 9) & (radius > 5))[np.newaxis], 60, axis=0)
    marrow = dataclasses.replace(volume, voxels=np.full(volume.voxels.shape, 20, np.int16))
    assert spinal_canal(marrow, bone, CoarseGrid.of(marrow)) is None


def test_two_slices_are_too_few_for_a_chain(volume, phantom):
    bone = true_bone(phantom)
    bone[2:] = False
    assert spinal_canal(volume, bone, CoarseGrid.of(volume)) is None
