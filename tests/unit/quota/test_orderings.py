"""All orders of the messages of one request, against the rules of the fold: the same stream, the same end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from enum import Enum, auto
from uuid import UUID

import pytest

from quota.domain import Change, Continued, Effect, Hold, Objection, Settlement, effect, fold
from tests.orderings import orderings

ACCOUNT, REQUEST, GRANT, TURN = (UUID(int=number) for number in (1, 2, 3, 4))
DAY = date(2026, 2, 28)
PROMPT = Hold(ACCOUNT, REQUEST, DAY, DAY.replace(day=1), winner=None, grant_id=GRANT)
RIDE = Hold(ACCOUNT, REQUEST, DAY, DAY.replace(day=1), winner=None, continues=Continued(TURN, 3))


class Step(Enum):
    """What happens to one request at quota. A lost reply of `RESERVED` is the same step again: it changes nothing."""

    RESERVED = auto()
    GATEWAY = auto()
    SWEEPER = auto()
    SWEPT = auto()


class Quota:
    """The rows of one request, changed by the real rules only, as the store does it."""

    def __init__(self, stream: Mapping[Step, Settlement], reserved: Hold = PROMPT) -> None:
        self.stream = stream
        self.reserved = reserved
        self.hold: Hold | None = None
        self.kept: dict[int, Settlement] = {}
        self.counts = Change()
        self.in_flight = 0
        self.taken = 0
        self.answered = 0
        self.was_given_back = False
        self.delivered: set[int] = set()

    @property
    def floor(self) -> int:
        """The sequence up to which everything was acknowledged."""
        return next(number for number in range(len(self.stream) + 1) if number + 1 not in self.delivered)

    def take(self, step: Step) -> None:
        if step is Step.RESERVED:
            if self.hold is None:
                self.hold = self.reserved
                held = effect(self.hold)
                self.counts, self.in_flight, self.answered = held.windows, held.in_flight, held.answered
                self.taken = held.windows.drawn
        elif step is Step.SWEPT:
            if self.kept:
                self._fold(self.kept[min(self.kept)], folded_through=self.floor)
        else:
            self._fold(self.stream[step])
            self.delivered.add(self.stream[step].sequence)

    def _fold(self, settlement: Settlement, *, folded_through: int = 0) -> None:
        holds = []
        if self.hold is not None:
            is_open = self.hold.winner is None
            kept = tuple(self.kept[number] for number in sorted(self.kept)) if is_open else ()
            holds = [replace(self.reserved, winner=self.hold.winner, kept=kept)]
        folded = fold(holds, [settlement], folded_through=folded_through)
        for change in folded.changes.values():
            assert change == next(iter(folded.changes.values())), "the day and the month change alike"
        if folded.changes:
            self.counts += folded.changes[ACCOUNT, "day", DAY]
        self.in_flight += folded.accounts.get(ACCOUNT, 0)
        self.taken += folded.grants.get((ACCOUNT, GRANT), 0)
        self.answered += folded.turns.get((ACCOUNT, Continued(TURN, 3)), 0)
        self.hold = folded.settled[0] if folded.settled else self.hold
        self.kept |= {conflict.settlement.sequence: conflict.settlement for conflict in folded.conflicts}
        is_back = self.hold is not None and self.counts == Change() and not self.answered
        assert is_back or not self.was_given_back, "what was given back must not be taken after all"
        self.was_given_back = is_back


def a_settlement(sequence: int, outcome: str, ended_as: str | None = None) -> Settlement:
    return Settlement(ACCOUNT, REQUEST, sequence, outcome, outcome == "completed", ended_as)


def streams() -> Iterator[Mapping[Step, Settlement]]:
    """What REQUESTS can hold of one request, by who told it."""
    for outcome in ("completed", "empty"):
        yield {Step.GATEWAY: a_settlement(1, outcome)}
        yield {Step.GATEWAY: a_settlement(1, outcome), Step.SWEEPER: a_settlement(2, "expired")}
        yield {Step.SWEEPER: a_settlement(1, "expired"), Step.GATEWAY: a_settlement(2, outcome)}
    yield {Step.SWEEPER: a_settlement(1, "expired")}


@pytest.mark.parametrize("stream", list(streams()), ids=lambda stream: "-".join(one.outcome for one in stream.values()))
def test_every_order_of_the_messages_of_a_request_ends_as_the_stream_says(stream: Mapping[Step, Settlement]) -> None:
    told = list(stream)
    again = [Step.SWEPT, *told, Step.RESERVED]
    winner = min(stream.values(), key=lambda settlement: settlement.sequence)
    number = 0
    for order in orderings([Step.RESERVED, Step.SWEPT, *told], redelivered=again[:3]):
        quota = Quota(stream)
        for step in (*order, Step.SWEPT):
            quota.take(step)
        used = int(winner.is_charged)
        assert quota.hold is not None, order
        assert quota.hold.winner == winner, order
        assert (quota.counts, quota.in_flight, quota.taken) == (Change(used, 0, used), 0, used), order
        losers = {one.sequence for one in stream.values()} - {winner.sequence}
        assert losers <= quota.kept.keys(), order
        number += 1
    assert number > 20


def rides() -> Iterator[Mapping[Step, Settlement]]:
    """What REQUESTS can hold of one continuation; the last one is what a gateway must not tell of it."""
    for outcome, ended_as in (("continuation", "completed"), ("continuation", "empty"), ("continuation", None)):
        yield {Step.GATEWAY: a_settlement(1, outcome, ended_as)}
        yield {Step.GATEWAY: a_settlement(1, outcome, ended_as), Step.SWEEPER: a_settlement(2, "expired")}
        yield {Step.SWEEPER: a_settlement(1, "expired"), Step.GATEWAY: a_settlement(2, outcome, ended_as)}
    yield {Step.GATEWAY: a_settlement(1, "completed"), Step.SWEEPER: a_settlement(2, "expired")}


@pytest.mark.parametrize(
    "stream", list(rides()), ids=lambda stream: "-".join(f"{one.outcome}_{one.ended_as}" for one in stream.values())
)
def test_every_order_of_the_messages_of_a_continuation_leaves_its_call_answered_or_free_as_the_stream_says(
    stream: Mapping[Step, Settlement],
) -> None:
    told = list(stream)
    first = min(stream.values(), key=lambda settlement: settlement.sequence)
    is_delivered = first.outcome != "expired" and first.ended_as != "empty"
    number = 0
    for order in orderings([Step.RESERVED, Step.SWEPT, *told], redelivered=[Step.SWEPT, *told]):
        quota = Quota(stream, RIDE)
        for step in (*order, Step.SWEPT):
            quota.take(step)
            assert (quota.counts, quota.taken) == (Change(), 0), order
        assert quota.hold is not None, order
        assert quota.hold.winner is not None, order
        assert (quota.hold.winner.sequence, quota.hold.winner.is_charged) == (1, False), order
        assert (quota.in_flight, quota.answered) == (0, int(is_delivered)), order
        losers = {one.sequence for one in stream.values()} - {first.sequence}
        assert losers <= quota.kept.keys(), order
        number += 1
    assert number > 20


def test_a_continuation_is_in_flight_and_answers_its_call_while_it_is_open() -> None:
    assert effect(RIDE) == Effect(Change(), in_flight=1, answered=1)
    delivered = fold([RIDE], [a_settlement(1, "continuation", "client_gone_late")])
    failed = fold([RIDE], [a_settlement(1, "continuation", "client_gone_early")])
    assert (delivered.changes, delivered.accounts, delivered.turns) == ({}, {ACCOUNT: -1}, {})
    assert (failed.changes, failed.accounts, failed.turns) == ({}, {ACCOUNT: -1}, {(ACCOUNT, Continued(TURN, 3)): -1})


def test_a_redelivered_end_of_a_continuation_changes_nothing() -> None:
    for settlement in (a_settlement(1, "continuation"), a_settlement(1, "completed")):
        (settled,) = fold([RIDE], [settlement]).settled
        again = fold([settled], [settlement])
        assert (again.settled, again.conflicts) == ([], [])


def test_settlements_of_a_request_that_is_never_reserved_are_kept_in_every_order() -> None:
    for stream in streams():
        for order in orderings([*stream, Step.SWEPT], redelivered=list(stream)):
            quota = Quota(stream)
            for step in order:
                quota.take(step)
            assert quota.kept.keys() == {one.sequence for one in stream.values()}
            assert quota.counts == Change()


def test_an_expiry_waits_until_all_that_is_ahead_of_it_is_folded() -> None:
    hold = Hold(ACCOUNT, REQUEST, DAY, DAY.replace(day=1), winner=None)
    expiry = a_settlement(7, "expired")
    early = fold([hold], [expiry], folded_through=6)
    assert (early.settled, [one.kept for one in early.waiting]) == ([], [(expiry,)])
    assert [conflict.objection for conflict in early.conflicts] == [Objection.WAITING]
    assert early.changes == {}
    (waiting,) = early.waiting
    due = fold([waiting], [expiry], folded_through=7)
    assert [one.winner for one in due.settled] == [expiry]
    assert due.accounts == {ACCOUNT: -1}
