"""YAML that remembers its lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import check
from gateway.yaml_lines import Document


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("a:\n\tb: 1\n", 2, "is not YAML"),
        ("a: 1\n---\nb: 1\n", 2, "another document"),
        ("a: 1\nb: 2026-13-01\n", 2, "a date or a number that does not exist"),
        ("a: !!python/object:os.system {}\n", 1, "could not determine a constructor"),
        ("a: \x07\n", 1, "a character that text does not have"),
        ("", 1, "should be a block of keys"),
        ("- 1\n", 1, "should be a block of keys"),
        ("? [1]\n: 2\n", 1, "is not YAML"),
    ],
)
def test_broken_yaml_is_told_with_its_line(configuration: Any, text: str, line: int, message: str) -> None:
    [mistake] = check(configuration.write(text))
    assert mistake.line == line
    assert message in mistake.message


@pytest.fixture
def document(tmp_path: Path) -> Document:
    file = tmp_path / "x.yaml"
    file.write_text(
        "# a remark\none:\n  two:\n    - three: 010\n    - three: &four {five: 6}\nseven: *four\n"
    )
    return Document(file)


def test_a_place_has_the_line_on_which_its_key_stands(document: Document) -> None:
    assert document.line(("one", "two", 1, "three")) == 5
    assert document.line(("seven",)) == 6


def test_a_place_that_is_not_there_has_the_line_of_what_is_around_it(document: Document) -> None:
    assert document.line(("one", "two", 1, "absent")) == 5
    assert document.line(("absent",)) == 2


def test_a_scalar_is_known_as_it_was_written(document: Document) -> None:
    assert document.data["one"]["two"][0]["three"] == 8
    assert document.written(("one", "two", 0, "three")) == "010"
    assert document.written(("one",)) is None


def test_a_mistake_reads_as_file_line_key_and_message(document: Document) -> None:
    mistake = document.mistake(("one", "two", 0, "three"), "is wrong")
    assert str(mistake) == f"{document.file}:4: one.two[0].three: is wrong"


def test_a_key_that_stands_twice_is_a_mistake_at_any_depth(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a:\n  - b: 1\n    c: 2\n    b: 3\n")
    [mistake] = Document(file).mistakes
    assert (mistake.line, mistake.key) == (4, "a[0].b")


def test_a_document_that_holds_itself_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: &x [*x]\n")
    assert Document(file).mistakes == []
