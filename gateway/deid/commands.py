"""`gateway deid`: what would leave, and what the profiles say."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.deid.declared import Attribute
from gateway.deid.preview import Fate, Line, Preview, Previewer
from gateway.deid.profile import Profile, load_profiles
from gateway.deid.proof import option_used
from gateway.deid.safe_harbor import judge
from gateway.deid.table import CREDIT, ConfidentialityTable, TableRow, load_table
from gateway.dicom.decode import Transcoder
from gateway.errors import ConfigError
from gateway.vault.keys import KEY_BYTES, ClinicKey

__all__ = ["deid"]

_MAX_BYTES: Final = 64 * 2**20
_MOST_FILES: Final = 10_000
_LONGEST_SHOWN: Final = 48
_STYLES: Final = {
    Fate.KEPT: "green",
    Fate.REPLACED: "cyan",
    Fate.EMPTIED: "blue",
    Fate.ADDED: "magenta",
    Fate.REMOVED: "red",
}
_PROFILES = click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A profile file of the site, as under `deid.profiles`.",
)


@click.group()
def deid() -> None:
    """De-identification: preview it, and print the profiles."""


@deid.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_PROFILES
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file, one a line.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write what would leave into this folder."
)
@click.option("--show", is_flag=True, help="Also print the values: they identify the patient.")
@click.option("--accept-lossy", is_flag=True, help="As `dicom.accept_lossy: true`.")
def preview(
    paths: Sequence[Path],
    profiles: Sequence[Path],
    as_json: bool,
    out: Path | None,
    show: bool,
    accept_lossy: bool,
) -> None:
    """Show what would leave of image files; nothing is sent.

    The pseudonyms are made up for the occasion. Text in the pixels is looked for only when a series is sent. Ends with
    status 1 if nothing would leave of a file.
    """
    loaded = _loaded(profiles)
    table = load_table()
    if out is not None:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def run() -> bool:
        transcoder = Transcoder(processes=1)
        key = ClinicKey(secrets.token_bytes(KEY_BYTES))
        previewer = Previewer(
            loaded, table, key, transcoder.to_native, max_bytes=_MAX_BYTES, accept_lossy=accept_lossy
        )
        all_leave = True
        try:
            for path in _files(paths):
                result = await previewer.preview(path)
                all_leave &= result.leaves
                written = _write(result, out) if out is not None else None
                if as_json:
                    click.echo(json.dumps(_as_json(result, written, show=show)))
                else:
                    _print(result, written, show=show)
        finally:
            await transcoder.close()
        return all_leave

    if not asyncio.run(run()):
        sys.exit(1)


@deid.command()
@_PROFILES
@click.option(
    "--all", "whole", is_flag=True, help="Every row of table E.1-1, not only those that a profile touches."
)
def table(profiles: Sequence[Path], whole: bool) -> None:
    """Print the profiles against PS3.15 table E.1-1 and the 18 Safe Harbor identifiers."""
    rows = load_table()
    console = _console()
    for profile in _loaded(profiles).values():
        console.print(_profile_table(profile, rows, whole=whole))
        console.print(_said_table(profile))
        console.print(_safe_harbor_table(profile))
    console.print(f"Table E.1-1: {len(rows)} rows. {CREDIT}", style="dim")


def _loaded(paths: Sequence[Path]) -> dict[str, Profile]:
    try:
        return load_profiles(paths)
    except ConfigError as error:
        raise click.ClickException(f"{error} {error.hint}") from None


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and those in the folders named, `_MOST_FILES` at most."""
    count = 0
    for path in paths:
        inside = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
        for file in inside:
            count += 1
            if count > _MOST_FILES:
                raise click.ClickException(f"more than {_MOST_FILES} files")
            yield file


def _write(result: Preview, folder: Path) -> Path | None:
    if result.outgoing is None:
        return None
    path = folder / f"{result.outgoing.sop_instance_uid}.dcm"  # a pseudonym: digits and dots
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(result.outgoing.part10())
    except FileExistsError:
        return path  # the same instance twice
    except OSError:
        raise click.ClickException("cannot write into the folder of --out") from None
    return path


def _as_json(result: Preview, written: Path | None, *, show: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "file": os.fsencode(result.path).decode("utf-8", "replace"),
        "leaves": result.leaves,
    }
    if result.error is not None:
        answer |= {
            "code": result.error.code,
            "meaning": result.error.meaning,
            "facts": {name: str(fact) for name, fact in result.error.facts.items()},
        }
    answer |= {"profile": result.profile, "counts": dict(result.counts), "nested_removed": result.nested}
    answer["attributes"] = [
        {"tag": _tag(line.tag), "keyword": line.keyword, "fate": line.fate.value, "why": line.why}
        | ({"before": _printable(line.before), "after": _printable(line.after)} if show else {})
        for line in result.lines
    ]
    if written is not None:
        answer["written"] = str(written)
    return answer


def _print(result: Preview, written: Path | None, *, show: bool) -> None:
    console = _console()
    console.print(Text(_printable(os.fsencode(result.path), 300), style="bold"))
    if result.lines:
        console.print(_lines_table(result.lines, show=show))
        counts = ", ".join(f"{count} {fate}" for fate, count in sorted(result.counts.items()))
        console.print(f"  {result.profile}: {counts}; {result.nested} nested elements removed")
    if result.error is not None:
        console.print(Text(f"  NOTHING LEAVES  {result.error}", style="bold red"))
        console.print(Text(f"  {result.error.hint}"))
    else:
        console.print(Text("  would leave as shown, if the series passes its checks", style="bold green"))
    if written is not None:
        console.print(Text(f"  written: {written.name}"))


def _lines_table(lines: Sequence[Line], *, show: bool) -> Table:
    grid = Table("Tag", "Attribute", "Fate", "Why", box=None, pad_edge=True)
    if show:
        grid.add_column("Before")
        grid.add_column("After")
    for line in lines:
        cells: list[str | Text] = [
            _tag(line.tag),
            line.keyword or "unknown or private",
            Text(line.fate.value, style=_STYLES[line.fate]),
            line.why,
        ]
        if show:
            cells += [Text(_printable(line.before)), Text(_printable(line.after))]
        grid.add_row(*cells)
    return grid


def _profile_table(profile: Profile, rows: ConfidentialityTable, *, whole: bool) -> Table:
    options = ", ".join(f"{option.code.value} {option.label}" for option in profile.options) or "none"
    grid = Table(
        "Tag", "Attribute", "Type", "Action", "E.1-1", "Reason", title=f"{profile.name}: options {options}"
    )
    for attribute in profile.attributes:
        row = rows.row(attribute.tag)
        grid.add_row(
            _tag(attribute.tag),
            attribute.keyword,
            attribute.type,
            _action(attribute),
            _asked(row) + _by_option(attribute, row, profile),
            attribute.reason,
        )
    if whole:
        listed = {_tag(attribute.tag) for attribute in profile.attributes}
        for row in rows:
            if row.tag not in listed:
                grid.add_row(row.tag, row.keyword or row.name, "", "absent", _asked(row), "")
    return grid


def _said_table(profile: Profile) -> Table:
    grid = Table("Tag", "Attribute", "Value", title=f"{profile.name}: computed from what it declares")
    for said in profile.said:
        grid.add_row(_tag(said.tag), said.keyword, said.text)
    return grid


def _safe_harbor_table(profile: Profile) -> Table:
    grid = Table("", "Identifier", "Fate", "Attributes that leave", "Remark")
    grid.title = f"{profile.name}: 45 CFR 164.514(b)(2)(i)"
    for one in judge(profile):
        grid.add_row(
            one.identifier.letter,
            one.identifier.name,
            one.fate.value,
            ", ".join(one.leaving) or "none",
            one.identifier.remark,
        )
    return grid


def _action(attribute: Attribute) -> str:
    if attribute.value:
        return f"{attribute.action.value} {attribute.value}"
    if attribute.words:
        return f"{attribute.action.value}, {len(attribute.words)} words"
    if attribute.bounds is not None:
        low, high = attribute.bounds
        return f"{attribute.action.value} {low:g} to {high:g}"
    return attribute.action.value


def _asked(row: TableRow | None) -> str:
    return "not listed" if row is None else "/".join(sorted(row.basic, key="XZDU".index))


def _by_option(attribute: Attribute, row: TableRow | None, profile: Profile) -> str:
    option = None if row is None else option_used(attribute, row, profile.options)
    return f", {option.label}" if option else ""


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _printable(value: bytes, longest: int = _LONGEST_SHOWN) -> str:
    """A value as one line that no terminal obeys."""
    text = value[: 4 * longest].decode("utf-8", "replace").rstrip("\0 ")
    text = re.sub(r"[^\w !-/:-@\[-`{-~]", "\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
