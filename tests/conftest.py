"""What every test may ask for: the folder of sample data, and programs that we did not write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""`../shared` beside the project: samples/, malformed/ and reference/. Not part of the project."""

SYSTEM_PROGRAMS = "/usr/sbin"
"""Debian puts Orthanc here, which is not on an ordinary account's path."""


def pytest_configure() -> None:
    path = os.environ.get("PATH", os.defpath)
    if SYSTEM_PROGRAMS not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((path, SYSTEM_PROGRAMS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("peer"):
        absent = [program for program in marker.args if shutil.which(program) is None]
        if absent:
            go_without(f"not installed: {', '.join(absent)}")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of sample data, with samples/, malformed/ and reference/ in it."""
    if not (SHARED / "samples").is_dir():
        go_without("the folder of sample data is not beside the project")
    return SHARED


def go_without(reason: str) -> NoReturn:
    """Skip the test; where everything must be there (CI=true), fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must not go without: {reason}", pytrace=False)
    pytest.skip(reason)
