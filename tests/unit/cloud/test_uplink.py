"""Throughput is bytes by busy time, and the codec follows it."""

from __future__ import annotations

import pytest

from gateway.cloud.payload import Codec
from gateway.cloud.uplink import Uplink, codec_for


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


MEGABYTE = 1_000_000


def test_nothing_is_known_before_enough_was_sent() -> None:
    clock = Clock()
    uplink = Uplink(clock)
    assert uplink.bytes_per_s is None
    with uplink.sending(1000):
        clock.now += 5
    assert uplink.bytes_per_s is None


def test_uploads_one_after_the_other_are_measured_without_the_pauses_between_them() -> None:
    clock = Clock()
    uplink = Uplink(clock)
    for _ in range(4):
        with uplink.sending(MEGABYTE):
            clock.now += 0.5
        clock.now += 60
    assert uplink.bytes_per_s == pytest.approx(2 * MEGABYTE)


def test_uploads_at_once_share_the_time() -> None:
    clock = Clock()
    uplink = Uplink(clock)
    with uplink.sending(MEGABYTE), uplink.sending(MEGABYTE), uplink.sending(MEGABYTE):
        clock.now += 1.0
    assert uplink.bytes_per_s == pytest.approx(3 * MEGABYTE)


def test_a_failed_upload_costs_time_and_brings_nothing() -> None:
    clock = Clock()
    uplink = Uplink(clock)

    def cut() -> None:
        with uplink.sending(MEGABYTE):
            clock.now += 1.0
            raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        cut()
    with uplink.sending(MEGABYTE):
        clock.now += 1.0
    assert uplink.bytes_per_s == pytest.approx(MEGABYTE / 2)


def test_a_change_is_followed() -> None:
    clock = Clock()
    uplink = Uplink(clock)
    for seconds in (0.1, 0.1, 0.1, *[2.0] * 12):
        with uplink.sending(MEGABYTE):
            clock.now += seconds
    assert uplink.bytes_per_s == pytest.approx(MEGABYTE / 2, rel=0.05)


@pytest.mark.parametrize(
    ("megabits", "codec"),
    [
        (None, Codec.JPEGXL),
        (10, Codec.JPEGLS),
        (50, Codec.JPEGLS),
        (51, Codec.JPEGXL),
        (10_000, Codec.JPEGXL),
    ],
)
def test_a_slow_link_gets_the_smaller_codec(megabits: int | None, codec: Codec) -> None:
    assert codec_for(None if megabits is None else megabits * 1e6 / 8) is codec
