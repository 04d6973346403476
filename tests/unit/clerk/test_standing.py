"""How an open passage stood, put together from its records."""

from gateway.clerk.standing import open_passages
from gateway.passage import State
from tests.unit.clerk.made_records import committed, counted, delivered, moved, opened, passage_id


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
