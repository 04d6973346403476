"""The geometry gate lets even stacks through and names where another is not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PassageUnfit
from gateway.flow.check import SliceGeometry, check_geometry

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def at(z: float, **changes: object) -> SliceGeometry:
    slice_ = SliceGeometry((-250.0, -250.0, z), AXIAL, (0.98, 0.98), 512, 512, 12, True, "1.2.3")
    return replace(slice_, **changes)


def stack(*places: float) -> list[SliceGeometry]:
    return [at(z) for z in places]


def code(slices: list[SliceGeometry], modality: str = "CT") -> str:
    with pytest.raises(PassageUnfit) as unfit:
        check_geometry(slices, modality)
    return unfit.value.code


@given(st.permutations(range(30)), st.floats(0.5, 10), st.floats(-2000, 2000))
def test_an_even_stack_is_ordered_whatever_the_order_of_arrival(
    order: list[int], gap: float, start: float
) -> None:
    geometry = check_geometry([at(round(start + gap * i, 4)) for i in order], "CT")
    assert [order[i] for i in geometry.order] == list(range(30))
    assert geometry.spacing_mm == pytest.approx(gap, abs=1e-3)


def test_a_missing_slice_is_named_by_its_position() -> None:
    with pytest.raises(PassageUnfit) as unfit:
        check_geometry(stack(0, 3, 6, 12, 15), "CT")
    assert unfit.value.code == "SLICE_MISSING"
    assert unfit.value.facts == {"position_mm": 9.0, "missing": 1}


def test_two_slices_at_one_place_are_held() -> None:
    assert code(stack(0, 3, 3, 6)) == "SLICE_TWICE"


@pytest.mark.parametrize("places", [(0, 5, 5, 5), (5, 5, 5, 0), (5, 5, 5), (0, 0, 0, 0, 9)])
def test_more_slices_at_one_place_than_elsewhere_are_held_too(places: tuple[float, ...]) -> None:
    """Then the median distance is nothing, by which nothing can be divided."""
    assert code(stack(*places)) == "SLICE_TWICE"


@pytest.mark.parametrize(
    "cosines",
    [
        (0.0,) * 6,
        (1e308,) * 6,
        (1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
        (2.0, 0.0, 0.0, 0.0, 2.0, 0.0),
        (1.0, 0.0, 0.0, 0.0, 0.5, 0.0),
        (1e308, -1e308, 1e-308, 0.0, 1.0, 0.0),
    ],
)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_what_are_no_direction_cosines_is_held(cosines: tuple[float, ...], modality: str) -> None:
    assert code([at(z, orientation=cosines) for z in (0, 3, 6)], modality) == "ORIENTATION_UNSUITABLE"


FAR = st.floats(-1e6, 1e6)


@given(
    st.lists(st.tuples(FAR, FAR, FAR | st.sampled_from([0.0, 5.0])), min_size=2, max_size=7),
    st.tuples(*[st.floats(-2, 2) | st.floats(allow_nan=False, allow_infinity=False)] * 6),
    st.booleans(),
    st.sampled_from(["CT", "MR"]),
)
def test_whatever_the_place_there_is_a_clear_answer(
    positions: list[tuple[float, float, float]],
    cosines: tuple[float, ...],
    is_axial: bool,
    modality: str,
) -> None:
    orientation = AXIAL if is_axial else cosines
    slices = [at(0, position=place, orientation=orientation) for place in positions]
    try:
        geometry = check_geometry(slices, modality)
    except PassageUnfit:
        return
    assert np.isfinite(geometry.spacing_mm)
    assert geometry.spacing_mm > 0


def test_uneven_spacing_is_held() -> None:
    assert code(stack(0, 3, 6, 10.2, 13.2)) == "SPACING_UNEVEN"


def test_a_single_slice_is_held() -> None:
    assert code(stack(0)) == "TOO_FEW_SLICES"


def test_a_tilted_gantry_is_held_by_its_cosines() -> None:
    tilted = (1.0, 0.0, 0.0, 0.0, 0.948, -0.317)
    assert code([at(z, orientation=tilted) for z in (0.0, 3.0, 6.0)]) == "ORIENTATION_UNSUITABLE"


def test_a_tilted_gantry_is_held_by_its_drift() -> None:
    assert code([at(3.0 * i, position=(0.0, 1.1 * i, 3.0 * i)) for i in range(5)]) == "ORIENTATION_UNSUITABLE"


def test_a_coronal_mr_goes_on() -> None:
    slices = [at(0, position=(0.0, 2.0 * i, 40.0), orientation=CORONAL) for i in range(5)]
    assert check_geometry(slices, "MR").spacing_mm == pytest.approx(2.0)
    assert code(slices, "CT") == "ORIENTATION_UNSUITABLE"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"frame_of_reference_uid": "1.2.4"}, "FRAME_OF_REFERENCE_MIXED"),
        ({"orientation": CORONAL}, "ORIENTATION_MIXED"),
        ({"rows": 256}, "GEOMETRY_MIXED"),
        ({"spacing": (0.98, 0.5)}, "GEOMETRY_MIXED"),
        ({"is_signed": False}, "GEOMETRY_MIXED"),
    ],
)
def test_one_slice_unlike_the_others_is_held(change: dict[str, object], expected: str) -> None:
    assert code([*stack(0, 3, 6), at(9.0, **change)]) == expected


def test_small_rounding_of_a_scanner_is_no_reason() -> None:
    rng = np.random.default_rng(1)
    check_geometry([at(3.0 * i + float(rng.uniform(-0.02, 0.02))) for i in range(100)], "CT")
