"""What a gateway is put through so that its traces can be looked for: good passages, bad ones, and crashes.

Every patient in it is called by words that stand nowhere else (`CANARIES`), and the pixels hold a mark.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import urllib.error
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from tests import made
from tests.privacy.memory import family
from tests.running import Gateway, Storescp, answers, until

_WORD: Final = secrets.token_hex(5).upper()
IDENTITY: Final = {
    "PatientName": f"QVARN{_WORD}^OLBERICH{_WORD}",
    "PatientID": f"QVPID{_WORD}",
    "AccessionNumber": f"QVACC{_WORD}",
    "ReferringPhysicianName": f"QVREF{_WORD}^HADUBRAND",
    "StudyDescription": f"QVDESCRIBED{_WORD}",
}
ROOT: Final = f"1.2.826.0.1.3680043.8.498.{secrets.randbits(48) | 1 << 47}"
MARK: Final = secrets.token_bytes(48)
"""In the pixels of each slice."""
SLICES: Final = 5
CHILDREN: Final = ("gateway.pixels.reader", "gateway.contourer")
"""The vault's children that live as long as it does; a decoder is started when it is needed."""


def needles() -> dict[str, bytes]:
    """What may stand nowhere, in the forms in which a file, a page or a core would hold it."""
    found: dict[str, bytes] = {"UIDs": ROOT.encode(), "pixels": MARK}
    for keyword, value in IDENTITY.items():
        word = value.split("^")[0]
        for codec in ("ascii", "utf-16-le"):
            found[f"{keyword} in {codec}"] = word.encode(codec)
        found[f"{keyword} in hex"] = word.encode("ascii").hex().encode("ascii")
    return found


def found_in(data: bytes) -> set[str]:
    """Which needles stand in some bytes."""
    return {name for name, needle in needles().items() if needle in data}


def image(index: int, *, study: int, patient: str = "") -> Dataset:
    """A slice of the patient; another `patient` has the same marks and another suffix."""
    dataset = made.body(index)
    for keyword, value in IDENTITY.items():
        setattr(dataset, keyword, value)
    dataset.PatientID += patient
    dataset.StudyInstanceUID = f"{ROOT}.{study}"
    dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = f"{ROOT}.{study}.1", f"{ROOT}.{study}.0"
    dataset.SOPInstanceUID = f"{ROOT}.{study}.1.{index + 1}{'1' if patient else ''}"
    pixels = bytearray(dataset.PixelData)
    pixels[2048 : 2048 + len(MARK)] = MARK
    dataset["PixelData"].value = bytes(pixels)
    return dataset


def written(folder: Path, datasets: Iterable[Dataset]) -> list[Path]:
    """Datasets as files for a sender."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, dataset in enumerate(datasets):
        paths.append(folder / f"{index}.dcm")
        if "file_meta" in dataset.__dict__:  # compressed
            dataset.save_as(paths[-1], enforce_file_format=True)
        else:
            paths[-1].write_bytes(made.part10(dataset))
    return paths


def compressed(index: int, *, study: int, is_broken: bool = False) -> Dataset:
    """A slice that only a decoder process can read, or that makes it fail."""
    dataset = image(index, study=study)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless, generate_instance_uid=False)
    if is_broken:
        dataset.PixelData = encapsulate([MARK * 20])
    return dataset


class Ordeal:
    """A gateway, its TPS, and what is done to them; `folder` is where the sender keeps its images.

    `environment` is the gateway's, beside this process's own; its working directory is `gateway.folder`, which is
    where a core would fall.
    """

    def __init__(
        self, gateway: Gateway, images: Path, tps: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.gateway, self._images, self._tps = gateway, images, tps
        self._environment = dict(environment or {})
        self.pages: list[bytes] = []
        """What the console answered."""
        self._seen: set[str] = set()

    @contextlib.contextmanager
    def running(self) -> Iterator[Ordeal]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            self.gateway.start(120)
        try:
            yield self
        finally:
            self.gateway.stop(180)

    def good(self) -> None:
        """A passage that is delivered; while it waits for the TPS, its pages are looked at."""
        self.arrives(1)
        self._ended("restored")
        self.look()
        tps = Storescp(self._tps, self.gateway.tps)
        try:
            self._ended("delivered")
        finally:
            tps.stop()

    def arrives(self, study: int) -> None:
        """A series whose identity is in memory from now on, because the TPS is down."""
        assert self._sent(study, [image(i, study=study) for i in range(SLICES)])
        self.look()

    def held(self) -> None:
        """Two patients in one study, and a series with a hole."""
        self._sent(2, [image(0, study=2), image(1, study=2), image(2, study=2, patient="OTHER")])
        self._ended("held", count=2)
        self._sent(3, [image(i, study=3) for i in (0, 1, 4, 5)])
        self._ended("held")
        self.look()

    def refused(self) -> None:
        """Instances that are answered with a failure: no position, too few pixels, another SOP class's modality."""
        spoiled = [image(i, study=4) for i in range(3)]
        del spoiled[0].ImagePositionPatient
        spoiled[1].PixelData = spoiled[1].PixelData[:100]
        spoiled[2].Modality = "MR"
        for one in spoiled:
            assert not self._sent(4, [one])

    def decoded(self) -> None:
        """What does not decode, a decoder that is killed by a signal, and then a series that does decode."""
        assert not self._sent(5, [compressed(0, study=5, is_broken=True)])
        assert self._sent(5, [compressed(0, study=5)])
        for number in (signal.SIGSEGV, signal.SIGABRT):
            self.crash("gateway.dicom.decoder", number)
            self._sent(5, [compressed(1, study=5)])

    def crash(self, name: str, number: signal.Signals) -> None:
        """A signal of a crash for a process of the gateway, by a word of its command; it must have been there."""
        found = [pid for pid in family(self.gateway.process.pid) if name in words(pid)]
        assert found, f"no {name} was running"
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        until(lambda: all(not words(pid) for pid in found) or None, 180, "the end of what crashed")

    def crash_all(self, number: signal.Signals) -> None:
        """The vault's children and the vault, while an identity is in memory; and wait for the next vault."""
        self.arrives(10 + number)
        for child in CHILDREN:
            self.crash(child, number)
        old = self.gateway.pids()["vault"]
        self.crash("vault", number)

        def is_up() -> bool | None:
            is_new = self.gateway.pids().get("vault", old) != old
            return (is_new and answers(self.gateway.port) and answers(self.gateway.web)) or None

        until(is_up, 180, "the next vault")

    def look(self) -> None:
        """Ask the console for its pages, also for some that are not there."""
        word = IDENTITY["PatientID"]
        paths = [
            "/",
            "/metrics",
            "/api/passages",
            "/api/status",
            f"/{word}",
            f"/passages/{word}",
            f"/?q={word}",
        ]
        for passage in self.gateway.passages():
            page = f"/passages/{passage['id']}"
            paths += [page, f"{page}/pictures", f"{page}/slices/0/outlines.json", f"{page}/slices/9999.bin"]
        for path in paths:
            try:
                self.pages.append(self.gateway.get(path))
            except urllib.error.HTTPError as error:
                self.pages.append(str(error.headers).encode() + error.read())

    def _ended(self, *states: str, count: int = 1) -> None:
        def new() -> set[str] | None:
            there = {
                f"{one['id']} {one['state']}" for one in self.gateway.passages() if one["state"] in states
            }
            return there - self._seen if len(there - self._seen) >= count else None

        self._seen |= until(new, 600, f"{count} {'/'.join(states)}")

    def _sent(self, study: int, datasets: Sequence[Dataset]) -> bool:
        """Send with dcmtk's dcmsend, as they are; whether each was taken."""
        paths = written(self._images / str(study), datasets)
        done = subprocess.run(
            ["dcmsend", "-v", "-aet", "PACS", "-aec", "CONTOURGATE", "--decompress-never",
             "127.0.0.1", str(self.gateway.port), *map(str, paths)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return (done.stdout + done.stderr).count("C-STORE Response (Success)") == len(paths)


def words(process: int) -> str:
    """The command of a process; empty when it has ended."""
    try:
        return (Path("/proc") / str(process) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
