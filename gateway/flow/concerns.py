"""Concerns: what is wrong with the gateway itself rather than with one passage on its way.

In: that something began or ended. Out: the same as for a late passage: a banner on the console, a metric, a line of
the log, and the hospital's own alarm system, which is told now and then daily for as long as it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from gateway.clerk.records import Damaged
from gateway.errors import Fact, GatewayError, Word
from gateway.flow.alarm import Alarm
from gateway.flow.store import Trouble
from gateway.metrics import Metrics

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that stands."""

    error: GatewayError
    """Its code, and facts that a person may see."""
    about: str = ""
    """The passage's id, or the destination's name."""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def message(self) -> dict[str, str]:
        """What the alarm system is told."""
        facts = {name: str(fact) for name, fact in self.error.facts.items()}
        return {
            **facts,
            "code": self.error.code,
            "about": self.about,
            "since": self.since.isoformat(timespec="seconds"),
        }


class Concerns:
    """Those that stand.

    Parameters
    ----------
    alarm : Alarm
    metrics : Metrics
    group : TaskGroup
        Owns the tasks that tell.
    """

    def __init__(self, alarm: Alarm, metrics: Metrics, group: asyncio.TaskGroup) -> None:
        self._alarm = alarm
        self._metrics = metrics
        self._group = group
        self._standing: dict[tuple[str, str], Concern] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def standing(self) -> Sequence[Concern]:
        """In the order in which they began."""
        return tuple(self._standing.values())

    def begin(self, code: str, about: str = "", facts: Mapping[str, Fact] | None = None) -> None:
        """Something is wrong from now on; one that stands already is left as it is.

        Parameters
        ----------
        code : str
            Of `gateway.errors.CATALOGUE`.
        about : str
            A passage's id or a configured name.
        facts : mapping of str to Fact, optional
        """
        if (code, about) in self._standing:
            return
        concern = Concern(GatewayError(code, **(facts or {})), about)
        self._standing[code, about] = concern
        self._count(code)
        _log.error("alarm", reason=code, about=about, facts=concern.error)
        task = self._group.create_task(
            self._alarm.tell(concern.message, until=lambda: self._standing.get((code, about)) is not concern)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, code: str, about: str = "") -> None:
        """It is well again."""
        if self._standing.pop((code, about), None) is not None:
            self._count(code)
            _log.info("alarm over", reason=code, about=about)

    def stop(self) -> None:
        """Stop telling."""
        for task in list(self._tasks):
            task.cancel()

    def _count(self, code: str) -> None:
        count = sum(1 for standing, _ in self._standing if standing == code)
        self._metrics.alarms.labels(code).set(count)


def damage_told(damage: Damaged) -> tuple[str, str, dict[str, Fact]]:
    """Code, subject and facts of what the clerk found wrong with one of its files."""
    is_journal = damage.file == "journal"
    facts: dict[str, Fact] = {"fault": Word(damage.fault.replace("_", " ")), "offset": damage.offset}
    if not is_journal:
        facts["entry"] = damage.entry
    return ("JOURNAL_DAMAGED" if is_journal else "LEDGER_DAMAGED"), damage.fault, facts


def delivery_troubled(concerns: Concerns, trouble: Trouble) -> None:
    """Take note of a delivery that failed; only one that takes too long is a concern."""
    if trouble.is_alarm:
        facts: dict[str, Fact] = {"attempts": trouble.attempt}
        if (reason := Word.known(trouble.error.code)) is not None:
            facts["reason"] = reason
        concerns.begin("DELIVERY_LATE", trouble.destination, facts)
