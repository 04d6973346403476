"""What stands in the way of taking another series."""

from __future__ import annotations

import pytest

from gateway.console.readiness import Readiness


def test_it_is_ready_when_nothing_stands_in_the_way() -> None:
    assert Readiness().is_ready
    assert not Readiness().is_draining


def test_draining_is_one_reason_not_to_be_ready() -> None:
    assert Readiness(("DRAINING",)).is_draining
    assert not Readiness(("DRAINING",)).is_ready
    assert not Readiness(("CLERK_LOST",)).is_draining


def test_it_takes_only_reasons_that_can_be_explained() -> None:
    with pytest.raises(KeyError):
        Readiness(("BECAUSE",))
