"""Hostile and odd files sent to a whole gateway by both of dcmtk's senders, and by hand what those refuse to send.

What dcmtk sends is what it made of a file, so not the file's bytes arrive; those are `test_malformed`'s. Here it
matters what a gateway in processes of its own, locked down as it is, makes of a day of this: nothing.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests import made, wire
from tests.conftest import SHARED
from tests.faults.malformed_files import Sent, requests, with_a_place
from tests.intake import connected
from tests.running import Gateway, running, without_text_gate

pytestmark = pytest.mark.peer("storescu", "dcmsend", "storescp")

MORE_BYTES = 64 * 2**20
ROOTS = [SHARED / "malformed", SHARED / "samples" / "odd"]
FOLDERS = sorted(folder for root in ROOTS if root.is_dir() for folder in root.iterdir() if folder.is_dir())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("malformed")
    changes = {"dicom": {"accept_lossy": True}, "passage": {"drain_s": 0}, **without_text_gate(folder)}
    with running(folder, changes) as (gateway, _):
        yield gateway


def placed(path: Path, folder: Path) -> Path:
    """The file with a position in its dataset where that is possible; see `malformed_files`."""
    content = path.read_bytes()
    meant = requests(content)[-1]
    dataset = with_a_place(meant).dataset
    start = content.find(meant.dataset) if meant.dataset else -1
    written = folder / path.name
    written.write_bytes(content if start < 0 else content[:start] + dataset)
    return written


def store_with_dcmsend(gateway: Gateway, files: list[Path], report: Path) -> set[str]:
    """The names of the files that it found fit to send."""
    subprocess.run(
        ["dcmsend", "-nh", "-aet", "PACS", "-aec", "CONTOURGATE", "--decompress-never", "-crf", str(report),
         "127.0.0.1", str(gateway.port), *map(str, files)],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    told = report.read_text(errors="replace") if report.exists() else ""
    entries = told.split("Filename")[1:]
    return {
        Path(entry.splitlines()[0].partition(":")[2].strip()).name
        for entry in entries
        if re.search(r"DIMSE Status\s*: (?!n/a)", entry)
    }


async def store_by_hand(port: int, sent: Sent) -> int:
    async with connected(port) as peer:
        contexts = [(1, sent.sop_class_uid, [sent.transfer_syntax_uid])]
        await peer.associate(contexts=contexts, calling="PACS", called="CONTOURGATE")
        message = wire.store_message(
            sent.dataset, sop_class=sent.sop_class_uid, sop_instance=sent.sop_instance_uid
        )
        await peer.send(message if sent.dataset else message + wire.p_data(1, 2, b""))
        return int(wire.read_response(await peer.pdu()).Status)


def write_series(folder: Path, study: int) -> None:
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.dcm").write_bytes(made.part10(made.body(index, study=study)))


def memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_gateway_does_not_notice(gateway: Gateway, tmp_path: Path, folder: Path) -> None:
    vault = gateway.pids()["vault"]
    Path(f"/proc/{vault}/clear_refs").write_text("5")
    before, files = memory_bytes(vault), tmp_path / "files"
    files.mkdir()
    sources = sorted(folder.glob("*.dcm"))
    written = [placed(path, files) for path in sources]
    gateway.send(*written, options=["-nh"])
    sent = store_with_dcmsend(gateway, written, tmp_path / "report")
    for path in sources:
        if path.name not in sent:
            for request in requests(path.read_bytes()):
                asyncio.run(store_by_hand(gateway.port, with_a_place(request)))
    assert memory_bytes(vault) - before < MORE_BYTES
    assert gateway.pids()["vault"] == vault
    log = gateway.log.read_text(errors="replace")
    assert "Traceback" not in log
    assert '"level": "error"' not in log
    write_series(tmp_path / "valid", 500 + FOLDERS.index(folder))
    told = gateway.send(tmp_path / "valid", options=["-v"])
    assert (
        told.stdout.count("Received Store Response (Success)")
        + told.stderr.count("Received Store Response (Success)")
        == 3
    )


def test_in_the_end_the_tps_has_the_valid_series_and_nothing_else(gateway: Gateway, data: Path) -> None:
    gateway.until_state("delivered", count=len(FOLDERS))
    tps = gateway.folder / "tps"
    studies = {str(dcmread(path).StudyInstanceUID) for path in tps.iterdir()}
    assert studies == {f"{made.ROOT}.{500 + number}" for number in range(len(FOLDERS))}
    states = [passage["state"] for passage in gateway.passages() if passage["state"] != "delivered"]
    # Those cancelled have given their slices to a passage with more of the same series.
    assert set(states) <= {"receiving", "complete", "held", "cancelled"}
    assert "held" in states
