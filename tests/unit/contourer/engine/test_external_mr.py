from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.contourer.engine.external_mr import external_mr
from gateway.contourer.engine.slices import read_slice
from gateway.contourer.engine.volume import assemble
from gateway.demo.phantom import phantom_series
from gateway.errors import ContourerRefused


def magnitude(signal, noise, random):
    """What a scanner shows: the length of a noisy complex number."""
    return np.hypot(signal + random.normal(0, noise, signal.shape), random.normal(0, noise, signal.shape))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture(scope="module")
def bodies(phantom):
    return np.stack([phantom.external(float(z)) for z in phantom.heights_mm[:20]])


def volume_of(volume, pictures):
    voxels = np.rint(pictures).astype(np.int16)
    return dataclasses.replace(
        volume, modality="MR", voxels=voxels, first_voxel_mm=volume.first_voxel_mm[: len(voxels)]
    )


def test_signal_is_parted_from_noise(volume, bodies):
    random = np.random.default_rng(2)
    pictures = magnitude(bodies * random.uniform(200, 600, bodies.shape), 12, random)
    assert dice(external_mr(volume_of(volume, pictures)), bodies) > 0.98


def test_dark_bone_and_gas_inside_belong_to_the_body(volume, bodies):
    signal = bodies * 400.0
    signal[:, 120:140, 100:150] = 0
    found = external_mr(volume_of(volume, magnitude(signal, 12, np.random.default_rng(2))))
    assert found[:, 125:135, 110:140].all()


def test_a_background_that_the_scanner_blanked_is_air(volume, bodies):
    assert dice(external_mr(volume_of(volume, bodies * 300)), bodies) > 0.98


def test_a_body_that_fills_the_image_is_outlined_to_its_edge(volume):
    pictures = np.random.default_rng(2).uniform(300, 500, (5, 256, 256))
    pictures[:, 150:200, 60:120] = 10  # a bone
    pictures[:, 100:106, :] = 10  # a tendon from edge to edge
    assert external_mr(volume_of(volume, pictures)).mean() > 0.98


def test_noise_alone_is_refused(volume):
    random = np.random.default_rng(2)
    for pictures in (
        np.full((6, 64, 64), 7.0),
        np.zeros((6, 64, 64)),
        magnitude(np.zeros((6, 256, 256)), 20, random),
    ):
        with pytest.raises(ContourerRefused) as refused:
            external_mr(volume_of(volume, pictures))
        assert refused.value.code == "NOTHING_TO_CONTOUR"


def test_sagittal_slices_are_outlined_as_they_lie(phantom, part10):
    images = phantom_series(phantom)[:20]
    for number, image in enumerate(images):
        image.Modality = "MR"
        image.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        image.ImagePositionPatient = [5 * number, -250, 250]
        image.PixelData = (phantom.external(0) * 500).astype("<u2").tobytes()
    volume = assemble([read_slice(part10(image)) for image in images])
    assert dice(external_mr(volume), np.repeat(phantom.external(0)[np.newaxis], 20, axis=0)) > 0.98
    x, y, z = volume.plane_to_mm(3, np.array([[10.0, 20.0]]))[0]
    assert (x, y, z) == pytest.approx((15, -240, 230))
