"""Who settles a request, and what that changes.

The lowest sequence in the stream wins, in whatever order settlements come. What a reservation does to the counters
depends on its winner alone, so every order of the messages ends the same.

`expired` is told by a sweeper that cannot know what a gateway told a moment before: a settlement that is ahead of it in
the stream may still be on its way to us. To give the prompt back and charge it after all would admit one too many.
So an expired reservation stays open until all that is ahead in the stream is folded; till then its end waits.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from contracts.outcomes import Outcome


class Objection(StrEnum):
    """Why a settlement changes nothing (yet)."""

    LATER = "later"
    NO_RESERVATION = "no_reservation"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of one request, as the stream tells it. `sequence` is its place there."""

    account_id: UUID
    request_id: UUID
    sequence: int
    outcome: str
    is_charged: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """One reservation with the settlement that wins so far, if there is any.

    `grant_id` is the grant that its prompt was drawn from. `kept` are settlements of an open reservation that came
    before it was there, or that wait.
    """

    account_id: UUID
    request_id: UUID
    day: date
    month: date
    winner: Settlement | None
    grant_id: UUID | None = None
    kept: tuple[Settlement, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A settlement that has no effect, for staff."""

    settlement: Settlement
    objection: Objection


@dataclass(frozen=True, slots=True)
class Change:
    """What a reservation adds to each of its windows, and so to its account and to its grant.

    `reserved` is also what it adds to the requests in flight, `drawn` what it takes from its grant.
    """

    used: int = 0
    reserved: int = 0
    drawn: int = 0

    def __add__(self, other: "Change") -> "Change":
        return Change(self.used + other.used, self.reserved + other.reserved, self.drawn + other.drawn)

    def __sub__(self, other: "Change") -> "Change":
        return Change(self.used - other.used, self.reserved - other.reserved, self.drawn - other.drawn)


def effect(hold: Hold) -> Change:
    """All that a reservation adds to the counters in the state that it is in."""
    is_open = hold.winner is None
    is_used = hold.winner is not None and hold.winner.is_charged
    return Change(int(is_used), int(is_open), int(hold.grant_id is not None and (is_open or is_used)))


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
    return replace(hold, winner=first, kept=()), losers


@dataclass(frozen=True, slots=True)
class Folded:
    """The effect of a batch of settlements.

    `settled` are reservations with a new winner, `waiting` those that were left open although their end is told.
    `changes` are those of windows, by account, kind and first day; `accounts` of the requests in flight; `grants` of
    what is taken from each, by account and grant.
    """

    settled: Sequence[Hold]
    waiting: Sequence[Hold]
    changes: Mapping[tuple[UUID, str, date], Change]
    accounts: Mapping[UUID, int]
    grants: Mapping[tuple[UUID, UUID], int]
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
    for old, new in after:
        change = effect(new) - effect(old)
        windows[new.account_id, "day", new.day] += change
        windows[new.account_id, "month", new.month] += change
        accounts[new.account_id] += change.reserved
        if new.grant_id is not None:
            grants[new.account_id, new.grant_id] += change.drawn
    return Folded(
        settled=[new for _, new in after if new.winner is not None],
        waiting=[new for _, new in after if new.winner is None],
        changes={window: change for window, change in windows.items() if change != Change()},
        accounts={account_id: change for account_id, change in accounts.items() if change},
        grants={grant: change for grant, change in grants.items() if change},
        conflicts=conflicts,
    )
