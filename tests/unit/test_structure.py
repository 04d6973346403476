"""How the project is laid out: what a stranger may rely on when opening the folder."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "gateway").rglob("*.py"))
LONGEST = 400
"""Lines of a module."""
TABLES = {"gateway/errors.py"}
"""Modules that are mostly one table, which reads better in one piece."""
LOCKS = sorted((ROOT / "deploy").glob("*.lock"))
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "conf",
    "deploy",
    "gateway",
    "pyproject.toml",
    "tests",
}
ELSEWHERE = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|docker|ghcr|quay)\.(?:org|io|com|net)\b"  # registries
    r"|https?://\S*/(?:simple|debian)\b"
    r"|--(?:extra-)?index[-]url|--find[-]links|--trusted[-]host"
    r"|\.\./" + "shared|/w" + "ork/"
)
"""What lies outside of the project: it speaks only of itself."""
MAY_NAME_DATA = {"tests/conftest.py"}
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> Iterator[tuple[str, str]]:
    """Every text file of the project, without what was generated."""
    for top in sorted(TOP_LEVEL):
        found = ROOT / top
        for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
                try:
                    yield name_of(path), path.read_text()
                except UnicodeDecodeError:
                    continue


def private_imports(source: str) -> set[str]:
    """Names with a leading underscore that are imported from a module of the gateway."""
    return {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gateway"
        for alias in node.names
        if alias.name.startswith("_")
    }


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_what_it_is_and_is_short_enough_to_be_read(module: Path) -> None:
    source = module.read_text()
    assert ast.get_docstring(ast.parse(source)), "it needs a docstring"
    if name_of(module) not in TABLES:
        assert len(source.splitlines()) <= LONGEST


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_imports_no_private_name_of_its_neighbours(module: Path) -> None:
    assert private_imports(module.read_text()) - {"__version__"} == set()


def test_a_private_import_would_be_found() -> None:
    assert private_imports("from gateway.config import _read, load\nfrom other import _x") == {"_read"}


def test_the_project_speaks_only_of_itself() -> None:
    found = {name: match[0] for name, text in texts() if (match := ELSEWHERE.search(text))}
    assert set(found) <= MAY_NAME_DATA, found


@pytest.mark.parametrize(
    "text",
    ["see ../" + "shared/samples", "pypi" + ".org", "pip --index" + "-url x", "https://x/" + "simple/y"],
)
def test_a_word_about_something_else_would_be_found(text: str) -> None:
    assert ELSEWHERE.search(text)


def test_nothing_is_left_unfinished() -> None:
    found = {name: match[0] for name, text in texts() if (match := UNFINISHED.search(text))}
    assert not found
    assert UNFINISHED.search("# TO" + "DO later")


def test_the_top_level_stays_as_it_is() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    tracked = {line.split("/")[0] for line in done.stdout.splitlines()}
    assert tracked <= TOP_LEVEL


@pytest.mark.parametrize("lock", LOCKS, ids=name_of)
def test_a_lock_pins_each_package_with_hashes_and_no_address(lock: Path) -> None:
    entries = re.split(r"(?m)^(?=\S)", lock.read_text())[1:]
    assert len(entries) > 30
    for entry in entries:
        assert re.match(
            r"[a-z0-9][a-z0-9._-]*==[^ ]+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+$", entry
        )


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ("test",)),
        ("requirements-runtime.lock", ()),
        ("requirements-bench.lock", ("bench",)),
    ],
)
def test_a_lock_has_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    text = (ROOT / "deploy" / lock).read_text()
    pinned = dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^ ]+)", text))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        version = pinned[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_the_locks_agree_with_each_other() -> None:
    pins: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"(?m)^([a-z0-9._-]+)==([^ ]+)", lock.read_text()):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}
