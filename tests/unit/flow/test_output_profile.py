"""What a destination wants: read strictly, applied in order."""

from pathlib import Path

import pytest

from gateway.config import Destination
from gateway.errors import ConfigError
from gateway.flow.output_profile import OutputProfile, RoiFile
from gateway.flow.structure_set import Roi

FILE = """
others: drop
rois:
  - from: LIVER
    name: Leber
    colour: [1, 2, 3]
    type: ORGAN
  - from: couch
    drop: true
  - from: Heart
"""


def rois(*names: str) -> list[Roi]:
    return [Roi(number, name, (9, 9, 9), "", ()) for number, name in enumerate(names, 1)]


def profile(tmp_path: Path, text: str, **keys: object) -> OutputProfile:
    file = tmp_path / "rois.yaml"
    file.write_text(text)
    return OutputProfile.of(
        Destination(name="tps", ae_title="TPS", host="127.0.0.1", port=104, rois_file=file, **keys)
    )


def test_listed_rois_are_renamed_coloured_ordered_and_dropped(tmp_path: Path) -> None:
    chosen = profile(tmp_path, FILE).apply(rois("Couch", "Heart", "Bone", "liver"), b"")
    assert [(one.name, one.colour, one.interpreted_type) for one in chosen] == [
        ("Leber", (1, 2, 3), "ORGAN"),
        ("Heart", (9, 9, 9), ""),
    ]


def test_others_follow_in_their_own_order(tmp_path: Path) -> None:
    chosen = profile(tmp_path, FILE.replace("others: drop", "others: keep")).apply(
        rois("B", "Heart", "A"), b""
    )
    assert [one.name for one in chosen] == ["Heart", "B", "A"]


def test_a_new_name_that_collides_is_told_apart(tmp_path: Path) -> None:
    text = "rois: [{from: a, name: Liver}, {from: b, name: LIVER}]"
    chosen = profile(tmp_path, text).apply(rois("a", "b", "liver"), b"")
    assert len({one.name.casefold() for one in chosen}) == 3


def test_without_a_file_everything_is_kept() -> None:
    chosen = OutputProfile("tps").apply(rois("B", "A"), b"")
    assert [one.name for one in chosen] == ["B", "A"]


def test_labels_are_filled_in_and_fit() -> None:
    wishes = OutputProfile(
        "tps", label="{model} {date} and more", description="Von {model} am {date} für alle"
    )
    assert wishes.filled_label("ct-v1", "20240229") == "ct-v1 20240229 a"
    assert wishes.filled_description("ct-v1", "20240229") == "Von ct-v1 am 20240229 fur alle"
    assert OutputProfile("tps", label="").filled_label("m", "d") == "CONTOURGATE"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("rois: [{from: a, colour: [1, 2]}]", "CONFIG_INVALID"),
        ("rois: [{from: a, colour: [1, 2, 256]}]", "CONFIG_INVALID"),
        ("rois: [{name: a}]", "CONFIG_INVALID"),
        ("rois: [{from: a}, {from: A}]", "CONFIG_INVALID"),
        ("other: keep", "CONFIG_INVALID"),
        ("rois: [", "CONFIG_UNREADABLE"),
        ("[]", "CONFIG_INVALID"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(ConfigError) as mistake:
        profile(tmp_path, text)
    assert mistake.value.code == code


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CONFIG_UNREADABLE"):
        RoiFile.load(tmp_path / "absent.yaml")
