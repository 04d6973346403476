"""The list of faults and the tests: each row up to 45 has at least one that names it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROWS = range(1, 46)


def rows_named(names: list[str]) -> set[int]:
    """The rows that test names begin with: `test_7_…`, `test_28_29_…`, `test_13_to_17_…`."""
    found: set[int] = set()
    for name in names:
        if span := re.match(r"test_(\d+)_to_(\d+)_", name):
            found.update(range(int(span[1]), int(span[2]) + 1))
        elif several := re.match(r"test_((?:\d+_)+)", name):
            found.update(int(number) for number in several[1].split("_") if number)
    return found


def names_of_tests() -> list[str]:
    trees = [ast.parse(path.read_text()) for path in FOLDER.glob("test_intake_*.py")]
    functions = (node for tree in trees for node in ast.walk(tree))
    return [node.name for node in functions if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_each_row_has_a_test(data: Path) -> None:
    text = (data / "faults.md").read_text()
    listed = {int(number) for number in re.findall(r"(?:^\| |; )(\d+)(?=[ .])", text, re.MULTILINE)}
    assert listed >= {*ROWS} - {24}  # 24 stands within the text of 23
    assert set(ROWS) - rows_named(names_of_tests()) == set()


@pytest.mark.parametrize("row", [1, 16, 45])
def test_control_a_row_without_a_test_is_found(row: int) -> None:
    left = [name for name in names_of_tests() if row not in rows_named([name])]
    assert row in set(ROWS) - rows_named(left)
