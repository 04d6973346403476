"""What takes too long is found at the next look, and nothing else is."""

from __future__ import annotations

import pytest

from gateway.config import Limits
from gateway.dicom.association import Association
from gateway.dicom.association_events import AssociateRequested
from gateway.dicom.contexts import SupportedContexts
from gateway.dicom.deadlines import ARTIM_S, RELEASE_S, Deadlines
from tests import wire

LIMITS = Limits(associate_s=10, idle_s=60, message_s=300, min_bytes_per_s=100, rate_window_s=15)
STORE = wire.store_message(wire.made_dataset(50_000))


class Scene:
    """An association, looked at."""

    def __init__(self, *data: bytes) -> None:
        self.association = Association(pdu_bytes=16384, command_bytes=1024, instance_bytes=100_000)
        self.deadlines = Deadlines(LIMITS, 0)
        self.feed(*data)

    def feed(self, *data: bytes) -> None:
        rest = b"".join(data)
        while rest:
            window = self.association.buffer()
            count = min(len(window), len(rest))
            window[:count] = rest[:count]
            self.association.received(count)
            rest = rest[count:]
        for event in list(self.association.events):
            if isinstance(event, AssociateRequested):
                negotiated = SupportedContexts(accept_lossy=False).negotiate(event.request.contexts, {})
                self.association.accept(negotiated)
        self.association.events.clear()

    def at(self, now: float) -> str | None:
        return self.deadlines.passed(self.association, now)


def _releasing(scene: Scene) -> Scene:
    scene.association.release()
    return scene


RQ = wire.associate_rq()


@pytest.mark.parametrize(
    ("data", "limit_s", "code"),
    [
        ([RQ[:50]], 10, "NOT_ASSOCIATED_IN_TIME"),
        ([RQ], 60, "IDLE"),
        ([RQ, wire.RELEASE_RQ], ARTIM_S, "NOT_CLOSED_IN_TIME"),
        ([RQ, b"\xff" * 10], ARTIM_S, "NOT_CLOSED_IN_TIME"),
    ],
)
def test_a_deadline_passes_when_its_time_is_over_and_not_before(
    data: list[bytes], limit_s: float, code: str
) -> None:
    scene = Scene(*data)
    assert scene.at(100) is None
    assert scene.at(100 + limit_s) is None
    assert scene.at(100 + limit_s + 0.1) == code


def test_a_release_that_is_not_answered_passes() -> None:
    scene = _releasing(Scene(RQ))
    assert (scene.at(0), scene.at(RELEASE_S), scene.at(RELEASE_S + 0.1)) == (None, None, "IDLE")


def test_each_message_starts_the_idle_time_anew() -> None:
    scene = Scene(RQ)
    for minute in range(10):
        scene.feed(wire.p_data(3, 3, wire.echo_rq()))
        assert scene.at(minute * 59) is None


def test_a_message_has_a_time_in_all_however_fast_it_is() -> None:
    scene = Scene(RQ, wire.p_data(1, 3, wire.store_rq()))
    codes = []
    for second in range(302):
        scene.feed(wire.p_data(1, 0, bytes(200)))
        codes.append(scene.at(second))
    assert codes[:301] == [None] * 301
    assert codes[301] == "MESSAGE_TOO_LONG_UNDER_WAY"


@pytest.mark.parametrize(("fragment", "code"), [(80, "TOO_SLOW"), (100, None)])
def test_the_rate_is_that_of_a_window(fragment: int, code: str | None) -> None:
    scene = Scene(RQ, wire.p_data(1, 3, wire.store_rq()))
    codes = []
    for second in range(100):
        codes.append(scene.at(second))
        scene.feed(wire.p_data(1, 0, bytes(fragment - 12)))
    assert next((found for found in codes if found), None) == code


def test_a_sender_that_was_fast_and_stops_is_found_within_two_windows() -> None:
    scene = Scene(RQ, STORE[:-10])
    assert [scene.at(second) for second in (0, 14, 15, 16, 29)] == [None, None, "TOO_SLOW", None, None]


def test_waiting_for_the_service_has_no_deadline() -> None:
    scene = Scene(RQ, STORE)
    assert scene.association.is_storing
    assert (scene.at(0), scene.at(10_000)) == (None, None)
