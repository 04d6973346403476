"""A short run of the fuzz target, so that it stays runnable; proof that its seeds get far and that it can fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.dicom.walk import Elements, WalkLimits
from tests.fuzz import dataset
from tests.fuzz.dataset import fuzz_one
from tests.fuzz.mutation import changed
from tests.fuzz.seeds import dataset_seeds, write

FAR = ("deidentify", "to_little_endian", "restore", "is_pseudonymous_uid")


def test_valid_inputs_pass_and_get_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()

    def noting(name: str, what: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **more: Any) -> Any:
            found = what(*given, **more)
            reached.add(name)
            return found

        return noted

    for name in FAR:
        monkeypatch.setattr(dataset, name, noting(name, getattr(dataset, name)))
    for seed in dataset_seeds():
        fuzz_one(seed)
    assert reached == set(FAR)


def test_changed_inputs_pass() -> None:
    for data in changed(dataset_seeds(), seconds=3, seed=1):
        fuzz_one(data)


def test_every_beginning_of_a_valid_input_passes() -> None:
    for seed in dataset_seeds():
        for stop in range(0, len(seed), 7):
            fuzz_one(seed[:stop])


def test_control_a_value_beyond_the_bytes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(data: bytes, *, implicit: bool, limits: WalkLimits) -> Elements:
        return Elements({0x00080005: (b"CS", 8, len(data) + 1)}, [])

    monkeypatch.setattr(dataset, "walk", careless)
    with pytest.raises(AssertionError):
        fuzz_one(dataset_seeds()[0])


def test_a_corpus_is_written_as_libfuzzer_reads_it(tmp_path: Path) -> None:
    write(dataset_seeds(), tmp_path / "corpus")
    assert len(list((tmp_path / "corpus").iterdir())) == len(dataset_seeds())
    assert '"\\x53\\x51"\n' in (tmp_path / "corpus.dict").read_text()
