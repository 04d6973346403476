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
RUN_BY = {
    "gateway/app.py": "tests/peers/test_passage.py",
    "gateway/child.py": "tests/faults/test_processes.py",
    "gateway/clerk/process.py": "tests/faults/test_processes.py",
    "gateway/cloud/dicom_json.py": "tests/peers/test_dicomweb.py",
    "gateway/cloud/factory.py": "tests/peers/test_passage.py",
    "gateway/commands/options.py": "tests/unit/test_cli.py",
    "gateway/contourer/api.py": "tests/peers/test_contourer.py",
    "gateway/contourer/cell.py": "tests/peers/test_contourer_process.py",
    "gateway/contourer/contouring.py": "tests/peers/test_contourer.py",
    "gateway/contourer/engine/contour_sequence.py": "tests/unit/contourer/engine/test_structure_set.py",
    "gateway/contourer/engines.py": "tests/peers/test_contourer.py",
    "gateway/contourer/process.py": "tests/peers/test_contourer_process.py",
    "gateway/contourer/service.py": "tests/peers/test_contourer.py",
    "gateway/contourer/unpacker.py": "tests/peers/test_contourer.py",
    "gateway/deid/profile_file.py": "tests/unit/deid/test_profile.py",
    "gateway/demo/command.py": "tests/peers/test_demo.py",
    "gateway/demo/story.py": "tests/peers/test_demo.py",
    "gateway/demo/tps.py": "tests/peers/test_demo.py",
    "gateway/dicom/acceptor.py": "tests/peers/test_intake.py",
    "gateway/dicom/decoder.py": "tests/unit/dicom/test_decode.py",
    "gateway/dicom/dictionary.py": "tests/unit/dicom/test_walk.py",
    "gateway/dicom/first_level.py": "tests/unit/dicom/test_walk.py",
    "gateway/flow/accept.py": "tests/peers/test_passage.py",
    "gateway/flow/chronicle.py": "tests/peers/test_passage.py",
    "gateway/flow/conduct.py": "tests/peers/test_passage.py",
    "gateway/flow/declared.py": "tests/peers/test_passage.py",
    "gateway/flow/ending.py": "tests/peers/test_passage.py",
    "gateway/flow/gallery.py": "tests/peers/test_passage.py",
    "gateway/flow/outlines.py": "tests/peers/test_passage.py",
    "gateway/flow/pixel_gate.py": "tests/peers/test_passage.py",
    "gateway/flow/planes.py": "tests/unit/flow/test_inspect.py",
    "gateway/flow/prepare.py": "tests/peers/test_passage.py",
    "gateway/flow/receive.py": "tests/peers/test_passage.py",
    "gateway/flow/stages.py": "tests/peers/test_passage.py",
    "gateway/vault/memory.py": "tests/privacy/test_lockdown.py",
    "gateway/vault/seccomp.py": "tests/privacy/test_lockdown.py",
}
"""Modules that no test names, and the test that runs them."""
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


def imported(source: str) -> set[str]:
    """Every dotted name that a module imports, whole or in part."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


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


def test_every_module_is_tested() -> None:
    """By the test file at the same place under tests/unit, by one that names it, or by one that runs it."""
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    named = {name for path in tests for name in imported(path.read_text())}
    untested = []
    for module in MODULES:
        place = module.relative_to(ROOT / "gateway")
        mirror = ROOT / "tests" / "unit" / place.parent / f"test_{place.stem}.py"
        runner = RUN_BY.get(name_of(module))
        is_named = ".".join(["gateway", *place.with_suffix("").parts]) in named
        if not (mirror.exists() or is_named or (runner and (ROOT / runner).exists())):
            untested.append(name_of(module))
    assert [name for name in untested if not name.endswith("__.py")] == []


def test_a_module_that_is_named_is_found() -> None:
    assert imported("from gateway.vault import memory\nimport gateway.app") >= {
        "gateway.vault.memory",
        "gateway.app",
    }


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
        ("requirements-fuzz.lock", ("fuzz",)),
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
