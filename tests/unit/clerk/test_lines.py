"""The file of checksummed lines: torn, damaged, full, replaced (faults 56)."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clerk import lines
from gateway.clerk.lines import LineFile, line_of, replace_file, scan

TEXTS = [b"first", b"", b"the third line"]
texts = st.lists(st.binary(max_size=40).filter(lambda text: b"\n" not in text), max_size=6)


def _file(tmp_path: Path, *more: bytes) -> Path:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(map(line_of, TEXTS)) + b"".join(more))
    return path


def _texts(path: Path) -> list[bytes]:
    return [line.text for line in scan(path.read_bytes()).lines]


@given(texts)
def test_lines_are_read_as_they_were_written(written: list[bytes]) -> None:
    found = scan(b"".join(map(line_of, written)))
    assert [line.text for line in found.lines] == written
    assert (found.damaged, found.torn) == ((), 0)


@given(texts, st.data())
def test_a_file_torn_at_any_byte_keeps_every_whole_line(written: list[bytes], data: st.DataObject) -> None:
    content = b"".join(map(line_of, written))
    cut = data.draw(st.integers(0, len(content)))
    found = scan(content[:cut])
    whole = [line.text for line in found.lines]
    assert whole == written[: len(whole)]
    assert len(b"".join(map(line_of, whole))) == found.size
    assert found.size + found.torn == cut
    assert found.damaged == ()


@given(texts.filter(bool), st.data())
def test_a_changed_byte_is_located(written: list[bytes], data: st.DataObject) -> None:
    content = bytearray(b"".join(map(line_of, written)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    found = scan(bytes(content))
    assert found.damaged or found.torn
    starts = [line.offset for line in scan(b"".join(map(line_of, written))).lines]
    begin = max(start for start in starts if start <= place)
    if found.damaged:
        assert begin in found.damaged
    # every line before the changed one is as it was
    assert [line.text for line in found.lines if line.offset < begin] == written[: starts.index(begin)]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_never_taken_for_lines(content: bytes) -> None:
    found = scan(content)
    assert found.lines == ()
    assert found.size + found.torn == len(content)


def test_a_torn_end_is_removed_before_the_next_line(tmp_path: Path) -> None:
    path = _file(tmp_path, line_of(b"torn")[:-9])
    file = LineFile(path)
    assert file.take_found().torn > 0
    file.append([b"next"])
    assert _texts(path) == [*TEXTS, b"next"]
    assert scan(path.read_bytes()).damaged == ()
    file.close()


def test_a_new_file_is_its_owners_only(tmp_path: Path) -> None:
    LineFile(tmp_path / "lines").close()
    assert (tmp_path / "lines").stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lines").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        LineFile(tmp_path / "lines")


def _full_after(number: int) -> Callable[[int, bytes], int]:
    """A disk with room for so many bytes."""
    room = number
    write = os.write

    def limited(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "full")
        written = write(descriptor, bytes(data)[:room])
        room -= written
        return written

    return limited


@pytest.mark.parametrize("room", [0, 1, 70, 75, 100])
def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path)
    file = LineFile(path)
    with monkeypatch.context() as patched:
        patched.setattr(lines.os, "write", _full_after(room))
        with pytest.raises(OSError, match="full"):
            file.append([b"one", b"two"])
    assert _texts(path) == TEXTS
    file.append([b"one", b"two"])
    assert _texts(path) == [*TEXTS, b"one", b"two"]
    file.close()


def test_a_failed_sync_is_not_believed_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path)
    file = LineFile(path)

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(lines.os, "fdatasync", fails)
        # not even the removal reaches this disk
        patched.setattr(lines.os, "ftruncate", lambda descriptor, size: fails(descriptor))
        with pytest.raises(OSError, match="broken"):
            file.append([b"one"])
    assert _texts(path) == [*TEXTS, b"one"]  # it is there, but nobody knows for how long
    file.append([b"one"])
    assert _texts(path) == [*TEXTS, b"one"]
    file.close()


def test_a_line_has_no_line_feed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line feed"):
        line_of(b"a\nb")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda path: path.unlink(),
        lambda path: replace_file(path, path.read_bytes()),
        lambda path: os.truncate(path, 10),
        lambda path: os.truncate(path, 10_000),
    ],
    ids=["removed", "replaced", "cut", "longer"],
)
def test_a_file_that_somebody_else_changed_is_not_written_on(
    tmp_path: Path, tamper: Callable[[Path], object]
) -> None:
    path = _file(tmp_path)
    file = LineFile(path)
    tamper(path)
    with pytest.raises(OSError, match="the file was") as caught:
        file.append([b"next"])
    assert caught.value.errno == errno.ESTALE
    file.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(data=st.binary(max_size=100))
def test_a_file_is_replaced_whole(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "replaced"
    replace_file(path, data)
    assert path.read_bytes() == data
    assert [each.name for each in tmp_path.iterdir()] == ["replaced"]


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "replaced"
    replace_file(path, b"old")
    monkeypatch.setattr(lines.os, "write", _full_after(2))
    with pytest.raises(OSError, match="full"):
        replace_file(path, b"newer")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["replaced"]
