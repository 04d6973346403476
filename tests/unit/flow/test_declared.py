"""What an image declares of itself can only make it unfit, never fit."""

from __future__ import annotations

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import DeidentificationError, PassageUnfit
from gateway.flow.declared import check_declared, is_secondary
from tests import made

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")


def declaring(**attributes: object) -> Instance:
    dataset = made.image()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return parse_instance(made.encoded(dataset), ExplicitVRLittleEndian, limits=WalkLimits())


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "PS"]}),
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 TOP"]}),
        ("screen save", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}),
        ("dose sheet", {"ImageType": ["DERIVED", "SECONDARY", "", "DOSEINFO"]}),
        ("dose sheet", {"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}),
        ("rendering", {"ImageType": ["DERIVED", "SECONDARY", "VOLUME_RENDERED"]}),
        ("rendering", {"ImageType": ["DERIVED", "SECONDARY", "Volume Rendering"]}),
        ("mosaic", {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}),
        ("projection", {"ImageType": ["DERIVED", "PRIMARY", "PROJECTION IMAGE"]}),
        ("projection", {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MAX_IP"]}),
        ("fusion", {"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CSA FUSED MPR"]}),
        ("converted", {"ConversionType": "WSD"}),
        ("converted", {"ConversionType": "DV"}),
        ("converted", {"SecondaryCaptureDeviceManufacturer": "Invented"}),
        ("converted", {"DateOfSecondaryCapture": "20200102"}),
    ],
)
def test_what_is_no_slice_is_named(kind: str, attributes: dict[str, object]) -> None:
    with pytest.raises(PassageUnfit) as unfit:
        check_declared(declaring(**attributes))
    assert unfit.value.code == "NOT_IMAGES"
    assert unfit.value.facts == {"kind": kind}


@pytest.mark.parametrize(
    "image_type",
    [
        ["ORIGINAL", "PRIMARY", "AXIAL"],
        ["DERIVED", "SECONDARY"],
        ["DERIVED", "SECONDARY", "AXIAL", "LOW DOSE"],
        ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"],
        ["ORIGINAL", "PRIMARY", "M_IR", "M", "IR"],
        ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
    ],
)
def test_slices_pass(image_type: list[str]) -> None:
    check_declared(declaring(ImageType=image_type))


@pytest.mark.parametrize("said", ["YES", "yes", "YES "])
def test_declared_text_is_held(said: str) -> None:
    with pytest.raises(DeidentificationError) as held:
        check_declared(declaring(BurnedInAnnotation=said))
    assert held.value.code == "DEID_BURNED_IN"
    assert held.value.facts == {"declared": True}


@pytest.mark.parametrize("said", ["NO", "", "OTHER"])
def test_declared_absence_decides_nothing(said: str) -> None:
    check_declared(declaring(BurnedInAnnotation=said))


def test_derived_and_secondary_together_make_a_secondary_image() -> None:
    assert is_secondary(declaring(ImageType=["DERIVED", "SECONDARY"]))
    assert is_secondary(declaring(ImageType=["derived ", "SECONDARY", "AXIAL"]))
    assert not is_secondary(declaring(ImageType=["DERIVED", "PRIMARY", "AXIAL"]))
    assert not is_secondary(declaring(ImageType=["ORIGINAL", "PRIMARY", "SECONDARY"]))
