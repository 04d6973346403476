"""Which missing protection stops the start, and which is knowingly done without."""

from collections.abc import Callable
from datetime import date

import pytest

from gateway.config import Protection, Waiver
from gateway.errors import ConfigError
from gateway.vault.lockdown import MEASURES, lock_down

TODAY = date(2026, 3, 1)


def _measures(*missing: Protection) -> dict[Protection, Callable[[], None]]:
    def works() -> None: ...

    def fails() -> None:
        raise OSError

    return {protection: fails if protection in missing else works for protection in Protection}


def _waiver(protection: Protection, until: date = TODAY) -> Waiver:
    return Waiver(protection=protection, until=until, reason="no kernel for it before the summer")


def test_every_protection_of_the_configuration_has_a_measure() -> None:
    assert set(MEASURES) == set(Protection)


def test_with_all_protections_nothing_is_waived() -> None:
    lockdown = lock_down([_waiver(Protection.MLOCK)], today=TODAY, measures=_measures())
    assert set(lockdown.in_force) == set(Protection)
    assert lockdown.waived == ()


@pytest.mark.parametrize("protection", Protection)
def test_a_missing_protection_stops_the_start(protection: Protection) -> None:
    with pytest.raises(ConfigError) as caught:
        lock_down(today=TODAY, measures=_measures(protection))
    assert caught.value.code == "LOCKDOWN_IMPOSSIBLE"
    assert caught.value.facts == {"missing": protection.value}


def test_all_missing_protections_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        lock_down(today=TODAY, measures=_measures(Protection.MLOCK, Protection.LANDLOCK))
    assert caught.value.facts == {"missing": "landlock mlock"}


def test_a_waiver_lets_the_gateway_start_and_is_reported() -> None:
    waiver = _waiver(Protection.MLOCK)
    lockdown = lock_down([waiver], today=TODAY, measures=_measures(Protection.MLOCK))
    assert lockdown.waived == (waiver,)
    assert Protection.MLOCK not in lockdown.in_force


def test_a_waiver_of_another_protection_does_not_help() -> None:
    with pytest.raises(ConfigError):
        lock_down([_waiver(Protection.CORE)], today=TODAY, measures=_measures(Protection.MLOCK))


def test_a_waiver_ends_after_its_day() -> None:
    with pytest.raises(ConfigError):
        lock_down(
            [_waiver(Protection.MLOCK, date(2026, 2, 28))], today=TODAY, measures=_measures(Protection.MLOCK)
        )
