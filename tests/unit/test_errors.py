"""Errors carry codes and harmless facts, and the catalogue and the code say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.tag import Tag

from gateway import errors
from gateway.errors import CATALOGUE, ConfigError, Explanation, GatewayError, IntakeError, Word

GATEWAY = Path(errors.__file__).parent
CODE = re.compile(r"[A-Z][A-Z0-9_]+[A-Z0-9]")


def strings_of(source: str) -> Iterator[str]:
    """The string constants of a module that are not docstrings."""
    tree = ast.parse(source)
    expressions = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in expressions:
            yield node.value


def codes_raised(source: str) -> set[str]:
    """The first argument of every call whose name ends in Error, Unfit, Refused, Unavailable or Unsound."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            is_error = getattr(errors, name, None) in ERRORS
            if is_error and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    return found


def subclasses(kind: type[GatewayError]) -> set[type[GatewayError]]:
    return {kind}.union(
        *(subclasses(inner) for inner in kind.__subclasses__() if inner.__module__ == errors.__name__)
    )


ERRORS = subclasses(GatewayError)
SOURCES = {path: path.read_text() for path in GATEWAY.rglob("*.py") if path.name != "errors.py"}


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    raised = {code: path.name for path, source in SOURCES.items() for code in codes_raised(source)}
    assert len(raised) > 20
    assert set(raised) <= set(CATALOGUE), sorted(set(raised) - set(CATALOGUE))


def test_every_code_of_the_catalogue_is_used() -> None:
    used = {text for source in SOURCES.values() for text in strings_of(source)}
    assert set(CATALOGUE) <= used, sorted(set(CATALOGUE) - used)


def test_a_code_in_a_docstring_only_does_not_count_as_used() -> None:
    source = '"""Raises PEER_STATUS."""\nraise PeerError("PEER_ABORTED")\n'
    assert set(strings_of(source)) == {"PEER_ABORTED"}
    assert codes_raised(source) == {"PEER_ABORTED"}


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_code_is_upper_case_and_its_explanation_is_sentences(code: str) -> None:
    assert CODE.fullmatch(code)
    for text in CATALOGUE[code]:
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"GatewayError"}
    assert drawn == {kind.__name__ for kind in ERRORS}


def test_a_code_that_is_not_in_the_catalogue_is_a_fault_of_the_program() -> None:
    with pytest.raises(KeyError):
        ConfigError("NO_SUCH_CODE")


def test_numbers_tags_and_words_are_facts() -> None:
    error = ConfigError(
        "CONFIG_INVALID", mistakes=2, position_mm=1.5, tag=Tag(0x00100010), key=Word("dicom.port")
    )
    assert str(error) == (
        "CONFIG_INVALID: The configuration has mistakes. "
        "(mistakes 2, position mm 1.5, tag (0010,0010), key dicom.port)"
    )


@pytest.mark.parametrize("value", ["DOE^JANE", b"DOE", None, ["x"]])
def test_anything_else_is_no_fact(value: object) -> None:
    with pytest.raises(TypeError):
        GatewayError("CONFIG_INVALID", name=value)  # type: ignore[arg-type]


def test_the_sender_learns_the_status() -> None:
    assert IntakeError("DATASET_TOO_DEEP", 0xC000).dimse_status == 0xC000


@pytest.mark.parametrize(
    "text", ["", "^", "a\nb", "a\x1b[0m", "é", "x" * 81, "a\u202eb", " a", "{{7*7}}", "%n", "<b>"]
)
def test_a_word_cannot_break_out_of_its_line(text: str) -> None:
    with pytest.raises(ValueError, match="not a word"):
        Word(text)


@given(st.text())
def test_whatever_is_a_word_is_one_line_of_printable_ascii(text: str) -> None:
    try:
        word = Word(text)
    except ValueError:
        return
    assert word == text
    assert word.isascii()
    assert word.isprintable()
    assert 0 < len(word) <= 80


def test_an_error_says_what_it_means_and_what_to_do() -> None:
    error = GatewayError("PORT_IN_USE", port=104)
    assert Explanation(error.meaning, error.hint) == CATALOGUE["PORT_IN_USE"]
