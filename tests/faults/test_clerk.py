"""The clerk dies, stalls, or its disk fails: no record is lost, none is written twice (faults 46, 56)."""

import asyncio
import json
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.clerk.chain import verify
from gateway.clerk.ledger import read_sealed_head
from gateway.clerk.lines import scan
from gateway.clerk.link import ClerkLink
from gateway.clerk.records import Damaged, LedgerFault
from gateway.errors import GatewayError
from gateway.passage import State
from tests.faults.clerk_process import KEY, ClerkProcess
from tests.unit.clerk.made_records import moved, opened, passage_id


@pytest.fixture
async def clerk(tmp_path: Path) -> AsyncIterator[ClerkProcess]:
    process = ClerkProcess(tmp_path)
    process.start()
    yield process
    process.kill()
    process.vault_end.close()
    process.clerk_end.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of our own that can be filled and made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "contourgate-test", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this account may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _in_ledger(folder: Path) -> list[str]:
    """The passages whose opening the ledger holds, in order."""
    found = scan((folder / "ledger").read_bytes())
    assert found.damaged == ()
    records = [json.loads(line.text)["record"] for line in found.lines]
    return [record["passage"] for record in records if record["kind"] == "opened"]


def _in_journal(folder: Path) -> list[str]:
    found = scan((folder / "journal").read_bytes())
    assert found.damaged == ()
    return [json.loads(line.text)["record"]["passage"] for line in found.lines]


def _is_whole(folder: Path, passages: int) -> bool:
    expected = [passage_id(number) for number in range(passages)]
    verdict = verify((folder / "ledger").read_bytes(), read_sealed_head(folder), (KEY.public_key(),))
    return _in_journal(folder) == expected and _in_ledger(folder) == expected and verdict.faults == ()


async def test_what_is_written_is_on_the_disk_when_write_returns(clerk: ClerkProcess) -> None:
    async with clerk.link() as link:
        for number in range(20):
            await link.write(opened(number))
            assert passage_id(number) in _in_journal(clerk.folder)
            assert passage_id(number) in _in_ledger(clerk.folder)
    assert _is_whole(clerk.folder, 20)


@pytest.mark.parametrize("seed", range(3))
async def test_a_clerk_killed_again_and_again_writes_every_record_exactly_once(
    clerk: ClerkProcess, seed: int
) -> None:
    chance = random.Random(seed)
    count = 300

    async with clerk.link() as link:

        async def kill() -> None:
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.0, 0.05))
                clerk.kill()
                clerk.start()
                await asyncio.sleep(chance.uniform(0.3, 1.0))

        async def write() -> None:
            async with asyncio.TaskGroup() as writers:
                for number in range(count):
                    writers.create_task(link.write(opened(number)))
                    await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            group.create_task(write())
    assert _is_whole(clerk.folder, count)


async def test_a_clerk_that_stalls_pauses_the_intake_and_resumes_it(clerk: ClerkProcess) -> None:
    told: list[str] = []
    async with clerk.link(
        paused=lambda: told.append("paused"), resumed=lambda: told.append("resumed")
    ) as link:
        await link.write(opened(0))
        clerk.tell(signal.SIGSTOP)
        writing = asyncio.create_task(link.write(opened(1)))
        await asyncio.sleep(1.6)
        assert (told, link.is_paused, writing.done()) == (["paused"], True, False)
        clerk.tell(signal.SIGCONT)
        await writing
        assert (told, link.is_paused) == (["paused", "resumed"], False)


async def test_a_clerk_that_is_gone_is_told_at_the_deadline_and_the_record_is_kept(
    clerk: ClerkProcess,
) -> None:
    async with clerk.link(deadline_s=5) as link:
        clerk.tell(signal.SIGSTOP)
        link.deadline_s = 0.5
        with pytest.raises(GatewayError) as caught:
            await link.write(opened(0))
        assert caught.value.code == "CLERK_LOST"
        link.deadline_s = 10
        clerk.kill()
        clerk.start()
        await link.write(opened(1))
    assert _is_whole(clerk.folder, 2)


async def test_without_any_clerk_the_link_does_not_start(tmp_path: Path) -> None:
    process = ClerkProcess(tmp_path)
    link = process.link_that_dies(deadline_s=0.3)
    with pytest.raises(GatewayError) as caught:
        await link.start()
    assert caught.value.code == "CLERK_LOST"
    link.abandon()
    process.vault_end.close()
    process.clerk_end.close()


async def test_a_new_vault_is_told_what_stood_open(clerk: ClerkProcess) -> None:
    dying = clerk.link_that_dies()
    await dying.start()
    await dying.write(opened(1))
    await dying.write(moved(1, State.COMPLETE))
    await dying.write(opened(2))
    await dying.write(moved(2, State.FAILED, "NO_RULE"))
    dying.abandon()
    async with clerk.link() as link:
        (passage,) = await link.open_passages()
        assert (passage.id, passage.state) == (passage_id(1), State.COMPLETE)
        assert passage.opened == opened(1)
        await link.write(moved(1, State.FAILED, "SEND_AGAIN"))
    async with clerk.link() as link:
        assert await link.open_passages() == ()


async def test_records_in_flight_when_the_vault_dies_are_whole_or_absent(clerk: ClerkProcess) -> None:
    for life in range(4):
        dying = clerk.link_that_dies()
        await dying.start()
        await dying.write(opened(1000 * life))
        for number in range(1, 40):
            task = asyncio.ensure_future(dying.write(opened(1000 * life + number)))
            await asyncio.sleep(0)
            task.cancel()
        dying.abandon()
        if life % 2:
            clerk.kill()
            clerk.start()
    async with clerk.link() as link:
        stood = [passage.id for passage in await link.open_passages()]
    assert stood == _in_journal(clerk.folder)
    assert len(set(stood)) == len(stood)
    assert {passage_id(1000 * life) for life in range(4)} <= set(stood)  # each had its receipt


async def test_a_name_that_is_not_configured_is_refused_and_never_written(clerk: ClerkProcess) -> None:
    async with clerk.link() as link:
        with pytest.raises(GatewayError) as caught:
            await link.write(opened(0, source="MUSTERMANN"))
        assert caught.value.code == "RECORD_REFUSED"
        await link.write(opened(1))  # and the link goes on
    content = b"".join(path.read_bytes() for path in clerk.folder.iterdir())
    assert b"MUSTERMANN" not in content
    assert b"CTSIM" in content  # control: a configured one is found


async def test_signals_for_stopping_do_not_stop_the_clerk(clerk: ClerkProcess) -> None:
    async with clerk.link() as link:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            clerk.tell(number)
        await link.write(opened(0))
    assert clerk.close() == 0
    assert _is_whole(clerk.folder, 1)


async def test_the_clerk_writes_what_was_sent_before_it_ends(clerk: ClerkProcess) -> None:
    dying = clerk.link_that_dies()
    await dying.start()
    clerk.tell(signal.SIGSTOP)
    writing = [asyncio.ensure_future(dying.write(opened(number))) for number in range(30)]
    await asyncio.sleep(0.05)
    dying.abandon()
    for each in writing:
        each.cancel()
    clerk.tell(signal.SIGCONT)
    assert clerk.close() == 0
    assert _is_whole(clerk.folder, 30)


async def _fails_and_recovers(link: ClerkLink, told: list[str], first: int) -> list[asyncio.Task[None]]:
    """Write until the disk fails; return the writes that wait."""
    tasks = []
    for number in range(first, first + 400):
        tasks.append(asyncio.create_task(link.write(opened(number))))
        await asyncio.sleep(0.002)
        if told:
            break
    for _ in range(100):
        if told:
            return tasks
        await asyncio.sleep(0.05)
    raise AssertionError("the disk did not fail")


async def test_a_full_disk_pauses_the_intake_until_there_is_room(small_disk: Path) -> None:
    clerk = ClerkProcess(small_disk)
    clerk.start()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(20_000))
    told: list[str] = []
    async with clerk.link(
        paused=lambda: told.append("paused"), resumed=lambda: told.append("resumed")
    ) as link:
        tasks = await _fails_and_recovers(link, told, 0)
        await asyncio.sleep(1.2)
        assert told == ["paused"]
        assert not all(task.done() for task in tasks)
        ballast.unlink()
        await asyncio.wait_for(asyncio.gather(*tasks), 15)
        assert told == ["paused", "resumed"]
    assert _is_whole(small_disk, len(tasks))
    assert clerk.close() == 0


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


async def test_a_disk_that_becomes_read_only_pauses_the_intake_until_it_is_mended(small_disk: Path) -> None:
    clerk = ClerkProcess(small_disk)
    clerk.start()
    told: list[str] = []
    async with clerk.link(
        paused=lambda: told.append("paused"), resumed=lambda: told.append("resumed")
    ) as link:
        await link.write(opened(0))
        clerk.kill()
        _remount(small_disk, "ro")
        clerk.start()
        writing = asyncio.create_task(link.write(opened(1)))
        await asyncio.sleep(2.5)
        assert (told, writing.done()) == (["paused"], False)
        _remount(small_disk, "rw")
        await asyncio.wait_for(writing, 10)
        assert told == ["paused", "resumed"]
    assert _is_whole(small_disk, 2)
    assert clerk.close() == 0


def _change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[scan(bytes(content)).lines[2].offset + 80] ^= 1
    path.write_bytes(content)


def _cut_after_three_lines(path: Path) -> None:
    os.truncate(path, scan(path.read_bytes()).lines[3].offset)


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (_change_a_byte, LedgerFault.LINE_DAMAGED),
        (_cut_after_three_lines, LedgerFault.TRUNCATED),
        (lambda path: path.write_bytes(b""), LedgerFault.TRUNCATED),
        (lambda path: path.unlink(), LedgerFault.TRUNCATED),
    ],
    ids=["damaged", "cut", "emptied", "removed"],
)
async def test_a_spoilt_journal_is_told_and_mended_from_the_ledger(
    clerk: ClerkProcess, tamper: Callable[[Path], object], fault: LedgerFault
) -> None:
    async with clerk.link() as link:
        for number in range(5):
            await link.write(opened(number))
        await link.write(moved(4, State.FAILED, "NO_RULE"))
    clerk.kill()
    tamper(clerk.folder / "journal")
    clerk.start()
    damage: list[Damaged] = []
    async with clerk.link(damaged=damage.append) as link:
        stood = [passage.id for passage in await link.open_passages()]
        await link.write(opened(7))
    assert ("journal", fault) in {(each.file, each.fault) for each in damage}
    assert sorted(stood) == [passage_id(number) for number in range(4)]
    clerk.kill()
    clerk.start()
    damage.clear()
    async with clerk.link(damaged=damage.append) as link:  # told once, and well again
        stood = [passage.id for passage in await link.open_passages()]
    assert damage == []
    assert sorted(stood) == [passage_id(number) for number in (0, 1, 2, 3, 7)]


async def test_an_older_journal_put_back_is_told_and_mended(clerk: ClerkProcess) -> None:
    async with clerk.link() as link:
        await link.write(opened(0))
        older = (clerk.folder / "journal").read_bytes()
    async with clerk.link() as link:  # another life of the vault
        await link.write(moved(0, State.FAILED, "NO_RULE"))
        await link.write(opened(1))
    clerk.kill()
    (clerk.folder / "journal").write_bytes(older)
    clerk.start()
    damage: list[Damaged] = []
    async with clerk.link(damaged=damage.append) as link:
        stood = [passage.id for passage in await link.open_passages()]
    assert [(each.file, each.fault) for each in damage] == [("journal", LedgerFault.TRUNCATED)]
    assert stood == [passage_id(1)]


async def test_a_spoilt_ledger_is_told_to_the_vault(clerk: ClerkProcess) -> None:
    async with clerk.link() as link:
        for number in range(5):
            await link.write(opened(number))
    clerk.kill()
    _change_a_byte(clerk.folder / "ledger")
    clerk.start()
    damage: list[Damaged] = []
    async with clerk.link(damaged=damage.append) as link:
        await link.write(opened(7))
    assert [(each.file, each.fault, each.entry) for each in damage] == [
        ("ledger", LedgerFault.LINE_DAMAGED, 3)
    ]


async def test_a_ledger_put_back_under_a_running_gateway_is_noticed(clerk: ClerkProcess) -> None:
    damage: list[Damaged] = []
    async with clerk.link(damaged=damage.append) as link:
        await link.write(opened(0))
        older = (clerk.folder / "ledger").read_bytes()
        await link.write(opened(1))
        (clerk.folder / "ledger").write_bytes(older)
        await link.write(opened(2))
        await asyncio.sleep(0.1)
    assert LedgerFault.CHANGED_MEANWHILE in {each.fault for each in damage}
