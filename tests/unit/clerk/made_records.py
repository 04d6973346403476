"""Records and names for the tests of the clerk."""

from datetime import UTC, datetime, timedelta

from gateway.clerk.fields import Names
from gateway.clerk.journal import Entry
from gateway.clerk.records import (
    Alerted,
    ClockJumped,
    Committed,
    Damaged,
    Deed,
    Deleted,
    Delivered,
    InstancesCounted,
    LedgerFault,
    LedgerSealed,
    PassageOpened,
    PersonActed,
    Reconfigured,
    Record,
    Started,
    StateChanged,
    Stopped,
)
from gateway.config import Protection
from gateway.dicom.alerts import AlertKind
from gateway.passage import State

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = "ab" * 8
NAMES = Names(
    ae_title=frozenset({"CTSIM", "GATE"}),
    destination=frozenset({"tps"}),
    model=frozenset({"pelvis"}),
    profile=frozenset({"contouring-ct"}),
    person=frozenset({"mueller"}),
)


def passage_id(number: int) -> str:
    return f"{number:032x}"


def opened(number: int, *, source: str = "CTSIM") -> PassageOpened:
    return PassageOpened(
        at=NOON,
        passage=passage_id(number),
        source=source,
        called="GATE",
        modality="CT",
        study="1" * 64,
        series="2" * 64,
        pseudonym="P-7K3M9QXD",
    )


def moved(number: int, state: State, code: str | None = None) -> StateChanged:
    return StateChanged(at=NOON + timedelta(seconds=1), passage=passage_id(number), state=state, code=code)


def counted(number: int, received: int) -> InstancesCounted:
    return InstancesCounted(at=NOON, passage=passage_id(number), received=received)


def committed(number: int) -> Committed:
    return Committed(
        at=NOON,
        passage=passage_id(number),
        manifest="3" * 64,
        slices=90,
        model="pelvis",
        profile="contouring-ct",
    )


def delivered(number: int) -> Delivered:
    return Delivered(at=NOON, passage=passage_id(number), destination="tps", sop_instance="4" * 64)


def deleted(number: int) -> Deleted:
    return Deleted(
        at=NOON,
        passage=passage_id(number),
        deleted_at="2026-03-01T12:00:00.000Z",
        parts=90,
        is_in_time=True,
        cause="asked",
        manifest="3" * 64,
        region="DE",
        challenge="8" * 32,
        signature="9" * 128,
    )


ONE_OF_EACH: tuple[Record, ...] = (
    opened(1),
    counted(1, 17),
    moved(1, State.HELD, "SLICE_MISSING"),
    committed(1),
    delivered(1),
    deleted(1),
    ClockJumped(at=NOON, seconds=-86400),
    Alerted.model_validate(
        {"at": NOON, "alert": AlertKind.NOT_DICOM, "count": 3, "address": "192.0.2.7", "source": "CTSIM"},
        strict=False,
    ),
    Started(at=NOON, configuration="5" * 64, in_force=tuple(Protection), waived=()),
    Reconfigured(at=NOON, configuration="5" * 64, is_whole=False),
    Stopped(at=NOON, was_drained=True),
    PersonActed(at=NOON, deed=Deed.RELEASE, person="mueller", passage=passage_id(1)),
    LedgerSealed(at=NOON, entries=9, head="6" * 64, signature="7" * 128),
    Damaged(at=NOON, file="ledger", fault=LedgerFault.TRUNCATED, entry=4, offset=99, signed_entries=9),
)


def entries(*records: Record, first: int = 1, epoch: str = EPOCH) -> list[Entry]:
    """The records as the vault numbers them."""
    return [Entry(epoch=epoch, number=first + i, record=record) for i, record in enumerate(records)]
