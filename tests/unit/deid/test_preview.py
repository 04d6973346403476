from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner, Result

from gateway.deid.commands import deid
from gateway.deid.preview import Fate, Previewer
from gateway.deid.profile import load_profiles
from gateway.deid.table import load_table
from gateway.errors import IntakeError
from gateway.vault.keys import ClinicKey
from tests import made
from tests.raw import element, inserted


async def cannot_decode(data: memoryview, syntax: str, max_bytes: int) -> bytes:
    raise IntakeError("PIXELS_UNDECODABLE", 0xC000)


def previewer() -> Previewer:
    return Previewer(load_profiles(), load_table(), ClinicKey(b"k" * 32), cannot_decode, max_bytes=2**20)


def file(path: Path, *elements: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> Path:
    data = made.encoded(made.image())
    for one in elements:
        data = inserted(data, one)
    path.write_bytes(bytes(128) + b"DICM" + element(0x00020010, b"UI", syntax) + data)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(deid, [str(argument) for argument in arguments])


async def test_every_attribute_has_a_fate_and_a_reason(tmp_path: Path) -> None:
    private = element(0x00091001, b"LO", b"Zquex ")
    other = element(0x00181030, b"LO", b"Zquex ")
    unneeded = element(0x00181151, b"IS", b"100 ")
    unbelieved = element(0x00180015, b"CS", b"ZQUEX ")
    result = await previewer().preview(file(tmp_path / "a", private, other, unneeded, unbelieved))
    assert result.leaves
    fates = {line.tag: line.fate for line in result.lines}
    whys = {line.tag: line.why for line in result.lines}
    assert fates[0x00280010] is fates[0x00080060] is fates[0x7FE00010] is Fate.KEPT
    assert fates[0x00100010] is fates[0x0020000D] is Fate.REPLACED
    assert fates[0x00100030] is Fate.EMPTIED
    assert fates[0x00120062] is Fate.ADDED
    assert whys[0x00091001] == "private"
    assert whys[0x00181030] == "identifying by PS3.15 E.1-1"
    assert whys[0x00181151] == "not needed for contouring"
    assert "not what the profile" in whys[0x00180015]
    assert all(whys.values())
    assert "Zquex" not in repr(result)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "FILE_UNREADABLE"),
        (b"x" * 2**20 + b"xx", "DATASET_TOO_LARGE"),
        (bytes(128) + b"DICM", "FILE_UNREADABLE"),
    ],
    ids=["empty", "large", "only a preamble"],
)
async def test_every_file_has_an_answer(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "a").write_bytes(content)
    result = await previewer().preview(tmp_path / "a")
    assert result.error is not None
    assert result.error.code == code


@pytest.mark.parametrize(
    ("syntax", "code"),
    [
        (b"1.2.840.10008.1.2.4.70", "PIXELS_UNDECODABLE"),
        (b"1.2.840.10008.1.2.4.50", "LOSSY_REFUSED"),
        (b"1.2.840.10008.1.2.4.100\0", "TRANSFER_SYNTAX_NOT_SUPPORTED"),
        (b"1.2.3\0", "TRANSFER_SYNTAX_NOT_SUPPORTED"),
    ],
)
async def test_transfer_syntaxes_are_treated_as_at_intake(tmp_path: Path, syntax: bytes, code: str) -> None:
    result = await previewer().preview(file(tmp_path / "a", syntax=syntax))
    assert result.error is not None
    assert result.error.code == code


async def test_a_lossy_image_is_refused_unless_accepted(tmp_path: Path) -> None:
    path = file(tmp_path / "a", element(0x00282110, b"CS", b"01"))
    result = await previewer().preview(path)
    assert result.error is not None
    assert result.error.code == "LOSSY_REFUSED"
    accepting = Previewer(
        load_profiles(), load_table(), ClinicKey(b"k" * 32), cannot_decode, max_bytes=2**20, accept_lossy=True
    )
    assert (await accepting.preview(path)).leaves


def test_the_command_prints_no_value_unless_asked(tmp_path: Path) -> None:
    path = file(tmp_path / "a")
    plain, shown = run("preview", path), run("preview", "--show", path)
    assert plain.exit_code == shown.exit_code == 0
    assert "would leave" in plain.output
    assert "Invented" not in plain.output
    assert "Invented^Person" in shown.output


def test_the_command_ends_with_1_if_a_file_does_not_leave(tmp_path: Path) -> None:
    result = run("preview", file(tmp_path / "a"), tmp_path / "none")
    assert result.exit_code == 1
    assert "NOTHING LEAVES" in result.output
    assert "Traceback" not in result.output


def test_json_is_one_object_a_line_without_values(tmp_path: Path) -> None:
    file(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"no")
    result = run("preview", "--json", tmp_path)
    good, bad = map(json.loads, result.output.splitlines())
    assert good["leaves"]
    assert good["counts"]["kept"] > 10
    assert bad["code"] == "FILE_UNREADABLE"
    assert "Invented" not in result.output
    assert "Invented^Person" in run("preview", "--json", "--show", tmp_path).output


def test_what_would_leave_can_be_written(tmp_path: Path) -> None:
    path = file(tmp_path / "a")
    for _ in range(2):
        assert run("preview", "--out", tmp_path / "out", path).exit_code == 0
    written = list((tmp_path / "out").iterdir())
    out = pydicom.dcmread(written[0])
    assert out.PatientIdentityRemoved == "YES"
    assert written[0].name == f"{out.SOPInstanceUID}.dcm"
    assert written[0].stat().st_mode & 0o077 == 0


def test_no_value_commands_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b[31m\u202e[red]{{7*7}}$(id)\x07\r\n".encode()
    path = file(tmp_path / "a\x1b[0m", element(0x00104000, b"LT", hostile + b" " * (len(hostile) % 2)))
    output = run("preview", "--show", path).output
    for character in ("\x1b", "\u202e", "\x07", "\r"):
        assert character not in output
    assert "{{7*7}}" in output


def test_the_table_command_prints_the_proof() -> None:
    result = run("table")
    assert result.exit_code == 0
    for text in (
        "contouring-ct",
        "contouring-mr",
        "45 CFR 164.514(b)(2)(i)",
        "657 rows",
        "2026d, NEMA",
        "NOT covered",
    ):
        assert text in result.output
    assert "BurnedInAnnotation" in result.output
    assert "(60xx,3000)" in run("table", "--all").output


def test_a_dishonest_profile_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("name: site\nextends: contouring-ct\noptions: [retain-uids]\n")
    result = run("table", "--profile", tmp_path / "site.yaml")
    assert result.exit_code == 1
    assert "DEID_PROFILE_DISHONEST" in result.output


async def test_a_word_for_an_element_without_a_value_is_shown_as_added(tmp_path: Path) -> None:
    source = made.image(modality="MR")
    source.SequenceVariant = ""
    path = tmp_path / "a"
    path.write_bytes(made.part10(source))
    (line,) = [line for line in (await previewer().preview(path)).lines if line.tag == 0x00180021]
    assert (line.fate, line.before, line.after) == (Fate.ADDED, b"", b"NONE")
