"""The same alert is told once a minute, with the number of times."""

from __future__ import annotations

from gateway.dicom.alerts import AlertGate, AlertKind, SecurityAlert


class Scene:
    def __init__(self, **options: int) -> None:
        self.now = 0.0
        self.told: list[SecurityAlert] = []
        self.gate = AlertGate(self.told.append, lambda: self.now, **options)


def test_the_first_is_told_at_once() -> None:
    scene = Scene()
    scene.gate.raise_alert(AlertKind.NOT_DICOM, "10.0.0.1", "CT1")
    assert scene.told == [SecurityAlert(AlertKind.NOT_DICOM, "10.0.0.1", "CT1", 1)]


def test_the_others_are_counted_and_told_after_a_minute() -> None:
    scene = Scene()
    for _ in range(500):
        scene.gate.raise_alert(AlertKind.NOT_DICOM, "10.0.0.1")
    assert len(scene.told) == 1
    scene.now = 61
    scene.gate.tell_counted()
    assert [alert.count for alert in scene.told] == [1, 499]
    scene.now = 200
    scene.gate.tell_counted()
    assert len(scene.told) == 2


def test_a_flood_is_told_once_a_minute() -> None:
    scene = Scene()
    for second in range(600):
        scene.now = float(second)
        scene.gate.raise_alert(AlertKind.NOT_DICOM, "10.0.0.1")
    assert 10 <= len(scene.told) <= 11
    scene.now = 700
    scene.gate.tell_counted()
    assert sum(alert.count for alert in scene.told) == 600


def test_other_kinds_and_addresses_are_told_apart() -> None:
    scene = Scene()
    for kind in (AlertKind.NOT_DICOM, AlertKind.CALLED_AE_TITLE):
        for address in ("10.0.0.1", "10.0.0.2"):
            scene.gate.raise_alert(kind, address)
    assert len(scene.told) == 4


def test_a_flood_from_many_addresses_takes_little_memory_and_loses_no_count() -> None:
    scene = Scene(addresses=10)
    for number in range(1000):
        scene.gate.raise_alert(AlertKind.NOT_DICOM, f"10.0.{number // 250}.{number % 250}")
    assert len(scene.gate._quiet) == 11
    scene.now = 61
    scene.gate.tell_counted()
    assert sum(alert.count for alert in scene.told) == 1000
