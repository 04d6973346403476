"""The contourer as a process: embedded in the vault, run by an operator, and the engine's cell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cloud.protocol import ContourerIdentity
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.transport import Endpoint
from gateway.contourer.embedded import EmbeddedContourer
from gateway.errors import ContourerUnavailable
from gateway.metrics import Metrics
from tests.contourer_stand import (
    CLIENT,
    FAKE_ENGINE,
    OTHER,
    QUICK,
    contourer,
    expected_result,
    made_payload,
    order,
    reply_seed,
)


async def contoured(gateway: SealedContourer, passage_id: str = OTHER) -> bytes:
    exchange = await gateway.begin(order(passage_id))
    await exchange.add(0, made_payload(0))
    await exchange.commit()
    result = await exchange.result()
    await exchange.delete()
    return result


def embedded_client(embedded: EmbeddedContourer) -> SealedContourer:
    patient = replace(QUICK, request_s=5, give_up_s=60)  # a child's start takes seconds on a busy machine
    return SealedContourer(embedded.endpoint, reply_seed, Metrics(), patience=patient, companion=embedded)


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def state_of(pid: int) -> str:
    """R, S, Z and so on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def gone(pid: int, within_s: float = 5) -> bool:
    for _ in range(int(within_s / 0.05)):
        if state_of(pid) in ("", "Z"):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_the_embedded_contourer_answers_as_soon_as_it_is_started_and_ends_with_us() -> None:
    embedded = EmbeddedContourer(["echo"], FAKE_ENGINE)
    gateway = embedded_client(embedded)
    await gateway.start()
    pid = embedded.pid
    try:
        said = await gateway.describe()
        assert (said["region"], said["models"]) == ("LOCAL", "echo")
        assert await contoured(gateway) == expected_result(1)
        workers = children_of(pid)
        assert workers
    finally:
        await gateway.close()
        await gateway.close()
    for process in (pid, *workers):
        assert await gone(process), "a process was left behind"


async def test_a_killed_embedded_contourer_comes_back_and_the_passage_goes_on() -> None:
    embedded = EmbeddedContourer(["echo"], FAKE_ENGINE)
    gateway = embedded_client(embedded)
    await gateway.start()
    try:
        exchange = await gateway.begin(order())
        for index in range(4):
            await exchange.add(index, made_payload(index))
            if index == 1:
                os.kill(embedded.pid, signal.SIGKILL)
        await exchange.commit()
        os.kill(embedded.pid, signal.SIGKILL)
        assert await exchange.result() == expected_result(4)
    finally:
        await gateway.close()


async def test_a_signal_to_every_process_leaves_the_embedded_contourer_at_work() -> None:
    """A service manager signals the whole group; the vault still needs its contourer while it drains."""
    embedded = EmbeddedContourer(["slow"], FAKE_ENGINE)
    gateway = embedded_client(embedded)
    await gateway.start()
    try:
        pid = embedded.pid
        exchange = await gateway.begin(order(model="slow"))
        await exchange.add(0, made_payload(0))
        await exchange.commit()
        await asyncio.sleep(0.3)
        for process in (pid, *children_of(pid)):
            os.kill(process, signal.SIGTERM)
            os.kill(process, signal.SIGINT)
        assert await exchange.result() == expected_result(1)
        assert embedded.pid == pid
    finally:
        await gateway.close()
    assert await gone(pid)


async def test_nobody_else_on_the_machine_can_use_the_embedded_contourer() -> None:
    """R20: the loopback link is mutually authenticated too."""
    embedded = EmbeddedContourer(["echo"], FAKE_ENGINE)
    await embedded.start()
    try:
        stranger = SealedContourer(
            Endpoint(embedded.endpoint.url, embedded.endpoint.identity), reply_seed, Metrics(), patience=QUICK
        )
        await stranger.start()
        with pytest.raises(ContourerUnavailable):
            await stranger.describe()
        await stranger.close()
    finally:
        await embedded.close()


PARENT = """
import asyncio, sys, os
from gateway.contourer.embedded import EmbeddedContourer
from gateway.vault import landlock
from pathlib import Path
landlock.deny_changes([Path("/dev/null")])
async def main():
    embedded = EmbeddedContourer(["echo"], sys.argv[1])
    await embedded.start()
    print(embedded.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_the_embedded_contourer_starts_under_landlock_and_dies_with_a_killed_vault() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        FAKE_ENGINE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert parent.stdout is not None
    line = await asyncio.wait_for(parent.stdout.readline(), 30)
    pid = int(line)
    workers = children_of(pid)
    parent.kill()
    await parent.wait()
    for process in (pid, *workers):
        assert await gone(process), "a process outlived the vault"


async def test_an_operator_runs_a_contourer_that_keeps_its_keys_and_its_records(tmp_path: Path) -> None:
    certificate = tmp_path / "client.pem"
    certificate.write_bytes(CLIENT.certificate)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gateway", "contourer"),
        *("run", "--region", "CH", "--port", str(port), "--state", str(tmp_path / "state")),
        *("--client-certificate", str(certificate), "--model", "echo"),
    ]
    identities = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        text = ""
        while "listening" not in (line := (await process.stdout.readline()).decode()):
            assert line, await process.communicate()
            text += line
        identity = ContourerIdentity.model_validate_json(text[text.index("{") :])
        identities.append(identity)
        gateway = SealedContourer(
            Endpoint(f"https://127.0.0.1:{port}", identity, CLIENT, "CH"),
            reply_seed,
            Metrics(),
            patience=QUICK,
        )
        await gateway.start()
        assert (await gateway.describe())["models"] == "echo"
        exchange = await gateway.begin(order())
        await exchange.add(0, made_payload(0))
        await exchange.delete()
        await gateway.close()
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0, errors
    assert identities[0] == identities[1]
    records = (tmp_path / "state" / "contourer-records.jsonl").read_text().splitlines()
    assert [json.loads(record)["event"] for record in records] == ["announced", "deleted", "stopped"] * 2


async def test_the_engine_has_no_network_no_key_and_no_disk() -> None:
    """R41."""
    os.environ["CONTOURGATE_CANARY"] = "secret"
    try:
        async with contourer() as stand, stand.gateway() as gateway:
            exchange = await gateway.begin(order(model="spy"))
            await exchange.add(0, made_payload(0))
            await exchange.commit()
            seen = json.loads(await exchange.result())
    finally:
        del os.environ["CONTOURGATE_CANARY"]
    for reach in ("socket", "socketpair", "file", "memory of the parent", "environment of the parent"):
        assert seen[reach].startswith("denied"), (reach, seen[reach])
    assert seen["ptrace"] == -1
    assert "CONTOURGATE_CANARY" not in seen["environment"]
    assert set(seen["descriptors"]) <= {"0", "1", "2", "3"}, "a descriptor of the contourer was inherited"


WITHOUT = """
import errno, sys
from gateway.vault import landlock
def absent(*arguments, **options):
    raise OSError(errno.ENOSYS, "no Landlock")
landlock.deny_changes = absent
from gateway.contourer import cell
cell._main()
"""


@pytest.mark.parametrize("is_waived", [False, True], ids=["not waived", "waived"])
def test_where_the_kernel_has_no_landlock_nothing_runs_unless_that_is_known(is_waived: bool) -> None:
    options = ["--without-landlock"] if is_waived else []
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *options, FAKE_ENGINE], input=SPY, capture_output=True, check=False
    )
    Path("/tmp/contourgate-engine-was-here").unlink(missing_ok=True)
    if not is_waived:
        assert done.returncode != 0
        assert done.stdout == b""
        return
    seen = spied(done.stdout)
    for reach in ("socket", "socketpair", "file"):
        assert seen[reach].startswith("denied"), (reach, seen[reach])


SPY_HEAD = json.dumps({"model": "spy", "slices": 0}).encode()
SPY = len(SPY_HEAD).to_bytes(4, "big") + SPY_HEAD


def spied(answer: bytes) -> dict[str, str]:
    length = int.from_bytes(answer[:4], "big")
    return json.loads(answer[4 + length + 8 :])


def test_outside_its_cell_the_same_engine_reaches_all_of_it(tmp_path: Path) -> None:
    """The control: what the engine tries is possible where nothing forbids it."""
    done = subprocess.run([sys.executable, FAKE_ENGINE], input=SPY, capture_output=True, check=True)
    seen = spied(done.stdout)
    Path("/tmp/contourgate-engine-was-here").unlink()
    for reach in ("socket", "socketpair", "file", "environment of the parent"):
        assert seen[reach].startswith("did"), (reach, seen[reach])
