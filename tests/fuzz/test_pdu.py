"""A short run of the fuzz target, so that it stays runnable; and proof that it can fail."""

from __future__ import annotations

import pytest

from gateway.dicom import association
from tests.fuzz.mutation import changed
from tests.fuzz.pdu import fuzz_one
from tests.fuzz.seeds import pdu_seeds


def test_valid_sessions_pass() -> None:
    for seed in pdu_seeds():
        for chunking in range(20):
            fuzz_one(bytes([chunking]) + seed[1:])


def test_changed_sessions_pass() -> None:
    for data in changed(pdu_seeds(), seconds=2, seed=1):
        fuzz_one(data)


def test_control_a_command_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(encoded: bytes) -> None:
        raise KeyError

    monkeypatch.setattr(association, "decode_command", unreadable)
    with pytest.raises(KeyError):
        fuzz_one(pdu_seeds()[1])
