"""Inspection: an honest structure set comes through with its contours in place, in every encoding."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from gateway.errors import StructureSetUnsound
from gateway.flow.inspect import InspectedStructureSet, inspect
from gateway.flow.structure_set_iod import STRUCTURE_SET, Level
from tests import toy
from tests.toy import Toy

Change = Callable[[Dataset], object]


def inspected(passage: Toy, dataset: Dataset, *, implicit: bool = False) -> InspectedStructureSet:
    return inspect(toy.part10(dataset, implicit=implicit), passage.expectation)


def refusal(change: Change, passage: Toy | None = None) -> StructureSetUnsound:
    passage = passage or Toy(3)
    dataset = passage.structure_set()
    change(dataset)
    with pytest.raises(StructureSetUnsound) as unsound:
        inspected(passage, dataset)
    return unsound.value


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("undefined", [False, True])
def test_an_honest_structure_set_is_taken_apart(implicit: bool, undefined: bool) -> None:
    passage = Toy(4)
    dataset = passage.structure_set(["Liver", "Spleen"])
    if undefined:
        for keyword in ("ROIContourSequence", "StructureSetROISequence"):
            dataset[keyword].is_undefined_length = True
            for item in dataset[keyword].value:
                item.is_undefined_length_sequence_item = True
        for item in dataset.ROIContourSequence:
            item["ContourSequence"].is_undefined_length = True
    found = inspected(passage, dataset, implicit=implicit)
    assert [(roi.number, roi.name, roi.interpreted_type) for roi in found.rois] == [
        (1, "Liver", "ORGAN"),
        (2, "Spleen", "ORGAN"),
    ]
    assert found.rois[1].colour == (255, 20, 0)
    assert (found.contour_count, found.point_count) == (8, 8 * 24)
    for roi in found.rois:
        assert [contour.slice_index for contour in roi.contours] == [0, 1, 2, 3]
        for index, contour in enumerate(roi.contours):
            assert [float(one) for one in bytes(contour.data).split(b"\\")] == toy.circle(index)


def test_outlines_are_in_pixels_of_their_slice() -> None:
    passage = Toy(3)
    square = [-100, -120, 3, -97, -120, 3, -97, -116, 3, -100, -116, 3]
    found = inspected(passage, passage.structure_set(["Box"], [square]))
    uids = list(passage.expectation.slices)
    [outline] = found.outlines(uids[1])
    [ring] = outline.rings
    assert outline.roi == "Box"
    # columns are 1.5 mm apart, rows 2 mm
    assert ring == pytest.approx(np.array([[0, 0], [2, 0], [2, 2], [0, 2]]), abs=1e-5)
    assert found.outlines(uids[0]) == ()
    assert found.outlines("1.2.3") == ()


def test_a_contour_without_reference_gets_the_slice_on_which_it_lies() -> None:
    passage = Toy(5)
    dataset = passage.structure_set(["Liver"], [toy.circle(3), toy.circle(1)])
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        del contour.ContourImageSequence
    assert [contour.slice_index for contour in inspected(passage, dataset).rois[0].contours] == [3, 1]


def test_oblique_and_sagittal_slices_are_planes_too() -> None:
    tilt = np.deg2rad(17)
    orientation = [0, float(np.cos(tilt)), float(np.sin(tilt)), 0, float(-np.sin(tilt)), float(np.cos(tilt))]
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    origins = [np.array([5.0, -60, 40]) + toy.GAP * index * normal for index in range(3)]
    images = [
        toy.image(
            index,
            ImageOrientationPatient=[f"{number:.12g}"[:16] for number in orientation],
            ImagePositionPatient=[f"{number:.10g}" for number in origin],
        )
        for index, origin in enumerate(origins)
    ]
    passage = Toy(images=images)
    corners = [origins[1] + 1.5 * c * row + 2.0 * r * column for c, r in ((10, 10), (20, 10), (20, 30))]
    ring = [round(float(number), 4) for corner in corners for number in corner]
    dataset = passage.structure_set(["Oblique"], [])
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints, contour.ContourData = (
        "CLOSED_PLANAR",
        3,
        ring,
    )
    dataset.ROIContourSequence[0].ContourSequence = [contour]
    found = inspected(passage, dataset)
    [outline] = found.outlines(list(passage.expectation.slices)[1])
    assert outline.rings[0] == pytest.approx(np.array([[10, 10], [20, 10], [20, 30]]), abs=1e-3)


@pytest.mark.parametrize("moved", [0.05, -0.05])
def test_what_rounding_leaves_is_let_through(moved: float) -> None:
    passage = Toy(3)
    ring = toy.circle(1)
    ring[2::3] = [z + moved for z in ring[2::3]]
    assert inspected(passage, passage.structure_set(["Liver"], [ring])).contour_count == 1


@pytest.mark.parametrize("moved", [0.2, -0.2, 1.5, 3.0, 1e9])
def test_a_contour_off_its_slice_is_refused(moved: float) -> None:
    passage = Toy(3)
    dataset = passage.structure_set(["Liver"], [toy.circle(1)])
    data = toy.circle(1)
    data[5] += moved
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = data
    with pytest.raises(StructureSetUnsound, match="RESULT_OFF_SLICE"):
        inspected(passage, dataset)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("pixel", "is_inside"), [(-0.5, True), (-0.7, False), (0.5, True), (0.7, False)])
def test_contours_lie_within_the_outer_edge_of_the_images(axis: int, pixel: float, is_inside: bool) -> None:
    passage = Toy(3)
    mm = toy.SPACING[1 - axis]
    last = (toy.COLUMNS, toy.ROWS)[axis] - 1
    ring = toy.circle(1)
    ring[axis] = round(toy.ORIGIN[axis] + mm * (pixel if pixel < 0 else last + pixel), 3)
    dataset = passage.structure_set(["Liver"], [ring])
    if is_inside:
        assert inspected(passage, dataset).contour_count == 1
    else:
        with pytest.raises(StructureSetUnsound, match="RESULT_OFF_SLICE"):
            inspected(passage, dataset)


def _first_contour(dataset: Dataset) -> Dataset:
    contour: Dataset = dataset.ROIContourSequence[0].ContourSequence[0]
    return contour


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("RESULT_NOT_CONTOURS", lambda d: setattr(_first_contour(d), "ContourGeometricType", "POINT")),
        ("RESULT_NOT_CONTOURS", lambda d: setattr(_first_contour(d), "ContourGeometricType", "OPEN_PLANAR")),
        ("RESULT_NOT_CONTOURS", lambda d: setattr(d, "Modality", "RTDOSE")),
        ("RESULT_NOT_CONTOURS", lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.5")),
        ("RESULT_NOT_CONTOURS", lambda d: d.add_new(0x7FE00010, "OW", b"\0\0")),
        ("RESULT_NOT_CONTOURS", lambda d: d.add_new(0x30060045, "DS", "1\\1\\1")),
        (
            "RESULT_NOT_CONTOURS",
            lambda d: d.private_block(0x3773, "MAKER", create=True).add_new(1, "LO", "x"),
        ),
        ("RESULT_NOT_CONTOURS", lambda d: setattr(d, "ImageComments", "x")),
        ("RESULT_INCONSISTENT", lambda d: setattr(_first_contour(d), "NumberOfContourPoints", 23)),
        ("RESULT_INCONSISTENT", lambda d: setattr(_first_contour(d), "NumberOfContourPoints", 999999999)),
        ("RESULT_INCONSISTENT", lambda d: setattr(_first_contour(d), "NumberOfContourPoints", -1)),
        ("RESULT_INCONSISTENT", lambda d: delattr(_first_contour(d), "ContourData")),
        ("RESULT_INCONSISTENT", lambda d: setattr(_first_contour(d), "ContourImageSequence", [])),
        ("RESULT_INCONSISTENT", lambda d: setattr(d.StructureSetROISequence[1], "ROINumber", 1)),
        ("RESULT_INCONSISTENT", lambda d: setattr(d.ROIContourSequence[1], "ReferencedROINumber", 1)),
        ("RESULT_INCONSISTENT", lambda d: setattr(d.ROIContourSequence[1], "ReferencedROINumber", 7)),
        ("RESULT_INCONSISTENT", lambda d: setattr(d.RTROIObservationsSequence[1], "ReferencedROINumber", 7)),
        ("RESULT_INCONSISTENT", lambda d: setattr(d.RTROIObservationsSequence[1], "ObservationNumber", 1)),
        ("RESULT_INCONSISTENT", lambda d: delattr(d.RTROIObservationsSequence[1], "ReferencedROINumber")),
        ("RESULT_INCONSISTENT", lambda d: setattr(d, "StructureSetROISequence", [])),
        ("RESULT_WRONG_STUDY", lambda d: setattr(d, "PatientID", "P-SOMEONE")),
        ("RESULT_UNPARSABLE", lambda d: delattr(d, "StudyInstanceUID")),
    ],
)
def test_what_is_not_sound_is_refused(code: str, change: Change) -> None:
    assert refusal(change).code == code


def test_a_refusal_names_the_tag_and_no_value() -> None:
    error = refusal(lambda d: setattr(d, "ImageComments", "CANARY"))
    assert error.facts == {"tag": 0x00204000}
    assert "CANARY" not in str(error)


def test_text_that_no_coordinate_is_is_refused() -> None:
    passage = Toy(3)
    stream = toy.part10(passage.structure_set(["Liver"], [toy.circle(1)]))
    for text in (b"-20x00", b"1e9999", b"  nan "):
        broken = stream.replace(b"-20.0\\", text[:5] + b"\\", 1)
        assert broken != stream
        with pytest.raises(StructureSetUnsound, match="RESULT_UNPARSABLE"):
            inspect(broken, passage.expectation)


def test_unknown_interpreted_types_and_colours_are_blanked() -> None:
    passage = Toy(2)
    dataset = passage.structure_set(["Liver"])
    dataset.RTROIObservationsSequence[0].RTROIInterpretedType = "VISIT WWW"
    dataset.ROIContourSequence[0].ROIDisplayColor = [1, 2]
    [roi] = inspected(passage, dataset).rois
    assert (roi.interpreted_type, roi.colour) == ("", None)


def test_an_roi_without_contours_stays_an_roi() -> None:
    passage = Toy(2)
    dataset = passage.structure_set(["Liver", "Spleen"])
    del dataset.ROIContourSequence[1]
    assert [len(roi.contours) for roi in inspected(passage, dataset).rois] == [2, 0]


def test_group_lengths_and_trailing_padding_are_passed_over() -> None:
    passage = Toy(2)
    dataset = passage.structure_set(["Liver"])
    dataset.add_new(0x30060000, "UL", 4711)
    dataset.add_new(0xFFFCFFFC, "OB", b"\0\0")
    assert inspected(passage, dataset).contour_count == 2


def test_the_table_gives_every_attribute_a_vr_and_every_uid_a_role() -> None:
    def visit(level: Level) -> int:
        assert all(len(vr) == 2 for vr in level.values.values())
        assert {tag for tag, vr in level.values.items() if vr == b"UI"} == set(level.uids)
        return 1 + sum(visit(inner) for inner in level.sequences.values())

    assert visit(STRUCTURE_SET) > 15
