"""How fast the way to the contourer is, and which codec suits it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.cloud.payload import Codec

__all__ = ["Uplink", "codec_for"]

FAST_BYTES_PER_S: Final = 50e6 / 8
"""JPEG-LS makes a slice about 5 % smaller than JPEG XL and takes 5 times the CPU (`tests/bench/codec.py`): worth it
only where the link is what everything waits for."""

_SAMPLE_S: Final = 0.2
_SAMPLE_BYTES: Final = 256 * 1024
_SAMPLE_UPLOADS: Final = 8
"""While others are under way, so many must have ended: what the others have sent so far is not in the count."""
_WEIGHT: Final = 0.4


def codec_for(bytes_per_s: float | None) -> Codec:
    """The codec with which a series is up first.

    Parameters
    ----------
    bytes_per_s : float, optional
        Throughput of the uplink; nothing, while it is not known.
    """
    if bytes_per_s is not None and bytes_per_s <= FAST_BYTES_PER_S:
        return Codec.JPEGLS
    return Codec.JPEGXL


class Uplink:
    """Measures throughput on uploads: bytes acknowledged by the time in which at least one was under way.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way = 0
        self._since = 0.0
        self._busy_s = 0.0
        self._bytes = 0
        self._uploads = 0
        self.bytes_per_s: float | None = None
        """Smoothed; nothing, until enough was sent."""

    @contextmanager
    def sending(self, size: int) -> Iterator[None]:
        """Around one upload of `size` bytes; what fails is not counted, the time it took is."""
        if self._under_way == 0:
            self._since = self._clock()
        self._under_way += 1
        try:
            yield
            self._bytes += size
            self._uploads += 1
        finally:
            now = self._clock()
            self._busy_s += now - self._since
            self._since = now
            self._under_way -= 1
            is_settled = self._under_way == 0 or self._uploads >= _SAMPLE_UPLOADS
            if is_settled and self._busy_s >= _SAMPLE_S and self._bytes >= _SAMPLE_BYTES:
                self._take(self._bytes / self._busy_s)

    def _take(self, sample: float) -> None:
        known = self.bytes_per_s
        self.bytes_per_s = sample if known is None else known + _WEIGHT * (sample - known)
        self._busy_s, self._bytes, self._uploads = 0.0, 0, 0
