"""The balance of a soak: every instance that a sender was told is stored must be at the TPS or held for a reason."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from gateway.dicom.instance import parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of, subject_of
from tests import made
from tests.soak.plan import Shipment
from tests.soak.senders import Answers

__all__ = ["Balance", "pseudonym_of"]


@dataclass(slots=True)
class _Account:
    shipment: Shipment
    accepted: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)
    held: list[int] = field(default_factory=list)
    """Instances of each passage that was held."""

    @property
    def lost(self) -> int:
        """Accepted instances that are neither at the TPS nor in a passage that a person was shown."""
        missing = len(self.accepted - self.delivered)
        return max(0, missing - max(self.held, default=0))


class Balance:
    """Keeps the account; used by the lanes' threads and the one that looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._by_pseudonym: dict[str, _Account] = {}
        self.shipments = 0
        self.broken_off = 0
        self.sent = 0
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.structure_sets = 0
        self.failures: Counter[str] = Counter()
        """What a sender, the TPS or the console met that must not be, by what it was."""
        self.by_sender: defaultdict[str, int] = defaultdict(int)

    def open(self, shipment: Shipment, pseudonym: str) -> None:
        """Before anything of it is sent."""
        with self._lock:
            account = _Account(shipment)
            self._accounts[shipment.series_uid] = self._by_pseudonym[pseudonym] = account
            self.shipments += 1

    def answered(self, shipment: Shipment, sender: str, answers: Answers, *, broke_off: bool) -> None:
        """A sender has come to its end."""
        with self._lock:
            self.sent += answers.sent
            self.by_sender[sender] += answers.sent
            self.accepted += len(answers.accepted)
            self.refused += answers.refused
            self.failures.update(f"{sender}: {failure}" for failure in answers.failures)
            self.broken_off += broke_off
            account = self._accounts[shipment.series_uid]
            account.accepted |= {shipment.instance_uid(index) for index in answers.accepted}

    def failed(self, what: str) -> None:
        """Something that must not be."""
        with self._lock:
            self.failures[what] += 1

    def was_held(self, pseudonym: str, code: str, received: int) -> None:
        """A person was shown a held passage."""
        with self._lock:
            self.held[code] += 1
            account = self._by_pseudonym.get(pseudonym)
            if account is None:
                self.failures["a held passage is nobody's"] += 1
            else:
                account.held.append(received)

    def delivered(self, path: Path) -> None:
        """A structure set is at the TPS."""
        structure_set = pydicom.dcmread(
            path, specific_tags=["PatientID", "ReferencedFrameOfReferenceSequence"]
        )
        with self._lock:
            self.structure_sets += 1
            for series in referenced_series(structure_set):
                account = self._accounts.get(str(series.SeriesInstanceUID))
                if account is None or account.shipment.patient_id != structure_set.PatientID:
                    self.failures["a structure set is another patient's"] += 1
                    continue
                account.delivered |= {
                    str(image.ReferencedSOPInstanceUID) for image in series.ContourImageSequence
                }

    @property
    def delivered_instances(self) -> int:
        """Accepted instances that a structure set at the TPS refers to."""
        with self._lock:
            return sum(len(account.accepted & account.delivered) for account in self._accounts.values())

    @property
    def lost(self) -> int:
        """Must be 0."""
        with self._lock:
            return sum(account.lost for account in self._accounts.values())

    def lost_shipments(self) -> list[Shipment]:
        """Whose."""
        with self._lock:
            return [account.shipment for account in self._accounts.values() if account.lost]


def referenced_series(structure_set: Dataset) -> list[Dataset]:
    """The items of RTReferencedSeriesSequence (PS3.3 C.8.8.5)."""
    return [
        series
        for frame in structure_set.ReferencedFrameOfReferenceSequence
        for study in frame.RTReferencedStudySequence
        for series in study.RTReferencedSeriesSequence
    ]


def pseudonym_of(shipment: Shipment, key: ClinicKey) -> str:
    """What the console calls the shipment's patient."""
    dataset = made.image(patient=shipment.patient_id)
    dataset.StudyInstanceUID = shipment.study_uid
    instance = parse_instance(made.encoded(dataset), ExplicitVRLittleEndian, limits=WalkLimits())
    return Pseudonyms(key, scope_of(instance, "study")).patient_code(subject_of(instance))
