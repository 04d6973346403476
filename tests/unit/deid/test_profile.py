from __future__ import annotations

from pathlib import Path

import pytest

from gateway.deid.codes import Option
from gateway.deid.profile import SHIPPED, Action, Profile, load_profile, load_profiles
from gateway.deid.statement import COMPUTED
from gateway.deid.table import load_table
from gateway.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site.yaml"


def extended(site: Path, text: str) -> Profile:
    site.write_text("name: site-ct\nextends: contouring-ct\n" + text)
    return load_profile(site)


def refusal(site: Path, text: str, code: str = "DEID_PROFILE_DISHONEST") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        extended(site, text)
    assert caught.value.code == code
    return caught.value


def test_the_shipped_profiles_are_proved() -> None:
    profiles = load_profiles()
    assert set(profiles) == {"CT", "MR"}
    assert [profile.name for profile in profiles.values()] == list(SHIPPED)
    for profile in profiles.values():
        assert profile.options == ()
        assert profile.text_gate


@pytest.mark.parametrize("name", SHIPPED)
def test_every_attribute_that_leaves_has_a_reason(name: str) -> None:
    for attribute in load_profile(name).attributes:
        assert len(attribute.reason) > 10


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_that_the_basic_profile_removes_is_listed(name: str) -> None:
    table = load_table()
    for attribute in load_profile(name).attributes:
        row = table.row(attribute.tag)
        if row is not None:
            assert row.basic != {"X"}
            assert attribute.action not in (Action.NUMBER, Action.CODE)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_text_of_a_person_can_be_copied(name: str) -> None:
    for attribute in load_profile(name).attributes:
        if attribute.action is Action.NUMBER:
            assert attribute.vr in ("DS", "IS", "US", "US or SS")
        if attribute.action is Action.CODE:
            assert attribute.words


def test_by_default_the_only_code_is_the_basic_profile() -> None:
    said = {one.tag: one for one in load_profile("contouring-ct").said}
    assert said[0x00120064].text == "113100 Basic Application Confidentiality Profile"
    assert "not defaced" in said[0x00120063].text
    assert said[0x00120062].text == "YES"
    assert said[0x00280303].text == "REMOVED"
    assert b"NO" in said[0x00280301].encoded
    assert set(said) == set(COMPUTED)


def test_without_a_text_gate_nothing_is_said_about_burned_in_text(site: Path) -> None:
    profile = extended(site, "text_gate: false\n")
    assert 0x00280301 not in {one.tag for one in profile.said}


def test_a_site_may_add_what_identifies_nobody(site: Path) -> None:
    profile = extended(
        site,
        "attributes:\n  ReconstructionDiameter: {type: 3, action: number, range: [0, 2000], reason: Asked for}\n",
    )
    assert profile.attribute(0x00181100) is not None
    assert profile.modality == "CT"
    assert load_profiles([site])["CT"].name == "site-ct"


def test_a_site_may_take_away_what_it_does_not_need(site: Path) -> None:
    assert extended(site, "without: [BodyPartExamined, Laterality]\n").attribute(0x00180015) is None


def test_a_site_may_retain_characteristics_if_it_says_so(site: Path) -> None:
    text = "attributes:\n  PatientAge: {type: 3, action: number, reason: A model for children}\n"
    assert "no declared option" in str(refusal(site, text))
    profile = extended(site, "options: [retain-patient-characteristics]\n" + text)
    assert profile.options == (Option.RETAIN_PATIENT_CHARACTERISTICS,)
    codes = next(one.text for one in profile.said if one.tag == 0x00120064)
    assert (
        codes
        == "113100 Basic Application Confidentiality Profile, 113108 Retain Patient Characteristics Option"
    )


def test_a_site_may_clean_a_description_if_it_says_so(site: Path) -> None:
    text = "attributes:\n  SeriesDescription: {type: 3, action: code, values: [HEAD, THORAX], reason: Chosen by}\n"
    refusal(site, text)
    assert extended(site, "options: [clean-descriptors]\n" + text).options == (Option.CLEAN_DESCRIPTORS,)


DISHONEST = {
    "keeps a name": "PatientName: {type: 2, action: code, values: [SMITH], reason: no reason}",
    "a sequence as a number": "InstitutionCodeSequence: {type: 3, action: number, reason: no reason}",
    "leaves a date": "StudyDate: {type: 2, action: number, reason: no reason}",
    "keeps the weight": "PatientWeight: {type: 3, action: number, reason: no reason}",
    "empties what must be removed": "SeriesDescription: {type: 2, action: empty, reason: no reason}",
    "a dummy for what must be removed": "SeriesDescription: {type: 3, action: constant, value: X, reason: none}",
    "a pseudonym for a physician": "OperatorsName: {type: 3, action: pseudonym, reason: no reason}",
    "keeps a UID as it is": "StudyInstanceUID: {type: 1, action: constant, value: '1.2.3', reason: no reason}",
    "empties a UID": "FrameOfReferenceUID: {type: 2, action: empty, reason: no reason}",
    "words the method by hand": "DeidentificationMethod: {type: 3, action: constant, value: Anonymised, reason: none}",
    "says burned-in by hand": "BurnedInAnnotation: {type: 3, action: constant, value: 'NO', reason: no reason}",
    "lets free text leave": "ConvolutionKernel: {type: 3, action: number, reason: no reason}",
    "lets a sequence leave": "RequestAttributesSequence: {type: 3, action: empty, reason: no reason}",
    "file meta information": "TransferSyntaxUID: {type: 1, action: uid, reason: no reason}",
    "pixels": "PixelData: {type: 1, action: number, reason: no reason}",
    "a hidden SOP class": "SOPClassUID: {type: 1, action: uid, reason: no reason}",
    "another SOP class": "SOPClassUID: {type: 1, action: constant, value: '1.2.840.10008.5.1.4.1.1.4', reason: none}",
    "another modality": "Modality: {type: 1, action: constant, value: MR, reason: no reason}",
    "a wide number without range": "TagThickness: {type: 3, action: number, reason: no reason}",
    "a code without words": "PatientPosition: {type: 3, action: code, reason: no reason}",
    "a constant without value": "SeriesNumber: {type: 2, action: constant, reason: no reason}",
    "words without a code": "KVP: {type: 2, action: number, values: [A], reason: no reason}",
    "a value without a constant": "KVP: {type: 2, action: number, value: '120', reason: no reason}",
    "a range without a number": "SeriesNumber: {type: 2, action: empty, range: [0, 1], reason: no reason}",
    "an empty range": "KVP: {type: 2, action: number, range: [2, 1], reason: no reason}",
    "too many numbers": "LossyImageCompressionRatio: {type: 3, action: number, count: [1, 99], reason: no reason}",
    "a laxer type": "PixelSpacing: {type: 3, action: number, reason: no reason}",
    "a constant position": "ImagePositionPatient: {type: 1, action: constant, value: '0', reason: no reason}",
    "empty of type 3": "SeriesNumber: {type: 3, action: empty, reason: no reason}",
    "a fill of its own": "ImageType: {type: 1, action: code, positions: [[A]], fill: SMITH, reason: no reason}",
    "an empty word of its own": "PatientPosition: {type: 3, action: code, values: [HFS], if_empty: A, reason: none}",
    "a condition on nothing": "Laterality: {type: 2C, action: empty, unless: PatientAge, reason: no reason}",
    "a condition on no word": "KVP: {type: 2, action: number, when: [PatientPosition, XYZ], reason: no reason}",
}


@pytest.mark.parametrize("entry", DISHONEST.values(), ids=DISHONEST)
def test_a_dishonest_or_impossible_profile_does_not_start(site: Path, entry: str) -> None:
    error = refusal(site, f"attributes:\n  {entry}\n")
    assert "tag" in error.facts
    assert error.facts["because"]


@pytest.mark.parametrize(
    "missing", ["PixelSpacing", "Rows", "RescaleSlope", "PatientID", "FrameOfReferenceUID"]
)
def test_a_profile_whose_images_are_no_use_does_not_start(site: Path, missing: str) -> None:
    assert "no use" in str(refusal(site, f"without: [{missing}]\n"))


@pytest.mark.parametrize("option", [option.label for option in Option])
def test_an_option_that_nothing_makes_use_of_is_an_empty_claim(site: Path, option: str) -> None:
    assert "without making use" in str(refusal(site, f"options: [{option}]\n"))


@pytest.mark.parametrize(
    "text",
    [
        "attributes: {NoSuchKeyword: {type: 1, action: number, reason: no reason}}",
        "attributes: {KVP: {type: 1, action: number}}",
        "attributes: {KVP: {type: 1, action: copy, reason: no reason}}",
        "attributes: {KVP: {type: 4, action: number, reason: no reason}}",
        "attributes: {KVP: {type: 1, action: number, reason: no reason, unknown: 1}}",
        'attributes: {Modality: {type: 1, action: constant, value: "A\\\\B", reason: no reason}}',
        "attributes: {PatientPosition: {type: 1, action: code, values: [NO], reason: no reason}}",
        "options: [retain-everything]",
        "without: [ReconstructionDiameter]",
        "unknown: 1",
    ],
)
def test_a_mistake_in_a_file_is_named(site: Path, text: str) -> None:
    assert refusal(site, text + "\n", "CONFIG_INVALID").facts["file"] == "site.yaml"


@pytest.mark.parametrize(
    "text", ["attributes: [", "text_gate: true\ntext_gate: false\n", "\x00", "a: &a [*a, *a]\n? *a\n: 1"]
)
def test_what_is_no_sound_yaml_is_refused(site: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        extended(site, text)
    assert caught.value.code in ("CONFIG_UNREADABLE", "CONFIG_INVALID")


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path, site: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(tmp_path / "none.yaml")
    assert caught.value.code == "CONFIG_UNREADABLE"
    refusal(site, "#" * 300_000, "CONFIG_INVALID")


def test_a_profile_may_extend_a_file_beside_it_but_not_itself(tmp_path: Path, site: Path) -> None:
    extended(site, "without: [BodyPartExamined, Laterality]\n")
    child = tmp_path / "child.yaml"
    child.write_text("name: child\nextends: site.yaml\nwithout: [SliceLocation]\n")
    assert load_profile(child).attribute(0x00180015) is None
    site.write_text("name: round\nextends: site.yaml\n")
    with pytest.raises(ConfigError, match="goes round"):
        load_profile(site)


def test_a_profile_of_its_own_needs_a_sop_class(site: Path) -> None:
    site.write_text("name: own\n")
    with pytest.raises(ConfigError, match="sop_class"):
        load_profile(site)
    site.write_text("name: own\nsop_class: MRImageStorage\n")
    with pytest.raises(ConfigError, match="no use"):
        load_profile(site)
