from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from gateway.contourer.engine.external import external
from gateway.contourer.engine.grid import CoarseGrid
from gateway.errors import ContourerRefused


def body_of(volume, voxels=None, **changes):
    if voxels is not None:
        changes["voxels"] = voxels
    volume = dataclasses.replace(volume, **changes)
    return external(volume, CoarseGrid.of(volume))


def threshold_of(voxels, threshold):
    """The body as a threshold shows it: the largest region above, filled on each slice."""
    labels, _ = ndimage.label(voxels > threshold)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = labels == sizes.argmax()
    return np.stack([ndimage.binary_fill_holes(plane) for plane in largest])


def test_the_body_has_the_phantoms_volume_and_no_couch(volume, phantom):
    body = body_of(volume)
    assert body.sum() * volume.voxel_cm3 == pytest.approx(phantom.volumes_cm3()["External"], rel=0.005)


def test_a_threshold_without_care_for_the_couch_fails_the_same_measure(volume, phantom):
    careless = (volume.voxels > -300).sum() * volume.voxel_cm3
    assert careless != pytest.approx(phantom.volumes_cm3()["External"], rel=0.005)


@pytest.mark.parametrize("threshold", [-400, -300, -200])
def test_the_body_agrees_with_a_threshold_within_five_percent(volume, threshold):
    reference = threshold_of(volume.voxels, threshold)
    assert body_of(volume).sum() == pytest.approx(reference.sum(), rel=0.05)


def test_lungs_and_airways_are_inside(volume, phantom):
    body = body_of(volume)
    for index, z in enumerate(phantom.heights_mm):
        inside = phantom.external(float(z))
        assert (body[index] & inside).sum() > 0.995 * inside.sum()


def test_lungs_cut_open_by_the_edge_of_a_cropped_image_are_inside(volume, phantom):
    right = volume.voxels[:, 70:190, 20:105]  # through both walls of the right lung
    body = body_of(volume, right)
    truth = np.stack([phantom.external(float(z)) for z in phantom.heights_mm])[:, 70:190, 20:105]
    assert 2 * (body & truth).sum() / (body.sum() + truth.sum()) > 0.99


def test_air_in_front_of_a_body_cut_by_the_edge_is_outside(volume, phantom):
    upper = volume.voxels[:, :128]  # the plane of the lungs' middle
    body = body_of(volume, upper)
    truth = np.stack([phantom.external(float(z)) for z in phantom.heights_mm])[:, :128]
    assert 2 * (body & truth).sum() / (body.sum() + truth.sum()) > 0.99


def test_an_ear_belongs_to_the_body_and_a_sheet_does_not(volume):
    voxels = np.full((10, 256, 256), -1000, np.int16)
    rows, columns = np.mgrid[:256, :256]
    voxels[:, (rows - 128) ** 2 + (columns - 128) ** 2 < 50**2] = 30
    voxels[2:8, 122:134, 177:182] = 0  # 10 mm sticking out, 24 mm long
    voxels[2:8, 128:130, 182:186] = 0
    voxels[:, 182, 20:230] = 0  # a sheet, 6 mm below
    body = body_of(volume, voxels, first_voxel_mm=volume.first_voxel_mm[:10])
    assert body[5, 128, 180]
    assert not body[5, 182].any()


def test_an_arm_beside_the_trunk_belongs_to_the_body(volume):
    voxels = np.full((10, 128, 256), -1000, np.int16)
    voxels[:, 40:90, 60:160] = 30
    voxels[:, 55:75, 180:200] = 30
    body = body_of(volume, voxels, first_voxel_mm=volume.first_voxel_mm[:10])
    assert body[:, 60, 190].all()


@pytest.mark.parametrize("value", [-1024, -1000, -500])
def test_air_alone_is_refused(volume, value):
    with pytest.raises(ContourerRefused) as refused:
        body_of(volume, np.full((6, 64, 64), value, np.int16), first_voxel_mm=volume.first_voxel_mm[:6])
    assert refused.value.code == "NOTHING_TO_CONTOUR"


def test_a_uniform_block_of_tissue_is_all_body(volume):
    body = body_of(volume, np.full((6, 64, 64), 40, np.int16), first_voxel_mm=volume.first_voxel_mm[:6])
    assert body.all()


def test_noise_is_refused_or_outlined_and_never_crashes(volume):
    noise = np.random.default_rng(5).integers(-1024, 3071, (6, 64, 64)).astype(np.int16)
    assert body_of(volume, noise, first_voxel_mm=volume.first_voxel_mm[:6]).any()
