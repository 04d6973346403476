"""Supervisor, vault and clerk are killed one after the other: the rest behaves as said (faults 46, 57, 59)."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.clerk.chain import verify
from gateway.clerk.ledger import read_sealed_head
from gateway.clerk.lines import scan
from gateway.vault.keys import ClinicKey
from gateway.vault.ledger_key import ledger_key
from tests.running import Gateway, answers, until


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = Gateway(tmp_path)
    running.start()
    yield running
    with contextlib.suppress(ProcessLookupError):
        running.stop()
    until(lambda: None if _left(tmp_path) else True, 15, "the end of every process")


def _left(folder: Path) -> list[int]:
    """Processes that were started for a configuration in this folder, or whose parents were."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                words = (entry / "cmdline").read_bytes()
                is_dead = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
                if str(folder).encode() in words and b"gateway" in words and not is_dead:
                    found.append(int(entry.name))
    return found


def _descendants(process: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = set(), [process]
    while todo:
        for child in children.get(todo.pop(), []):
            found.add(child)
            todo.append(child)
    return found


def _are_gone(processes: set[int]) -> bool | None:
    def lives(process: int) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        return False

    return not any(map(lives, processes)) or None


def _kinds(gateway: Gateway) -> list[str]:
    """The kinds of the ledger's records, signatures left out."""
    ledger = gateway.folder / "var" / "clerk" / "ledger"
    found = scan(ledger.read_bytes())
    assert found.damaged == ()
    kinds = [json.loads(line.text)["record"]["kind"] for line in found.lines]
    return [kind for kind in kinds if kind != "seal"]


def _is_sound(gateway: Gateway) -> bool:
    folder = gateway.folder / "var" / "clerk"
    key = ledger_key(ClinicKey.load(gateway.folder / "var" / "clinic.key")).public_key()
    return verify((folder / "ledger").read_bytes(), read_sealed_head(folder), (key,)).faults == ()


def _knock(gateway: Gateway) -> None:
    """Do something that the gateway notes in its ledger: speak no DICOM on its port."""
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as visitor:
        visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
        visitor.settimeout(10)
        with contextlib.suppress(OSError):
            visitor.recv(1)


def _until_told(gateway: Gateway, event: str, count: int) -> None:
    """Wait until the log tells an event so many times."""
    until(lambda: gateway.log.read_text().count(f'"{event}"') >= count or None, 10, event)


def test_nothing_outlives_a_killed_supervisor(gateway: Gateway) -> None:
    everyone = _descendants(gateway.process.pid)
    assert len(everyone) >= 2
    gateway.process.kill()
    gateway.process.wait()
    until(lambda: _are_gone(everyone), 15, "the end of vault and clerk")
    assert answers(gateway.port) is None
    assert _is_sound(gateway)


def test_a_killed_clerk_is_replaced_and_the_vault_does_not_stop(gateway: Gateway) -> None:
    before = gateway.pids()
    os.kill(before["clerk"], signal.SIGKILL)
    _knock(gateway)
    until(lambda: "alert" in _kinds(gateway) or None, 20, "the alert's record")
    after = gateway.pids()
    assert after["vault"] == before["vault"]
    assert after["clerk"] != before["clerk"]
    assert gateway.stop() == 0
    assert _kinds(gateway) == ["started", "alert", "stopped"]
    assert _is_sound(gateway)


def test_a_killed_vault_is_replaced_and_takes_up_the_journal(gateway: Gateway) -> None:
    before = gateway.pids()
    children = _descendants(before["vault"])
    os.kill(before["vault"], signal.SIGKILL)
    until(lambda: _are_gone(children | {before["vault"]}), 15, "the end of the vault's children")
    until(lambda: answers(gateway.port), 60, "the new vault")
    after = gateway.pids()
    assert after["clerk"] == before["clerk"]
    assert after["vault"] != before["vault"]
    assert gateway.stop() == 0
    assert _kinds(gateway) == ["started", "started", "stopped"]
    assert _is_sound(gateway)


def test_both_killed_at_once_come_back(gateway: Gateway) -> None:
    before = gateway.pids()
    for role in ("vault", "clerk"):
        os.kill(before[role], signal.SIGKILL)
    until(lambda: "vault" in gateway.pids() or None, 20, "a new vault")
    until(lambda: answers(gateway.port), 60, "the new vault")
    assert gateway.stop() == 0
    assert _kinds(gateway) == ["started", "started", "stopped"]
    assert _is_sound(gateway)


def test_a_second_signal_stops_at_once(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 5):
        gateway.process.send_signal(signal.SIGTERM)
        _until_told(gateway, "draining", 1)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(15) == 0
    assert _kinds(gateway)[-1] == "stopped"


def test_a_third_signal_does_not_ask(gateway: Gateway) -> None:
    vault = gateway.pids()["vault"]
    os.kill(vault, signal.SIGSTOP)  # it will not hear the first two
    for count in range(1, 4):
        gateway.process.send_signal(signal.SIGTERM)
        _until_told(gateway, "stopping", count)
    assert gateway.process.wait(8) == 1  # sooner than the second signal alone would kill it
    assert _are_gone({vault})


def _run_to_its_end(gateway: Gateway, *prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-m", "gateway", "run", "-c", str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_clinic_key_that_is_gone_is_not_replaced_beside_a_journal(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    (tmp_path / "var" / "clerk").mkdir(parents=True)
    (tmp_path / "var" / "clerk" / "journal").touch()
    done = _run_to_its_end(gateway)
    assert done.returncode == 78
    assert "CLINIC_KEY_UNFIT" in done.stderr
    assert "missing" in done.stderr
    assert not (tmp_path / "var" / "clinic.key").exists()


@pytest.mark.parametrize(
    ("mode", "content", "reason"), [(0o644, bytes(32), "mode"), (0o600, b"short", "length")]
)
def test_a_clinic_key_that_is_unfit_stops_the_start(
    tmp_path: Path, mode: int, content: bytes, reason: str
) -> None:
    gateway = Gateway(tmp_path)
    key = tmp_path / "var" / "clinic.key"
    key.parent.mkdir()
    key.write_bytes(content)
    key.chmod(mode)
    done = _run_to_its_end(gateway)
    assert done.returncode == 78
    assert reason in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("state_dir:", "stat_dir:", "stat_dir"),
        ("  ae_title: PACS\n", "  ae_title: PACS\n- {addresses: [127.0.0.2], ae_title: PACS}\n", "127.0.0.2"),
        ("ae_title: PACS", "ae_title: ON", "ae_title: ON"),
    ],
    ids=["unknown key", "duplicate AE title", "AE title ON"],
)
def test_a_mistake_of_the_configuration_is_told_with_its_line_and_nothing_starts(
    tmp_path: Path, old: str, new: str, line: str
) -> None:
    """Fault 58; a port in use is in tests/peers/test_commands.py."""
    gateway = Gateway(tmp_path)
    text = gateway.config.read_text()
    assert old in text
    gateway.config.write_text(text.replace(old, new, 1))
    number = next(n for n, one in enumerate(gateway.config.read_text().splitlines(), 1) if line in one)
    done = _run_to_its_end(gateway)
    assert done.returncode == 78
    told = done.stderr.splitlines()
    assert any(one.startswith(f"{gateway.config}:{number}: ") for one in told), told
    assert all(one.startswith(f"{gateway.config}:") for one in told), told
    assert not (tmp_path / "var").exists()


@pytest.mark.peer("setpriv", "prlimit")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up a capability")
def test_a_machine_that_cannot_be_locked_down_is_not_tried_again(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    done = _run_to_its_end(gateway, "prlimit", "--memlock=4194304", "setpriv", "--bounding-set=-ipc_lock")
    assert done.returncode == 78
    assert done.stderr.count("LOCKDOWN_IMPOSSIBLE") == 1
    assert "missing mlock" in done.stderr
    assert _left(tmp_path) == []
