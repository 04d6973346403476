"""When a passage ends, nothing of the patient is left in the memory of the vault or its children (R5).

The control looks while the passage is under way: there the same look finds everything.
"""

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import made
from tests.privacy.memory import family, occurrences
from tests.running import Gateway, Storescp

pytestmark = [
    pytest.mark.peer("storescu", "storescp"),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root may look into the memory of a locked down process"
    ),
]

SLICES = 6
SETTLING_S = 3.0
"""From the delivery to the end of what goes with it: deletion at the contourer, the last associations."""


class _Patient:
    """Identifiers that stand nowhere else, and images of theirs."""

    def __init__(self, folder: Path) -> None:
        word = secrets.token_hex(5).upper()
        self.texts = {
            "PatientName": f"NAME{word}^GIVEN{word}",
            "PatientID": f"PID{word}",
            "AccessionNumber": f"ACC{word}",
            "ReferringPhysicianName": f"REF{word}^DOC",
            "StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.{secrets.randbits(64)}",
        }
        self.pixels = []
        for index in range(SLICES):
            image = made.image(index, side=64, seed=secrets.randbits(32))
            for keyword, text in self.texts.items():
                setattr(image, keyword, text)
            image.SeriesInstanceUID = image.StudyInstanceUID + ".7"
            image.SOPInstanceUID = image.StudyInstanceUID + f".7.{index}"
            self.pixels.append(image.PixelData[1000:1064])
            (folder / f"{index}.dcm").write_bytes(made.part10(image))

    def needles(self) -> dict[str, bytes]:
        found = {keyword: text.encode("ascii") for keyword, text in self.texts.items()}
        return found | {f"pixels of slice {index}": pixels for index, pixels in enumerate(self.pixels)}


def _found(vault: int, patient: _Patient) -> dict[str, int]:
    """How often each needle stands in the vault and its children."""
    needles = patient.needles()
    counts = dict.fromkeys(needles, 0)
    for process in family(vault):
        places = occurrences(process, list(needles.values()))
        for name, needle in needles.items():
            counts[name] += len(places.get(needle, ()))
    return {name: count for name, count in counts.items() if count}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = Gateway(tmp_path, {"passage": {"quiet_time_s": 0.5, "review_s": 0}})
    running.start()
    yield running
    running.stop()


def test_nothing_of_a_patient_is_left_in_memory_after_the_end(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    patient = _Patient(tmp_path / "images")
    vault = gateway.pids()["vault"]
    assert _found(vault, patient) == {}
    assert gateway.send(tmp_path / "images").returncode == 0
    gateway.until_state("restored", "held")
    # control: the TPS is down, so the passage is under way and the look finds it
    assert {"PatientName", "PatientID", "StudyInstanceUID"} <= set(_found(vault, patient))
    tps = Storescp(tmp_path / "tps", gateway.tps)
    try:
        gateway.until_state("delivered")
    finally:
        tps.stop()
    time.sleep(SETTLING_S)
    assert _found(vault, patient) == {}
