"""The reader process finds text, tells where and not what, and is replaced once when it fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import DeidentificationError
from gateway.pixels.reader import COUNT, OVERLAP, PLACE, READY, REQUEST, Place, pieces
from gateway.pixels.reading import Reader
from gateway.pixels.windows import Grey
from gateway.vault import landlock
from tests.burned import Face, Text, drawn

ANSWERS_ONCE = f"""
import subprocess
import sys
out = sys.stdout.buffer
out.write({READY!r}); out.flush()
head = sys.stdin.buffer.read({REQUEST.size})
rows, columns = head[0] * 256 + head[1], head[2] * 256 + head[3]
sys.stdin.buffer.read(rows * columns)
out.write({COUNT.pack(1)!r} + {PLACE.pack(1, 2, 3, 4, 5, 900)!r}); out.flush()
"""
"""A reader that dies after one picture."""
HANGS = f"import sys, time; sys.stdout.buffer.write({READY!r}); sys.stdout.buffer.flush(); time.sleep(60)"
DIES = "raise SystemExit(1)"
DARK = np.zeros((64, 64), np.uint8)


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    made = Reader()
    await made.start()
    yield made
    await made.close()


def stand_in(code: str, deadline_s: float = 20) -> Reader:
    return Reader(deadline_s, (sys.executable, "-c", code))


def with_text(words: str, *, rows: int = 512, columns: int = 512, light: int = 220, dark: int = 30) -> Grey:
    letters = drawn(Text(words, Face("bitmap"), 8, True, "all", "light", "corner"))
    picture = np.full((rows, columns), float(dark))
    height, width = letters.shape
    picture[20 : 20 + height, 30 : 30 + width] += letters * (light - dark)
    return picture.astype(np.uint8)


async def test_text_is_found_where_it_is(reader: Reader) -> None:
    (place,) = await reader.places(with_text("INVENTED PERSON"))
    assert place.letters >= 12
    assert place.left < 40
    assert place.top < 26
    assert 100 < place.right < 140
    assert 24 < place.bottom < 40


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (1636, 512), (40, 300)])
async def test_pictures_of_every_size_are_read(reader: Reader, rows: int, columns: int) -> None:
    words = "4711" if columns < 100 else "INVENTED 4711"
    picture = with_text(words, rows=rows, columns=columns)
    assert await reader.places(picture)
    assert await reader.places(255 - picture)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_pieces_of_a_picture_cover_it_and_overlap(rows: int, columns: int) -> None:
    covered = np.zeros((rows, columns), bool)
    for down, across in pieces(rows, columns):
        assert 0 <= down.start < down.stop <= rows
        assert 0 <= across.start < across.stop <= columns
        covered[down, across] = True
    assert covered.all()
    if rows <= 640 and columns <= 640 and max(rows, columns) <= 2 * min(rows, columns):
        assert len(pieces(rows, columns)) == 1
    ends = sorted({down.stop for down, _ in pieces(rows, columns)})
    starts = sorted({down.start for down, _ in pieces(rows, columns)})
    assert all(
        end - start >= min(OVERLAP, columns) // 2 for start, end in zip(starts[1:], ends, strict=False)
    )


async def test_a_picture_without_text_has_no_places(reader: Reader) -> None:
    down, across = np.mgrid[:256, :256]
    ring = (np.hypot(down - 128, across - 128) < 90) * np.uint8(180)
    for picture in (DARK, np.full((512, 512), 255, np.uint8), ring):
        assert await reader.places(picture) == []


async def test_what_was_read_is_not_in_the_answer(reader: Reader) -> None:
    (place,) = await reader.places(with_text("INVENTED PERSON"))
    assert all(isinstance(number, int | float) for number in place)
    assert place._fields == ("left", "top", "right", "bottom", "letters", "score")


async def test_a_reader_that_died_is_replaced_once_for_a_picture() -> None:
    reader = stand_in(ANSWERS_ONCE)
    expected = [Place(1, 2, 3, 4, 5, 0.9)]
    assert await reader.places(DARK) == expected
    assert await reader.places(DARK) == expected
    await reader.close()


@pytest.mark.parametrize("code", [DIES, HANGS, "print('no such answer')"])
async def test_a_reader_that_fails_twice_holds_the_series(code: str) -> None:
    reader = stand_in(code, deadline_s=0.5)
    with pytest.raises(DeidentificationError) as held:
        await reader.places(DARK)
    assert held.value.code == "DEID_PIXELS_UNREAD"
    await reader.close()


async def test_starting_does_not_wait_for_the_models() -> None:
    reader = stand_in("import time; time.sleep(60)")
    started = time.monotonic()
    await reader.start()
    assert time.monotonic() - started < 2
    await reader.close()


def test_the_process_can_neither_write_files_nor_connect(tmp_path: Path) -> None:
    """Under the vault's rights it can do neither; on its own it gives up both by itself."""
    code = f"""
import socket
from gateway.vault import landlock
from gateway.pixels import reader
def probe():
    told = b""
    try: open({str(tmp_path / "probe")!r}, "w"); told += b"W"
    except PermissionError: pass
    try: socket.create_connection(("127.0.0.1", 9), 1); told += b"C"
    except PermissionError: pass
    except OSError: told += b"C"
    reader.os.write(1, b"R" if not told else b"X")
    raise SystemExit
reader.os.nice = lambda by: probe()
reader._serve()
"""
    if landlock.abi_version() < 4:
        pytest.skip("the kernel cannot deny TCP")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.stdout == READY, done.stderr
