"""The journal: what it keeps, what it drops, and how it comes through damage (faults 46, 56)."""

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clerk import journal as journal_module
from gateway.clerk.journal import Journal, Mark
from gateway.clerk.lines import line_of, scan
from gateway.clerk.records import LedgerFault, Record
from gateway.passage import State
from tests.unit.clerk.made_records import (
    EPOCH,
    ONE_OF_EACH,
    committed,
    counted,
    deleted,
    delivered,
    entries,
    moved,
    opened,
)

STORY = (
    opened(1),
    opened(2),
    moved(1, State.COMPLETE),
    moved(2, State.FAILED, "TOO_FEW_SLICES"),
    committed(1),
    delivered(1),
)


def _records(journal: Journal) -> list[Record]:
    return list(journal.open_records())


def test_it_keeps_what_has_not_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(*STORY))
    expected = [opened(1), moved(1, State.COMPLETE), committed(1), delivered(1)]
    assert _records(journal) == expected
    journal.close()
    again = Journal(tmp_path)
    assert _records(again) == expected
    assert again.last == Mark(EPOCH, len(STORY))
    assert again.damage == []
    again.close()


def test_of_counts_only_the_last_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(opened(1), counted(1, 5), counted(1, 9)))
    assert _records(journal) == [opened(1), counted(1, 9)]
    journal.close()


def test_what_is_sent_again_is_not_written_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(*STORY))
    size = (tmp_path / "journal").stat().st_size
    journal.write(entries(*STORY))
    assert (tmp_path / "journal").stat().st_size == size
    journal.write(entries(moved(1, State.CHECKED), first=1, epoch="cd" * 8))  # another life of the vault
    assert _records(journal)[-1] == moved(1, State.CHECKED)
    journal.close()


def test_what_ended_is_kept_for_as_long_as_a_deletion_receipt_is_owed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(opened(1), committed(1), moved(1, State.DELIVERED)))
    assert _records(journal) == [opened(1), committed(1), moved(1, State.DELIVERED)]
    journal.close()
    again = Journal(tmp_path)
    again.write(entries(deleted(1), first=4))
    assert _records(again) == []
    again.close()


def test_a_receipt_for_what_is_over_opens_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(opened(1), moved(1, State.FAILED, "NO_RULE"), deleted(1)))
    assert _records(journal) == []
    journal.close()
    again = Journal(tmp_path)
    assert _records(again) == []
    again.close()


def test_evidence_alone_is_not_journalled(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(*(record for record in ONE_OF_EACH if not hasattr(record, "passage"))))
    assert (tmp_path / "journal").stat().st_size == 0
    journal.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_torn_at_any_byte_it_goes_on_with_what_is_whole(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"")
    journal = Journal(tmp_path)
    journal.write(entries(*STORY))
    journal.close()
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    torn = Journal(tmp_path)
    whole = content[:cut].count(b"\n")
    assert torn.last.number == whole
    assert torn.damage == []
    torn.write(entries(*STORY))  # the vault sends again what has no receipt
    assert _records(torn) == [opened(1), moved(1, State.COMPLETE), committed(1), delivered(1)]
    torn.close()
    assert [line.text for line in scan(path.read_bytes()).lines] == [e.text() for e in entries(*STORY)]


def test_a_damaged_middle_is_located_and_kept_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(*STORY))
    journal.close()
    path = tmp_path / "journal"
    content = bytearray(path.read_bytes())
    second = scan(bytes(content)).lines[1].offset
    content[second + 100] ^= 1
    path.write_bytes(content)
    damaged = Journal(tmp_path)
    assert damaged.damage == [(LedgerFault.LINE_DAMAGED, second)]
    assert (tmp_path / "journal.damaged").read_bytes() == content
    assert opened(1) in _records(damaged)
    damaged.close()
    mended = Journal(tmp_path)
    assert mended.damage == []
    assert mended.last == Mark(EPOCH, len(STORY))
    assert _records(mended) == _records(damaged)
    mended.close()


def test_a_whole_line_that_is_no_record_is_damage(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(line_of(b'{"epoch":"x"}'))
    journal = Journal(tmp_path)
    assert journal.damage == [(LedgerFault.LINE_DAMAGED, 0)]
    journal.close()


@pytest.mark.parametrize("how", ["removed", "cut"])
def test_changed_by_somebody_else_it_is_written_anew_from_memory(tmp_path: Path, how: str) -> None:
    journal = Journal(tmp_path)
    journal.write(entries(*STORY))
    path = tmp_path / "journal"
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    journal.write(entries(moved(1, State.CHECKED), first=7))
    assert [fault for fault, _ in journal.damage] == [LedgerFault.CHANGED_MEANWHILE]
    expected = _records(journal)
    journal.close()
    again = Journal(tmp_path)
    assert _records(again) == expected
    assert again.last == Mark(EPOCH, 7)
    again.close()


def test_it_is_compacted_when_most_of_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACTION_BYTES", 4096)
    journal = Journal(tmp_path)
    number = 0
    for passage in range(50):
        records = [opened(passage), *([] if passage == 7 else [moved(passage, State.FAILED, "NO_RULE")])]
        journal.write(entries(*records, first=number + 1))
        number += len(records)
        assert (tmp_path / "journal").stat().st_size < 8192
    assert _records(journal) == [opened(7)]
    journal.close()
    again = Journal(tmp_path)
    assert (_records(again), again.last) == ([opened(7)], Mark(EPOCH, number))
    again.close()


def test_a_compaction_that_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(journal_module, "COMPACTION_BYTES", 1)
    monkeypatch.setattr(journal_module, "COMPACTION_FACTOR", 0)
    monkeypatch.setattr(journal_module, "replace_file", fails)
    journal = Journal(tmp_path)
    journal.write(entries(*STORY))
    journal.close()
    again = Journal(tmp_path)
    assert again.last == Mark(EPOCH, len(STORY))
    again.close()


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([State.COMPLETE, State.DELIVERED, State.HELD])),
        max_size=20,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_reopened_it_knows_what_it_knew(tmp_path: Path, story: list[tuple[int, State]]) -> None:
    (tmp_path / "journal").unlink(missing_ok=True)
    journal = Journal(tmp_path)
    records = [moved(n, state, "NO_RULE" if state is State.HELD else None) for n, state in story]
    journal.write(entries(*records))
    known = _records(journal)
    journal.close()
    again = Journal(tmp_path)
    assert _records(again) == known
    again.close()
