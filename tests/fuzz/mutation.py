"""Random changes of valid inputs, for where nothing is guided by coverage."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

__all__ = ["changed"]


def changed(seeds: Sequence[bytes], seconds: float, seed: int) -> Iterator[bytes]:
    """Seeds with a few random changes each, for so long."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(data))
            match chance.randrange(5):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    data[place] ^= 1 << chance.randrange(8)
                case 2:
                    data[place : place + chance.randrange(1, 40)] = b""
                case 3:
                    data[place:place] = chance.randbytes(chance.randrange(1, 40))
                case _:
                    data[place : place + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            data = data or bytearray(1)
        yield bytes(data)
