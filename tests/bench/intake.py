"""How fast instances are received: our acceptor beside dcmtk's and pynetdicom's, in one run.

::

    python -m tests.bench.intake [--runs 5] [--slices 300] [--only storescu-1]

Every receiver is a process of its own, started anew for each run; the receivers take turns within a round, so that what
else the machine does meets all of them. Wall time is that of the senders, from the start of the first to the end of the
last; CPU is the receiver's, user and system, its children included, without what its start takes. The slices are made,
and lie on a RAM disk like everything that storescp and Orthanc write. With TLS both sides show a certificate.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from gateway.dicom.acceptor import Acceptor, StoreRequest
from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.metrics import Metrics
from gateway.vault.memory import ENVIRONMENT
from tests import wire
from tests.pki import Authority

PDU_BYTES = 131072
PYTHON = sys.executable
THIS = [PYTHON, "-m", "tests.bench.intake"]


# -- what is sent


def make_slices(folder: Path, number: int, associations: int) -> list[Path]:
    """Write CT slices of 512 x 512 x 16 bit, an equal share for each association; return the shares' folders."""
    random = np.random.default_rng(1)
    shares = [folder / f"share{share}" for share in range(associations)]
    for share in shares:
        share.mkdir()
    for index in range(number):
        made = Dataset()
        made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, f"{wire.SOP_INSTANCE}.{index + 1}"
        made.StudyInstanceUID, made.SeriesInstanceUID = (
            f"{wire.SOP_INSTANCE}.1000",
            f"{wire.SOP_INSTANCE}.2000",
        )
        made.FrameOfReferenceUID = f"{wire.SOP_INSTANCE}.3000"
        made.Modality, made.PatientID, made.PatientName = "CT", "MADE", "Made^Up"
        made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        made.InstanceNumber = index + 1
        made.ImagePositionPatient, made.PixelSpacing = [-250, -250, index * 2.5], [0.9765625, 0.9765625]
        made.ImageOrientationPatient, made.SliceThickness = [1, 0, 0, 0, 1, 0], 2.5
        made.Rows = made.Columns = 512
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit, made.PixelRepresentation, made.SamplesPerPixel = 15, 1, 1
        made.PhotometricInterpretation, made.RescaleSlope, made.RescaleIntercept = "MONOCHROME2", 1, 0
        made.PixelData = random.integers(-1000, 3000, 512 * 512, np.int16).tobytes()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.save_as(shares[index % associations] / f"{index:04}.dcm", enforce_file_format=True)
    return shares


# -- who receives


class Receiver(NamedTuple):
    """A storage SCP and how it is started."""

    name: str
    command: Callable[[int, Path, int], list[str]]
    """Of the port, a folder to write to and the number of associations."""
    environment: Mapping[str, str] = {"TCP_NODELAY": "1"}


def _storescp(*options: str) -> Callable[[int, Path, int], list[str]]:
    def command(port: int, folder: Path, associations: int) -> list[str]:
        fork = ["--fork"] if associations > 1 else []
        return ["storescp", *fork, "-pdu", str(PDU_BYTES), "-od", str(folder), *options, str(port)]

    return command


def _orthanc(port: int, folder: Path, associations: int) -> list[str]:
    configuration = {
        "DicomAet": "GATEWAY", "DicomPort": port, "HttpServerEnabled": False, "OverwriteInstances": True,
        "StorageDirectory": str(folder), "IndexDirectory": str(folder),
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    return ["Orthanc", str(folder / "orthanc.json")]


@functools.cache
def pki() -> Path:
    """A folder with a CA and the certificates of both sides."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    atexit.register(shutil.rmtree, folder)
    authority = Authority(folder)
    for name in ("GATEWAY", "STORESCU"):
        authority.issue(name)
    return folder


def _tls(name: str) -> list[str]:
    return ["+tls", f"{pki()}/{name}.key", f"{pki()}/{name}.pem", "+cf", f"{pki()}/ca.pem"]


def _storescp_tls(port: int, folder: Path, associations: int) -> list[str]:
    return _storescp(*_tls("GATEWAY"))(port, folder, associations)


def _ours_tls(port: int, folder: Path, associations: int) -> list[str]:
    return [*THIS, "--serve", "parse", "--port", str(port), "--pki", str(pki())]


def _ours(mode: str) -> Callable[[int, Path, int], list[str]]:
    return lambda port, folder, associations: [*THIS, "--serve", mode, "--port", str(port)]


RECEIVERS = [
    Receiver("storescp", _storescp()),
    Receiver("storescp --ignore", _storescp("--ignore")),
    Receiver("acceptor", _ours("accept")),
    Receiver("acceptor, parsed", _ours("parse")),
    Receiver("acceptor, kept", _ours("keep")),
    Receiver("the same in a vault", _ours("keep"), ENVIRONMENT),
    Receiver("pynetdicom", _ours("pynetdicom")),
    Receiver("Orthanc", _orthanc),
]
RECEIVERS_TLS = [Receiver("storescp", _storescp_tls), Receiver("acceptor, parsed", _ours_tls)]
REFERENCE = RECEIVERS[0].name


@contextlib.contextmanager
def running(receiver: Receiver, associations: int) -> Iterator[tuple[int, Callable[[], float]]]:
    """Run a receiver; give its port and a function that ends it and returns its CPU seconds."""
    port = wire.free_port()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        process = subprocess.Popen(
            receiver.command(port, Path(folder), associations),
            env={**os.environ, **receiver.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            time.sleep(0.3)
            started = _cpu_seconds(process.pid)

            def ended() -> float:
                time.sleep(
                    1.3 if associations > 1 else 0.1
                )  # storescp --fork collects its children each second
                return _cpu_seconds(process.pid) - started

            yield port, ended
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the receiver does not listen")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class TakesEverything:
    """A storage service that drops each instance, or keeps it as the gateway does, or understands it first."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._kept: list[StoreRequest] = []
        self._limits = WalkLimits(elements=20_000, nesting=16)

    async def store(self, request: StoreRequest) -> int:
        if self._mode == "keep":
            self._kept.append(request)
        elif self._mode == "parse":
            parse_instance(
                request.dataset,
                request.transfer_syntax_uid,
                limits=self._limits,
                command_sop_class_uid=request.sop_class_uid,
                command_sop_instance_uid=request.sop_instance_uid,
            )
        return 0

    def association_ended(self, association: int, calling_ae_title: str, *, released: bool) -> None:
        self._kept.clear()


async def serve(mode: str, port: int, pki_folder: Path | None) -> None:
    """Be a receiver until the signal to end; with TLS where a folder has certificates for it."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    if mode == "pynetdicom":
        from pynetdicom import AE, evt

        ae = AE("GATEWAY")
        ae.maximum_pdu_size = PDU_BYTES
        ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
        server = ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: 0)]
        )
        await stopped.wait()
        server.shutdown()
        return
    config = wire.config(port)
    if pki_folder is not None:
        tls = {
            "certificate_file": pki_folder / "GATEWAY.pem",
            "key_file": pki_folder / "GATEWAY.key",
            "ca_file": pki_folder / "ca.pem",
        }
        config = wire.config(port, dicom={"ae_title": "GATEWAY", "port": port, "tls": tls})
    acceptor = Acceptor(config, TakesEverything(mode), Metrics(), lambda alert: None)
    await acceptor.start()
    await stopped.wait()
    await acceptor.stop(0)


# -- who sends


class Sender(NamedTuple):
    """What sends a folder, and with which environment."""

    name: str
    associations: int
    command: Callable[[int, Path], list[str]]
    environment: dict[str, str]


def _storescu(port: int, folder: Path) -> list[str]:
    return ["storescu", "-pdu", str(PDU_BYTES), "-aec", "GATEWAY", "+sd", "127.0.0.1", str(port), str(folder)]


def _storescu_default(port: int, folder: Path) -> list[str]:
    return ["storescu", "-aec", "GATEWAY", "+sd", "127.0.0.1", str(port), str(folder)]


def _storescu_tls(port: int, folder: Path) -> list[str]:
    return [*_storescu(port, folder)[:1], *_tls("STORESCU"), *_storescu(port, folder)[1:]]


def _blast(port: int, folder: Path) -> list[str]:
    return [*THIS, "--blast", str(folder), "--port", str(port)]


SENDERS = [
    Sender("storescu-1", 1, _storescu, {"TCP_NODELAY": "1"}),
    Sender("storescu-4", 4, _storescu, {"TCP_NODELAY": "1"}),
    Sender("storescu-default-pdu-1", 1, _storescu_default, {"TCP_NODELAY": "1"}),
    Sender("storescu-nagle-1", 1, _storescu, {}),
    Sender("storescu-tls-1", 1, _storescu_tls, {"TCP_NODELAY": "1"}),
    Sender("blast-1", 1, _blast, {}),
    Sender("blast-4", 4, _blast, {}),
]


def blast(folder: Path, port: int) -> None:
    """Send a folder as fast as a socket takes it, and print when it began and ended.

    The messages are made before; of a response only the last byte of the status is looked at.
    """
    messages = []
    for number, path in enumerate(sorted(folder.iterdir())):
        encoded = path.read_bytes()
        meta_bytes = (
            132 + 12 + int(dcmread(path, stop_before_pixels=True).file_meta.FileMetaInformationGroupLength)
        )
        uid = dcmread(path, stop_before_pixels=True).SOPInstanceUID
        messages.append(
            wire.store_message(
                encoded[meta_bytes:], number % 60000, sop_instance=uid, fragment_bytes=PDU_BYTES - 6
            )
        )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(wire.associate_rq())
        assert _pdu(connection)[0] == 2
        began = time.monotonic()
        for message in messages:
            connection.sendall(message)
            assert wire.read_response(_pdu(connection)).Status == 0
        ended = time.monotonic()
        connection.sendall(wire.RELEASE_RQ)
        _pdu(connection)
    print(json.dumps([began, ended]))


def _pdu(connection: socket.socket) -> bytes:
    pdu = b""
    while len(pdu) < 6 or len(pdu) < 6 + int.from_bytes(pdu[2:6], "big"):
        part = connection.recv(65536)
        assert part
        pdu += part
    return pdu


def send(sender: Sender, port: int, shares: list[Path]) -> float:
    """Send every share over an association of its own; return the seconds."""
    environment = {
        name: value for name, value in os.environ.items() if name != "TCP_NODELAY"
    } | sender.environment
    began = time.monotonic()
    processes = [
        subprocess.Popen(sender.command(port, share), env=environment, stdout=subprocess.PIPE, text=True)
        for share in shares
    ]
    told = [process.communicate()[0] for process in processes]
    took = time.monotonic() - began
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{sender.name} failed")
    if sender.command is _blast:
        times = [json.loads(text) for text in told]
        return float(max(ended for _, ended in times) - min(began for began, _ in times))
    return took


# -- the run


def compare(sender: Sender, shares: list[Path], runs: int) -> None:
    """Print one table."""
    receivers = RECEIVERS_TLS if sender.command is _storescu_tls else RECEIVERS
    walls: dict[str, list[float]] = {receiver.name: [] for receiver in receivers}
    cpus: dict[str, list[float]] = {receiver.name: [] for receiver in receivers}
    for _ in range(runs):
        for receiver in receivers:
            with running(receiver, sender.associations) as (port, ended):
                walls[receiver.name].append(send(sender, port, shares))
                cpus[receiver.name].append(ended())
    print(f"\n{sender.name}: {sender.associations} association(s), median of {runs} runs")
    print(f"{'receiver':<20}{'wall s':>9}{'min':>8}{'max':>8}{'ratio':>8}{'cpu s':>9}{'ratio':>8}")
    wall, cpu = statistics.median(walls[REFERENCE]), statistics.median(cpus[REFERENCE])
    for receiver in receivers:
        of_wall, of_cpu = walls[receiver.name], cpus[receiver.name]
        print(
            f"{receiver.name:<20}{statistics.median(of_wall):>9.3f}{min(of_wall):>8.3f}{max(of_wall):>8.3f}"
            f"{statistics.median(of_wall) / wall:>8.2f}{statistics.median(of_cpu):>9.2f}"
            f"{statistics.median(of_cpu) / cpu:>8.2f}",
            flush=True,
        )


def main() -> None:
    """Run what the arguments say."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--slices", type=int, default=300)
    arguments.add_argument("--only", action="append", choices=[sender.name for sender in SENDERS])
    arguments.add_argument("--without", action="append", default=[], choices=[r.name for r in RECEIVERS])
    arguments.add_argument(
        "--serve", choices=["accept", "keep", "parse", "pynetdicom"], help=argparse.SUPPRESS
    )
    arguments.add_argument("--blast", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--pki", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve, given.port, given.pki))
        return
    if given.blast:
        blast(given.blast, given.port)
        return
    if (
        shutil.which("storescp") is None
        or shutil.which("storescu") is None
        or shutil.which("Orthanc") is None
    ):
        sys.exit("dcmtk's storescp and storescu and Orthanc are needed")
    RECEIVERS[:] = [receiver for receiver in RECEIVERS if receiver.name not in given.without]
    print(
        f"{os.cpu_count()} processors, Python {sys.version.split()[0]}, {given.slices} slices of 512 x 512 x 16 bit"
    )
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        shares = make_slices(Path(folder), given.slices, 4)
        whole = Path(folder) / "whole"
        whole.mkdir()
        for share in shares:
            for path in share.iterdir():
                os.link(path, whole / path.name)
        for sender in SENDERS:
            if given.only is None or sender.name in given.only:
                compare(sender, shares if sender.associations == 4 else [whole], given.runs)


if __name__ == "__main__":
    main()
