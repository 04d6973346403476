"""The plan of a run, drawn from its seed: which study is sent when and by whom, which fault happens when."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.studies import Study

SENDERS = ("storescu", "pynetdicom", "pacs")
"""The last can be asked for what a crash took; the other two cannot."""
STUDY_EVERY_S = 2.7
FAULT_EVERY_S = 6.0
LINKS = ("intake", "query", "contourer", "tps")

KILLS = {"vault": 4, "clerk": 3, "supervisor": 1, "everything": 1, "contourer": 4, "tps": 4, "pacs": 3}
"""What is killed with SIGKILL, by weight."""
TOXICS = {
    "latency": 3,
    "bandwidth": 3,
    "reset": 4,
    "black hole": 3,
    "half-open": 3,
    "refuse": 2,
    "corrupt": 2,
}
"""What a link suffers, by weight. Only the contourer's link is ever corrupted: DICOM without TLS has no protection
against it (PS3.8), so that a flipped bit would be another patient's name already at the door."""


@dataclass(frozen=True)
class Sending:
    """A study that is to be sent."""

    at_s: float
    sender: str
    study: Study

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  send {self.study.number} ({self.study.slices} slices) by {self.sender}"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    at_s: float
    kind: str
    """`kill`, or a toxic."""
    target: str
    """A process, or a link."""
    lasts_s: float
    """Until a process of a peer is started again; until a link is well again."""
    amount: float = 0.0
    """Of a toxic: seconds, bytes a second or bytes."""

    def __str__(self) -> str:
        amount = f" {self.amount:g}" if self.amount else ""
        return f"{self.at_s:7.1f} s  {self.kind}{amount}: {self.target} for {self.lasts_s:.1f} s"


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    seed: int
    seconds: float
    reads_text: bool
    """Whether text is looked for in the pixels: by far the most work, so that half of the seeds go without and push
    more through everything else."""
    sendings: tuple[Sending, ...]
    faults: tuple[Fault, ...]

    @classmethod
    def drawn(cls, seed: int, minutes: float) -> Plan:
        """The plan of a seed; always the same."""
        seconds = 60 * minutes
        chance = random.Random(f"studies {seed}")
        sendings = tuple(
            Sending(at_s, chance.choice(SENDERS), Study.drawn(seed, number, chance))
            for number, at_s in enumerate(_times(chance, seconds, STUDY_EVERY_S))
        )
        chance = random.Random(f"faults {seed}")
        faults = tuple(_fault(chance, at_s) for at_s in _times(chance, seconds, FAULT_EVERY_S))
        return cls(seed, seconds, random.Random(f"text {seed}").random() < 0.5, sendings, faults)

    def __str__(self) -> str:
        steps: list[Sending | Fault] = [*self.sendings, *self.faults]
        counts = f"{len(self.sendings)} studies, {len(self.faults)} faults, {self.seconds / 60:g} minutes"
        told = f"seed {self.seed}: {counts}, text in pixels is {'' if self.reads_text else 'not '}looked for"
        return "\n".join([told, *map(str, sorted(steps, key=lambda step: step.at_s))])


def _times(chance: random.Random, seconds: float, every_s: float) -> Iterator[float]:
    at_s = 1.0
    while at_s < seconds:
        yield at_s
        at_s += every_s * chance.uniform(0.3, 1.7)


def _drawn(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _fault(chance: random.Random, at_s: float) -> Fault:
    if chance.random() < 0.55:
        return Fault(at_s, "kill", _drawn(chance, KILLS), chance.uniform(0.5, 6))
    kind, lasts_s = _drawn(chance, TOXICS), chance.uniform(2, 8)
    link = "contourer" if kind == "corrupt" else chance.choice(LINKS)
    amounts = {
        "latency": chance.uniform(0.02, 0.4),
        "bandwidth": chance.uniform(20e3, 200e3),
        "reset": float(chance.randint(500, 60_000)),
        "corrupt": float(chance.randint(500, 20_000)),
    }
    return Fault(at_s, kind, link, lasts_s, round(amounts.get(kind, 0.0), 3))
