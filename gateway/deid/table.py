"""PS3.15 table E.1-1 as data: what the Basic Application Level Confidentiality Profile asks for each attribute.

Source: DICOM PS3.15 2026d, NEMA. The file is part of the package; a row that is not understood stops the start.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, NoReturn

from pydicom.datadict import keyword_for_tag

from gateway.deid.codes import Option
from gateway.errors import ConfigError, Word

__all__ = ["CREDIT", "EDITION", "ConfidentialityTable", "TableRow", "load_table"]

EDITION: Final = "2026d"
CREDIT: Final = f"DICOM PS3.15 {EDITION}, NEMA"

_FILE: Final = f"ps315_e1_1_{EDITION}.csv"
_BASIC: Final = frozenset({"X", "Z", "D", "U", "X/Z", "X/D", "X/Z/D", "Z/D", "X/Z/U*"})
_TAG: Final = re.compile(r"\(([0-9A-F]{4}|[0-9A-F]{2}xx),([0-9A-F]{4}|xxxx)\)")
_PRIVATE: Final = "(gggg,eeee) where gggg is odd"
_FEWEST_ROWS: Final = 600
"""The edition has 657; a file that lost its end must not pass."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of table E.1-1."""

    tag: str
    """As printed, `(0010,0010)`; `x` stands for any digit."""
    keyword: str
    name: str
    basic: frozenset[str]
    """What the Basic Profile allows: X remove, Z empty, D dummy, U consistent UID."""
    options: Mapping[Option, str]
    """What an option allows instead: K keep, C clean."""


class ConfidentialityTable:
    """Table E.1-1, by tag.

    Parameters
    ----------
    rows : iterable of TableRow
    """

    def __init__(self, rows: Iterable[TableRow]) -> None:
        self._rows = tuple(rows)
        self._exact = {_exact_tag(row.tag): row for row in self._rows if _exact_tag(row.tag) >= 0}
        self._patterns = [
            (re.compile(row.tag.strip("()").replace(",", "").replace("x", ".")), row)
            for row in self._rows
            if _exact_tag(row.tag) < 0 and row.tag != _PRIVATE
        ]
        self._private = next(row for row in self._rows if row.tag == _PRIVATE)

    def row(self, tag: int) -> TableRow | None:
        """The row that covers a tag; None where the table does not name it."""
        if tag & 0x10000:
            return self._private
        row = self._exact.get(tag)
        if row is None:
            digits = f"{tag:08X}"
            row = next((row for pattern, row in self._patterns if pattern.fullmatch(digits)), None)
        return row

    def __iter__(self) -> Iterator[TableRow]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def load_table(lines: Iterable[str] | None = None) -> ConfidentialityTable:
    """Read the table.

    Parameters
    ----------
    lines : iterable of str, optional
        CSV with a header line; by default the file of the package.

    Raises
    ------
    ConfigError
        CONFIG_INVALID, naming the first line that is not understood.
    """
    if lines is None:
        lines = files("gateway.deid").joinpath("data", _FILE).read_text("utf-8").splitlines()
    reader = csv.DictReader(lines, strict=True)
    columns = {option: option.column for option in Option if option.column}
    needed = {"tag", "keyword", "name", "basic_profile", "edition", *columns.values()}
    if not needed <= set(reader.fieldnames or ()):
        _malformed(1, "columns")
    rows: list[TableRow] = []
    seen: set[str] = set()
    try:
        for cells in reader:
            row = _row(cells, columns, reader.line_num)
            if row.tag in seen:
                _malformed(reader.line_num, "tag twice")
            seen.add(row.tag)
            rows.append(row)
    except csv.Error:
        _malformed(reader.line_num, "not CSV")
    if len(rows) < _FEWEST_ROWS or _PRIVATE not in seen:
        _malformed(reader.line_num, "incomplete")
    return ConfidentialityTable(rows)


def _row(cells: Mapping[str | None, str | None], columns: Mapping[Option, str], line: int) -> TableRow:
    if None in cells or None in cells.values():
        _malformed(line, "number of cells")
    text = {str(column): str(cell) for column, cell in cells.items()}
    tag, keyword = text["tag"], text["keyword"]
    if tag != _PRIVATE:
        if not _TAG.fullmatch(tag):
            _malformed(line, "tag")
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", keyword):
            _malformed(line, "keyword")
        known = keyword_for_tag(_exact_tag(tag)) if _exact_tag(tag) >= 0 else ""
        if known and known != keyword:
            _malformed(line, "keyword of another tag")
    if text["basic_profile"] not in _BASIC:
        _malformed(line, "basic_profile")
    if text["edition"] != EDITION:
        _malformed(line, "edition")
    options = {}
    for option, column in columns.items():
        if text[column] not in ("", "K", "C"):
            _malformed(line, column)
        if text[column]:
            options[option] = text[column]
    basic = frozenset(text["basic_profile"].replace("*", "").split("/"))
    return TableRow(tag, keyword, text["name"], basic, options)


def _exact_tag(tag: str) -> int:
    """The tag as a number; -1 for a pattern."""
    digits = tag.strip("()").replace(",", "")
    return int(digits, 16) if re.fullmatch(r"[0-9A-F]{8}", digits) else -1


def _malformed(line: int, what: str) -> NoReturn:
    raise ConfigError("CONFIG_INVALID", file=Word(_FILE), line=line, mistake=Word(what.replace("_", " ")))
