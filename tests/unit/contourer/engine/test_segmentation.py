from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gateway.contourer.engine.contours import outlines, signed_area
from gateway.contourer.engine.segmentation import segment
from gateway.errors import ContourerRefused

NAMES = ["External", "Lung_L", "Lung_R", "Bones", "SpinalCanal"]


@pytest.fixture(scope="module")
def segmented(volume):
    return {structure.name: mask for structure, mask in segment(volume)}


def test_a_chest_has_all_five_structures_in_order(segmented):
    assert list(segmented) == NAMES


def test_every_structure_lies_inside_the_external(segmented):
    for name in NAMES[1:]:
        assert not (segmented[name] & ~segmented["External"]).any(), name


def test_lungs_bone_and_canal_do_not_share_a_voxel(segmented):
    shared = sum(segmented[name].astype(int) for name in ("Lung_L", "Lung_R", "SpinalCanal"))
    assert shared.max() == 1
    assert not (segmented["Bones"] & segmented["SpinalCanal"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_outlines_enclose_the_phantoms_volume(segmented, volume, phantom, name):
    enclosed = sum(
        abs(signed_area(outline.points_mm[:, :2])) for outline in outlines(segmented[name], volume)
    )
    allowed = 0.08 if name == "SpinalCanal" else 0.03
    assert enclosed * volume.slice_mm / 1000 == pytest.approx(phantom.volumes_cm3()[name], rel=allowed)


def test_mr_has_its_external_alone(volume):
    signal = np.maximum(volume.voxels + 1000, 0).astype(np.int16)
    found = [
        structure.name for structure, _ in segment(dataclasses.replace(volume, modality="MR", voxels=signal))
    ]
    assert found == ["External"]


def odd(volume, voxels):
    return dataclasses.replace(
        volume, voxels=voxels.astype(np.int16), first_voxel_mm=volume.first_voxel_mm[:5]
    )


@pytest.mark.parametrize(
    "voxels",
    [
        np.full((5, 64, 64), 40),
        np.full((5, 64, 64), 2500),
        np.random.default_rng(1).normal(300, 300, (5, 64, 64)),
        np.kron(np.random.default_rng(1).normal(0, 700, (5, 16, 16)), np.ones((1, 4, 4))),
    ],
    ids=["uniform", "metal", "noise", "blocks"],
)
def test_what_is_dense_but_no_patient_has_an_external_and_no_lungs(volume, voxels):
    names = [structure.name for structure, _ in segment(odd(volume, voxels))]
    assert names[0] == "External"
    assert not {"Lung_L", "Lung_R"} & set(names)


@pytest.mark.parametrize(
    "voxels",
    [np.full((5, 64, 64), -1000), np.random.default_rng(1).normal(-200, 200, (5, 64, 64))],
    ids=["air", "noise about the skin"],
)
def test_what_holds_together_nowhere_is_refused(volume, voxels):
    with pytest.raises(ContourerRefused) as refused:
        list(segment(odd(volume, voxels)))
    assert refused.value.code == "NOTHING_TO_CONTOUR"
