"""Mutated, cut, rolled back, forged: what is done to the ledger is detected and located (R33, faults 56)."""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clerk import ledger as ledger_module
from gateway.clerk.chain import START, Head, Verdict, sealed_text, verify
from gateway.clerk.journal import Mark
from gateway.clerk.ledger import Ledger, older_files, read_sealed_head, verify_folder
from gateway.clerk.lines import line_of, scan
from gateway.clerk.records import LedgerFault, LedgerSealed, Record, write_record
from gateway.passage import State
from tests.unit.clerk.made_records import (
    EPOCH,
    NOON,
    ONE_OF_EACH,
    counted,
    entries,
    moved,
    opened,
    passage_id,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYS = (KEY.public_key(),)


def _now() -> datetime:
    return NOON


def _seal(head: Head, key: Ed25519PrivateKey = KEY) -> LedgerSealed:
    signature = key.sign(sealed_text(head.entries, head.digest, NOON)).hex()
    return LedgerSealed(at=NOON, entries=head.entries, head=head.digest, signature=signature)


class _Vault:
    """Writes records and signs the ledger, as the link does."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder, _now)
        self._number = 0

    def write(self, *records: Record) -> None:
        self.ledger.write(entries(*records, first=self._number + 1))
        self._number += len(records)

    def sign(self) -> None:
        self.write(_seal(self.ledger.head))


def _made(folder: Path, *, signed: bool = True) -> Path:
    """Ten records, signatures after the third, the sixth and the tenth: thirteen entries."""
    folder.mkdir()
    vault = _Vault(folder)
    for number in range(1, 11):
        vault.write(opened(number))
        if signed and number in (3, 6, 10):
            vault.sign()
    vault.ledger.close()
    return folder


def _verdict(folder: Path, noted: Head | None = None) -> Verdict:
    return verify((folder / "ledger").read_bytes(), read_sealed_head(folder), KEYS, noted)


def _kinds(verdict: Verdict) -> set[LedgerFault]:
    return {fault.kind for fault in verdict.faults}


def test_an_untouched_ledger_has_no_fault(tmp_path: Path) -> None:
    verdict = _verdict(_made(tmp_path / "state"))
    assert verdict.faults == ()
    assert verdict.head.entries == 13
    assert verdict.signed_entries == 12
    assert verdict.last == Mark(EPOCH, 13)


def test_only_evidence_is_written_and_every_kind_of_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, _now)
    ledger.write(entries(*(record for record in ONE_OF_EACH if not isinstance(record, LedgerSealed))))
    kinds = [
        json.loads(line.text)["record"]["kind"] for line in scan((tmp_path / "ledger").read_bytes()).lines
    ]
    assert kinds == [
        "opened",
        "state",
        "committed",
        "delivered",
        "deleted",
        "clock",
        "alert",
        "started",
        "reconfigured",
        "stopped",
        "person",
        "damaged",
    ]
    ledger.close()


def test_what_is_sent_again_is_not_written_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, _now)
    story = entries(opened(1), counted(1, 3), moved(1, State.COMPLETE))
    ledger.write(story)
    ledger.write(story)
    ledger.close()
    again = Ledger(tmp_path, _now)
    again.write(story)
    assert again.head.entries == 2
    again.close()


def test_reopened_it_goes_on_with_the_chain(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    ledger = Ledger(folder, _now)
    assert ledger.damage == []
    ledger.write(entries(moved(1, State.COMPLETE), first=99))
    ledger.close()
    assert _verdict(folder).faults == ()


def test_torn_by_a_crash_is_no_fault(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state", signed=False)
    path = folder / "ledger"
    path.write_bytes(path.read_bytes()[:-20])
    assert _verdict(folder).torn > 0
    assert _verdict(folder).faults == ()
    ledger = Ledger(folder, _now)
    ledger.write(entries(opened(10), first=10))
    ledger.close()
    assert (_verdict(folder).head.entries, _verdict(folder).torn) == (10, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_any_changed_byte_is_located(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "state"
    if not folder.exists():
        _made(folder)
    content = bytearray((folder / "ledger").read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    verdict = verify(bytes(content), read_sealed_head(folder), KEYS)
    entry = 1 + bytes(content[:place]).count(b"\n")
    if verdict.faults:
        located = [fault.entry for fault in verdict.faults]
        assert min(located) <= entry <= max(located)
    else:  # the last line's end: as if a crash had cut it off, which no signature covers yet
        assert verdict.torn
        assert entry > verdict.signed_entries


def _lines(folder: Path) -> list[bytes]:
    return [line.text for line in scan((folder / "ledger").read_bytes()).lines]


def _rewrite(folder: Path, texts: list[bytes]) -> None:
    (folder / "ledger").write_bytes(b"".join(map(line_of, texts)))


def _chained_anew(texts: list[bytes]) -> list[bytes]:
    """What somebody who knows the format makes of altered entries: a chain without a break."""
    chained, previous = [], START
    for number, text in enumerate(texts, start=1):
        entry = json.loads(text)
        entry["previous"], entry["entry"] = previous, number
        chained.append(json.dumps(entry, separators=(",", ":")).encode())
        previous = hashlib.sha256(chained[-1]).hexdigest()
    return chained


@pytest.mark.parametrize("entry", [1, 2, 5, 12])
def test_an_altered_entry_with_a_fitting_checksum_breaks_the_chain_after_it(
    tmp_path: Path, entry: int
) -> None:
    folder = _made(tmp_path / "state")
    texts = _lines(folder)
    texts[entry - 1] = texts[entry - 1].replace(b"2026-03-01", b"2026-03-02")
    _rewrite(folder, texts)
    faults = _verdict(folder).faults
    assert (LedgerFault.CHAIN_BROKEN, entry + 1) in {(fault.kind, fault.entry) for fault in faults}


@pytest.mark.parametrize("entry", [1, 4, 12])
def test_a_removed_entry_is_located(tmp_path: Path, entry: int) -> None:
    folder = _made(tmp_path / "state")
    texts = _lines(folder)
    del texts[entry - 1]
    _rewrite(folder, texts)
    first = _verdict(folder).faults[0]
    assert (first.kind, first.entry) == (LedgerFault.CHAIN_BROKEN, entry)


def test_exchanged_entries_are_located(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    texts = _lines(folder)
    texts[4], texts[5] = texts[5], texts[4]
    _rewrite(folder, texts)
    first = _verdict(folder).faults[0]
    assert (first.kind, first.entry) == (LedgerFault.CHAIN_BROKEN, 5)


def test_an_inserted_entry_is_located(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    texts = _lines(folder)
    texts.insert(5, texts[4])
    _rewrite(folder, texts)
    first = _verdict(folder).faults[0]
    assert (first.kind, first.offset) == (LedgerFault.CHAIN_BROKEN, sum(len(line_of(t)) for t in texts[:5]))


def test_a_chain_made_anew_does_not_fit_the_signatures(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    texts = _lines(folder)
    texts[4] = texts[4].replace(b"2026-03-01", b"2026-03-02")  # between the first signature and the second
    _rewrite(folder, _chained_anew(texts))
    faults = _verdict(folder).faults
    assert {fault.kind for fault in faults} == {LedgerFault.SEAL_MISMATCH}
    assert min(fault.entry for fault in faults) == 4  # the first one that no valid signature covers


def test_a_chain_made_anew_with_a_foreign_key_is_not_signed(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state", signed=False)
    ledger = Ledger(folder, _now)
    ledger.write(entries(_seal(ledger.head, Ed25519PrivateKey.generate()), first=20))
    ledger.close()
    assert _kinds(_verdict(folder)) == {LedgerFault.SEAL_INVALID}
    assert _verdict(folder).signed_entries == 0


@pytest.mark.parametrize("left", [0, 1, 5, 11])
def test_a_cut_ledger_is_located(tmp_path: Path, left: int) -> None:
    folder = _made(tmp_path / "state")
    _rewrite(folder, _lines(folder)[:left])
    faults = _verdict(folder).faults
    assert [(fault.kind, fault.entry) for fault in faults] == [(LedgerFault.TRUNCATED, left + 1)]


def test_an_older_copy_put_back_is_located(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state", signed=False)
    shutil.copy(folder / "ledger", tmp_path / "older")
    ledger = Ledger(folder, _now)
    ledger.write(entries(opened(11), first=11))
    ledger.write(entries(_seal(ledger.head), first=12))
    ledger.close()
    shutil.copy(tmp_path / "older", folder / "ledger")
    faults = _verdict(folder).faults
    assert [(fault.kind, fault.entry) for fault in faults] == [(LedgerFault.TRUNCATED, 11)]


def test_a_removed_signature_file_is_noticed(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    (folder / "ledger.head").unlink()
    assert _kinds(_verdict(folder)) == {LedgerFault.HEAD_MISSING}
    (folder / "ledger.head").write_bytes(b"nonsense")
    assert _kinds(_verdict(folder)) == {LedgerFault.HEAD_MISSING}


def test_an_older_copy_of_everything_is_noticed_by_a_noted_head(tmp_path: Path) -> None:
    older = _made(tmp_path / "older")
    folder = tmp_path / "state"
    shutil.copytree(older, folder)
    ledger = Ledger(folder, _now)
    ledger.write(entries(opened(11), first=99))
    noted = ledger.head
    ledger.close()
    assert _verdict(folder, noted).faults == ()
    assert _verdict(older).faults == ()  # by itself it cannot tell
    assert [(f.kind, f.entry) for f in _verdict(older, noted).faults] == [(LedgerFault.TRUNCATED, 14)]


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (lambda folder: _rewrite(folder, _lines(folder)[:5]), LedgerFault.TRUNCATED),
        (lambda folder: _rewrite(folder, _lines(folder)[:5] + _lines(folder)[6:]), LedgerFault.CHAIN_BROKEN),
        (lambda folder: (folder / "ledger").unlink(), LedgerFault.TRUNCATED),
    ],
    ids=["cut", "entry removed", "removed"],
)
def test_a_restarted_clerk_tells_and_records_what_was_done(
    tmp_path: Path, tamper: Callable[[Path], None], kind: LedgerFault
) -> None:
    folder = _made(tmp_path / "state")
    tamper(folder)
    ledger = Ledger(folder, _now)
    assert kind in {damage.fault for damage in ledger.damage}
    ledger.write(entries(opened(50), first=50))
    ledger.write(entries(_seal(ledger.head), first=51))
    ledger.close()
    # the fault stays known for ever, but is told once only
    again = Ledger(folder, _now)
    assert again.damage == []
    again.close()
    verdict = _verdict(folder)
    assert b'"kind":"damaged"' in (folder / "ledger").read_bytes()
    assert all(fault.is_recorded for fault in verdict.faults)


def test_a_running_clerk_notices_and_goes_on(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    ledger = Ledger(folder, _now)
    _rewrite(folder, _lines(folder)[:5])
    ledger.write(entries(opened(50), first=50))
    assert {damage.fault for damage in ledger.damage} == {
        LedgerFault.CHANGED_MEANWHILE,
        LedgerFault.TRUNCATED,
    }
    assert json.loads(_lines(folder)[-1])["record"]["kind"] == "opened"
    ledger.close()


def test_the_signature_file_holds_the_last_signature(tmp_path: Path) -> None:
    folder = _made(tmp_path / "state")
    head = read_sealed_head(folder)
    assert head is not None
    assert head.entries == 12
    assert (folder / "ledger.head").read_bytes() == write_record(head) + b"\n"


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger that was set aside several times."""
    monkeypatch.setattr(ledger_module, "FILE_BYTES", 4096)
    vault = _Vault(tmp_path)
    for number in range(60):
        vault.write(opened(number))
        if number % 5 == 4:
            vault.sign()
    vault.ledger.close()
    assert len(older_files(tmp_path)) >= 3
    return tmp_path


def test_a_filled_file_is_set_aside_and_the_chain_goes_on(filled: Path) -> None:
    verdict = verify_folder(filled, KEYS)
    assert verdict.faults == ()
    assert (verdict.head.entries, verdict.signed_entries) == (72, 71)
    ledger = Ledger(filled, _now)
    assert ledger.damage == []
    assert (ledger.head, ledger.last) == (verdict.head, verdict.last)
    ledger.write(entries(opened(60), first=73))
    ledger.close()
    assert verify_folder(filled, KEYS).faults == ()


def test_set_aside_and_then_killed_it_goes_on(filled: Path) -> None:
    ledger = Ledger(filled, _now)
    ledger.write(entries(opened(60), first=73))
    ledger.close()
    older = older_files(filled)
    (filled / "ledger").rename(filled / f"ledger.{len(older) + 1:06d}")  # and no new one yet
    ledger = Ledger(filled, _now)
    assert ledger.damage == []
    ledger.write(entries(opened(61), first=74))
    assert ledger.head.entries == 74
    ledger.close()
    assert verify_folder(filled, KEYS).faults == ()


def test_what_was_written_in_the_file_before_is_not_written_again(filled: Path) -> None:
    ledger = Ledger(filled, _now)
    before = ledger.head
    ledger.write(entries(opened(59), first=71))
    assert ledger.head == before
    ledger.close()


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_file_that_is_missing_or_altered_is_located(filled: Path, which: int) -> None:
    path = older_files(filled)[which]
    content = path.read_bytes()
    first = int(json.loads(scan(content).lines[0].text)["entry"])
    path.unlink()
    assert first in {fault.entry for fault in verify_folder(filled, KEYS).faults}
    altered = bytearray(content)
    altered[100] ^= 1
    path.write_bytes(altered)
    fault = verify_folder(filled, KEYS).faults[0]
    assert (fault.kind, fault.entry, fault.file) == (LedgerFault.LINE_DAMAGED, first, path.name)


def test_an_open_passage_is_found_in_the_file_before(filled: Path) -> None:
    ledger = Ledger(filled, _now)
    passages = [record.passage for record in ledger.records_of_passages()]
    assert passages[-1] == passage_id(59)
    assert len(passages) > len(scan((filled / "ledger").read_bytes()).lines)
    ledger.close()
