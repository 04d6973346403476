"""How an open passage stood, put together from its records."""

from gateway.clerk.standing import open_passages
from gateway.passage import State
from tests.unit.clerk.made_records import committed, counted, deleted, delivered, moved, opened, passage_id


def test_the_last_of_each_kind_counts() -> None:
    first, second = open_passages(
        [
            opened(1),
            counted(1, 3),
            opened(2),
            counted(1, 90),
            moved(1, State.COMPLETE),
            committed(1),
            moved(1, State.HELD, "PEER_STATUS"),
            delivered(1),
        ]
    )
    assert (first.id, second.id) == (passage_id(1), passage_id(2))
    assert (first.state, first.code, first.received) == (State.HELD, "PEER_STATUS", 90)
    assert first.opened == opened(1)
    assert first.committed == committed(1)
    assert first.delivered == [delivered(1)]
    assert (second.state, second.committed, second.since) == (State.RECEIVING, None, opened(2).at)


def test_without_its_opening_it_still_stands() -> None:
    (passage,) = open_passages([moved(1, State.SEALED)])
    assert (passage.opened, passage.state) == (None, State.SEALED)


def test_a_receipt_is_owed_for_what_was_committed_last() -> None:
    for records, is_owed in (
        ([opened(1)], False),
        ([opened(1), committed(1)], True),
        ([opened(1), committed(1), deleted(1)], False),
        ([opened(1), committed(1), deleted(1), committed(1)], True),
        ([opened(1), deleted(1)], False),
    ):
        (passage,) = open_passages(records)
        assert passage.is_owed_a_receipt is is_owed
        assert not passage.has_ended
    (ended,) = open_passages([opened(1), committed(1), moved(1, State.DELIVERED)])
    assert ended.has_ended
    assert ended.is_owed_a_receipt
