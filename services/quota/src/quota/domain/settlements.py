"""Who settles a request, and what that changes.

The lowest sequence in the stream wins, in whatever order settlements come. What a reservation does to the counters
depends on its winner alone, so every order of the messages ends the same.

`expired` is told by a sweeper that cannot know what a gateway told a moment before: a settlement that is ahead of it in
the stream may still be on its way to us. To give the prompt back and charge it after all would admit one too many.
So an expired reservation stays open until all that is ahead in the stream is folded; till then its end waits.

A continuation holds no prompt, so its end changes no window and no grant. But only one that was delivered has answered
its call for good: any other leaves that call free to be answered again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from contracts.outcomes import Outcome
from quota.domain.turns import Continued


class Objection(StrEnum):
    """Why a settlement changes nothing (yet)."""

    LATER = "later"
    NO_RESERVATION = "no_reservation"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of one request, as the stream tells it. `sequence` is its place there.

    `ended_as` is how a continuation ended, by the outcome that it would have had as a first call.
    """

    account_id: UUID
    request_id: UUID
    sequence: int
    outcome: str
    is_charged: bool
    ended_as: str | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the answer to a continuation reached its client. Who tells no more than that it was one, says so."""
        ended = Outcome(self.ended_as or self.outcome)
        return ended is Outcome.CONTINUATION or ended.is_charged


@dataclass(frozen=True, slots=True)
class Hold:
    """One reservation with the settlement that wins so far, if there is any.

    `grant_id` is the grant that its prompt was drawn from. `kept` are settlements of an open reservation that came
    before it was there, or that wait. `continues`: it holds no prompt, but rides on that of a turn.
    """

    account_id: UUID
    request_id: UUID
    day: date
    month: date
    winner: Settlement | None
    grant_id: UUID | None = None
    kept: tuple[Settlement, ...] = ()
    continues: Continued | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A settlement that has no effect, for staff."""

    settlement: Settlement
    objection: Objection


@dataclass(frozen=True, slots=True)
class Change:
    """What a reservation adds to each of its windows. `drawn` is also what it takes from its grant."""

    used: int = 0
    reserved: int = 0
    drawn: int = 0

    def __add__(self, other: "Change") -> "Change":
        return Change(self.used + other.used, self.reserved + other.reserved, self.drawn + other.drawn)

    def __sub__(self, other: "Change") -> "Change":
        return Change(self.used - other.used, self.reserved - other.reserved, self.drawn - other.drawn)


@dataclass(frozen=True, slots=True)
class Effect:
    """All that a reservation adds: to its windows, to the requests in flight, to the answers that its turn has."""

    windows: Change = Change()
    in_flight: int = 0
    answered: int = 0

    def __sub__(self, other: "Effect") -> "Effect":
        return Effect(self.windows - other.windows, self.in_flight - other.in_flight, self.answered - other.answered)


def effect(hold: Hold) -> Effect:
    """What a reservation adds in the state that it is in."""
    is_open = hold.winner is None
    if hold.continues is not None:
        is_answered = hold.winner is None or hold.winner.is_delivered
        return Effect(in_flight=int(is_open), answered=int(is_answered))
    is_used = hold.winner is not None and hold.winner.is_charged
    is_drawn = hold.grant_id is not None and (is_open or is_used)
    return Effect(Change(int(is_used), int(is_open), int(is_drawn)), in_flight=int(is_open))


def settle(hold: Hold, told: Iterable[Settlement], *, folded_through: int = 0) -> tuple[Hold, Sequence[Conflict]]:
    """The reservation after more settlements, and those that have no effect.

    A redelivery of the winner changes nothing. A late one that was first in the stream takes the winner's place.
    `folded_through` is the sequence up to which the whole stream is known to be folded.
    """
    before = (
        {hold.winner.sequence: hold.winner} if hold.winner is not None else {kept.sequence: kept for kept in hold.kept}
    )
    known = before | {settlement.sequence: settlement for settlement in told}
    if not known:
        return hold, []
    first = known[min(known)]
    if hold.winner is None and first.outcome == Outcome.EXPIRED and first.sequence > folded_through:
        kept = tuple(known[sequence] for sequence in sorted(known))
        waiting = [Conflict(one, Objection.WAITING) for one in kept if one.sequence not in before]
        return replace(hold, kept=kept), waiting
    losers = [Conflict(known[sequence], Objection.LATER) for sequence in sorted(known) if sequence != first.sequence]
    return replace(hold, winner=_as_winner(first, hold), kept=()), losers


def _as_winner(settlement: Settlement, hold: Hold) -> Settlement:
    """A continuation costs nothing, whatever is told of it; and it is kept how it ended."""
    if hold.continues is None:
        return settlement
    return replace(settlement, is_charged=False, ended_as=settlement.ended_as or settlement.outcome)


@dataclass(frozen=True, slots=True)
class Folded:
    """The effect of a batch of settlements.

    `settled` are reservations with a new winner, `waiting` those that were left open although their end is told.
    `changes` are those of windows, by account, kind and first day; `accounts` of the requests in flight; `grants` of
    what is taken from each, by account and grant; `turns` of how often a call was answered, by account and call.
    """

    settled: Sequence[Hold]
    waiting: Sequence[Hold]
    changes: Mapping[tuple[UUID, str, date], Change]
    accounts: Mapping[UUID, int]
    grants: Mapping[tuple[UUID, UUID], int]
    turns: Mapping[tuple[UUID, Continued], int]
    conflicts: Sequence[Conflict]


def fold(holds: Iterable[Hold], settlements: Iterable[Settlement], *, folded_through: int = 0) -> Folded:
    """All settlements of a batch at once. One without its reservation invents no usage."""
    told: dict[tuple[UUID, UUID], list[Settlement]] = defaultdict(list)
    for settlement in settlements:
        told[settlement.account_id, settlement.request_id].append(settlement)
    before = {(hold.account_id, hold.request_id): hold for hold in holds}
    conflicts: list[Conflict] = []
    after: list[tuple[Hold, Hold]] = []
    for key, hold in before.items():
        new, losers = settle(hold, told.pop(key, ()), folded_through=folded_through)
        conflicts += losers
        if new != hold:
            after.append((hold, new))
    conflicts += [Conflict(stray, Objection.NO_RESERVATION) for strays in told.values() for stray in strays]
    return _folded(after, conflicts)


def _folded(after: Sequence[tuple[Hold, Hold]], conflicts: Sequence[Conflict]) -> Folded:
    windows: dict[tuple[UUID, str, date], Change] = defaultdict(Change)
    accounts: dict[UUID, int] = defaultdict(int)
    grants: dict[tuple[UUID, UUID], int] = defaultdict(int)
    turns: dict[tuple[UUID, Continued], int] = defaultdict(int)
    for old, new in after:
        change = effect(new) - effect(old)
        windows[new.account_id, "day", new.day] += change.windows
        windows[new.account_id, "month", new.month] += change.windows
        accounts[new.account_id] += change.in_flight
        if new.grant_id is not None:
            grants[new.account_id, new.grant_id] += change.windows.drawn
        if new.continues is not None:
            turns[new.account_id, new.continues] += change.answered
    return Folded(
        settled=[new for _, new in after if new.winner is not None],
        waiting=[new for _, new in after if new.winner is None],
        changes={window: change for window, change in windows.items() if change != Change()},
        accounts={account_id: change for account_id, change in accounts.items() if change},
        grants={grant: change for grant, change in grants.items() if change},
        turns={answer: change for answer, change in turns.items() if change},
        conflicts=conflicts,
    )
