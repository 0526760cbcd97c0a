"""The rules of the fold, without anything around them."""

from datetime import date
from itertools import pairwise, permutations
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from quota.domain import (
    Change,
    Conflict,
    Hold,
    Objection,
    Settlement,
    fold,
)

ACCOUNT, REQUEST = uuid4(), uuid4()
DAY, MONTH = date(2026, 2, 28), date(2026, 2, 1)
OPEN = Hold(ACCOUNT, REQUEST, DAY, MONTH, winner=None)


def a_settlement(sequence: int, *, is_charged: bool, request_id: UUID = REQUEST) -> Settlement:
    return Settlement(ACCOUNT, request_id, sequence, "completed" if is_charged else "empty", is_charged)


def test_a_charged_settlement_turns_the_hold_into_use_and_another_gives_it_back() -> None:
    charged = fold([OPEN], [a_settlement(1, is_charged=True)])
    free = fold([OPEN], [a_settlement(1, is_charged=False)])
    assert charged.changes == {(ACCOUNT, "day", DAY): Change(1, -1), (ACCOUNT, "month", MONTH): Change(1, -1)}
    assert free.changes == {(ACCOUNT, "day", DAY): Change(0, -1), (ACCOUNT, "month", MONTH): Change(0, -1)}


def test_a_redelivered_winner_changes_nothing() -> None:
    winner = a_settlement(4, is_charged=True)
    settled = Hold(ACCOUNT, REQUEST, DAY, MONTH, winner)
    folded = fold([settled], [winner, winner])
    assert (folded.settled, folded.changes, folded.conflicts) == ([], {}, [])


def test_a_settlement_without_its_reservation_is_kept_and_invents_no_usage() -> None:
    stray = a_settlement(9, is_charged=True, request_id=uuid4())
    folded = fold([OPEN], [stray])
    assert folded.changes == {}
    assert folded.conflicts == [Conflict(stray, Objection.NO_RESERVATION)]


def test_the_first_in_the_stream_wins_in_whatever_order_settlements_come() -> None:
    first, second, third = (a_settlement(n, is_charged=charged) for n, charged in ((1, False), (2, True), (3, True)))
    for order in permutations([first, second, third]):
        folded = fold([OPEN], order)
        assert [hold.winner for hold in folded.settled] == [first]
        assert folded.changes[ACCOUNT, "day", DAY] == Change(used=0, reserved=-1)
        assert {conflict.settlement for conflict in folded.conflicts} == {second, third}


@given(
    charges=st.lists(st.booleans(), min_size=1, max_size=6),
    order=st.data(),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
def test_order_batches_and_redelivery_do_not_matter(charges: list[bool], order: st.DataObject, cuts: list[int]) -> None:
    told = [a_settlement(sequence, is_charged=charge) for sequence, charge in enumerate(charges, start=1)]
    heard = order.draw(st.permutations(told + told[: order.draw(st.integers(0, len(told)))]))
    hold, used, reserved, losers = OPEN, 0, 1, set()
    bounds = [0, *sorted(cuts), len(heard)]
    for begin, end in pairwise(bounds):
        folded = fold([hold], heard[begin:end])
        hold = folded.settled[0] if folded.settled else hold
        change = folded.changes.get((ACCOUNT, "month", MONTH), Change())
        used, reserved = used + change.used, reserved + change.reserved
        losers |= {conflict.settlement.sequence for conflict in folded.conflicts}
    assert hold.winner == told[0]
    assert (used, reserved) == (int(charges[0]), 0)
    assert losers == set(range(2, len(told) + 1))
