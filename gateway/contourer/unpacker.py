"""The unpacker: between the contourer and the engine, turns packed slices into DICOM images.

In: on the standard input, the engine's request with packed slices instead of images. Out: on the standard output, the
engine's request. It runs in a cell of its own, because image codecs are large C libraries, the bytes are a
client's, and the process before it holds keys. What does not unpack ends it with `INVALID`.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final

from gateway.cloud.payload import PayloadError, SlicePayload, unpack

__all__ = ["INVALID", "PIXELS_LIMIT_BYTES"]

INVALID: Final = 3
"""Exit status: a slice is not what it claims to be."""
PIXELS_LIMIT_BYTES: Final = 128 * 2**20
"""The most native pixels of one slice: 8192 by 8192 words."""


def _part10(packed: bytes) -> bytes:
    return unpack(SlicePayload.from_bytes(packed), PIXELS_LIMIT_BYTES).part10()


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise EOFError
    return data


def _relay(requests: BinaryIO, engine: BinaryIO) -> None:
    head = _exactly(requests, 4)
    engine.write(head + _exactly(requests, int.from_bytes(head, "big")))
    threads = os.cpu_count() or 1
    under_way: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while True:
            length = requests.read(8)
            if length:
                under_way.append(pool.submit(_part10, _exactly(requests, int.from_bytes(length, "big"))))
            # Some ahead, so that every thread has work, but never the whole series.
            while under_way and (len(under_way) > 2 * threads or not length):
                image = under_way.popleft().result()
                engine.write(len(image).to_bytes(8, "big"))
                engine.write(image)
            if not length:
                break
    engine.flush()


def _main() -> None:
    try:
        _relay(sys.stdin.buffer, sys.stdout.buffer)
    except (PayloadError, EOFError, MemoryError):
        os._exit(INVALID)  # at once: what is buffered for the engine is not to be completed
    except BrokenPipeError:
        os._exit(1)  # the engine ended; the contourer learns why from the engine


if __name__ == "__main__":
    _main()
