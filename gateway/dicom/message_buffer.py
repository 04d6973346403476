"""Where the fragments of one message are put together."""

from __future__ import annotations

from typing import Final

_SLACK_BYTES = 4096
"""More room than the last message took: the slices of a series differ by a few bytes."""
_DISCARD_BYTES = 64 * 1024


class MessageBuffer:
    """One growing buffer, received into directly (a `Sink`), handed over without a copy.

    Parameters
    ----------
    first_guess_bytes : int
        Room for the first message; for the others the size of the one before is the guess.
    largest_guess_bytes : int
        More is never taken in advance, only as the bytes arrive.
    """

    def __init__(self, first_guess_bytes: int, largest_guess_bytes: int) -> None:
        self._guess = first_guess_bytes
        self._largest_guess: Final = largest_guess_bytes
        self._bytes = bytearray()
        self._view = memoryview(self._bytes)
        self.size = 0
        """Bytes that are there."""

    def window(self, wanted: int) -> memoryview:
        """A view of the `wanted` bytes behind what is there; the one before must be released."""
        stop = self.size + wanted
        if stop > len(self._bytes):
            self._grow(stop)
        return self._view[self.size : stop]

    def advance(self, count: int) -> None:
        """`count` bytes at the beginning of the last window are there."""
        self.size += count

    def take(self) -> bytearray:
        """Hand over what is there, exactly as long as it is; the buffer is empty afterwards."""
        self._view.release()
        whole, size = self._bytes, self.size
        if len(whole) - size > _SLACK_BYTES + size // 4:
            whole = whole[:size]  # a wrong guess: better one copy than memory held in vain
        else:
            del whole[size:]  # in place
        self._guess = min(size + _SLACK_BYTES, self._largest_guess)
        self.drop()
        return whole

    def drop(self) -> None:
        """Forget what is there."""
        self._bytes = bytearray()
        self._view = memoryview(self._bytes)
        self.size = 0

    def _grow(self, needed: int) -> None:
        larger = bytearray(max(needed, self._guess, 2 * len(self._bytes) if self.size else 0))
        larger[: self.size] = self._view[: self.size]
        self._view.release()
        self._bytes, self._view = larger, memoryview(larger)


class Discard:
    """A sink for bytes that nobody wants: they are overwritten by the next."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(_DISCARD_BYTES))

    def window(self, wanted: int) -> memoryview:
        """A view of at most `wanted` bytes."""
        return self._view[:wanted]

    def advance(self, count: int) -> None:
        """Nothing is kept."""
