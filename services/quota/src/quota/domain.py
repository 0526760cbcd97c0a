"""The rules of quota, as pure functions over plain values: what a window has left, why not, and who settles first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

DECEMBER = 12


class Refusal(StrEnum):
    """Why no prompt is held."""

    DAILY_SPENT = "daily_spent"
    MONTHLY_SPENT = "monthly_spent"
    TOKEN_BLOCKED = "token_blocked"


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt that somebody wants to have held."""

    account_id: UUID
    request_id: UUID
    token_id: UUID
    gateway: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Prompts per UTC day and UTC month of one plan; None is no limit."""

    daily: int | None
    monthly: int | None


@dataclass(frozen=True, slots=True)
class Terms:
    """The plan catalogue as far as quota decides by it. An account whose plan is not in it has the default one."""

    version: int
    default_plan: str
    limits: Mapping[str, Limits]

    def plan_in_force(self, assigned: str) -> str:
        return assigned if assigned in self.limits else self.default_plan


@dataclass(frozen=True, slots=True)
class Counts:
    """Prompts of one window: `used` are finished and charged, `reserved` are held open."""

    used: int
    reserved: int

    @property
    def taken(self) -> int:
        return self.used + self.reserved

    def remaining(self, limit: int | None) -> int | None:
        """What is left under `limit`: never negative, although a weaker plan may leave more taken than allowed."""
        return None if limit is None else max(limit - self.taken, 0)


@dataclass(frozen=True, slots=True)
class Windows:
    """The day and the month that a prompt counts in, with what they hold."""

    day: date
    month: date
    daily: Counts
    monthly: Counts


@dataclass(frozen=True, slots=True)
class Held:
    """A prompt is held. `assigned_plan` is the account's, `plan` the one in force when it was decided."""

    assigned_plan: str
    plan: str
    plans_version: int
    turn_id: UUID
    call: int
    windows: Windows
    is_replay: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """No prompt is held."""

    reason: Refusal
    assigned_plan: str
    plan: str
    windows: Windows


Decision = Held | Refused


def refusal(windows: Windows, limits: Limits, *, is_blocked: bool) -> Refusal:
    """Why a prompt that does not fit is refused; when both windows are spent, the day is named."""
    if is_blocked:
        return Refusal.TOKEN_BLOCKED
    return Refusal.DAILY_SPENT if windows.daily.remaining(limits.daily) == 0 else Refusal.MONTHLY_SPENT


@lru_cache(maxsize=64)
def day_resets_at(day: date) -> datetime:
    """The next UTC midnight."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


@lru_cache(maxsize=64)
def month_resets_at(month: date) -> datetime:
    """The first moment of the next UTC month."""
    is_december = month.month == DECEMBER
    return datetime(month.year + is_december, 1 if is_december else month.month + 1, 1, tzinfo=UTC)


class Objection(StrEnum):
    """Why a settlement changes nothing."""

    LATER = "later"
    NO_RESERVATION = "no_reservation"


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
    """One reservation with the settlement that wins so far, if there is any."""

    account_id: UUID
    request_id: UUID
    day: date
    month: date
    winner: Settlement | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A settlement that lost, for staff."""

    settlement: Settlement
    objection: Objection


@dataclass(frozen=True, slots=True)
class Change:
    """What a settlement adds to both windows of its reservation."""

    used: int = 0
    reserved: int = 0


def settle(hold: Hold, settlement: Settlement) -> tuple[Hold, Change, Conflict | None]:
    """The reservation after one more settlement. The lowest sequence wins, in whatever order they come.

    A redelivery of the winner changes nothing. A late one that was first in the stream takes the winner's place, and
    what the winner did is undone.
    """
    winner = hold.winner
    if winner is None:
        return replace(hold, winner=settlement), Change(used=int(settlement.is_charged), reserved=-1), None
    if settlement.sequence == winner.sequence:
        return hold, Change(), None
    if settlement.sequence > winner.sequence:
        return hold, Change(), Conflict(settlement, Objection.LATER)
    used = int(settlement.is_charged) - int(winner.is_charged)
    return replace(hold, winner=settlement), Change(used=used), Conflict(winner, Objection.LATER)


@dataclass(frozen=True, slots=True)
class Folded:
    """The effect of a batch of settlements: reservations with a new winner, changes per account and window, losers."""

    settled: Sequence[Hold]
    changes: Mapping[tuple[UUID, str, date], Change]
    conflicts: Sequence[Conflict]


def fold(holds: Iterable[Hold], settlements: Iterable[Settlement]) -> Folded:
    """All settlements of a batch, one after the other. One without its reservation invents no usage."""
    before = {(hold.account_id, hold.request_id): hold for hold in holds}
    after = dict(before)
    changes: dict[tuple[UUID, str, date], Change] = {}
    conflicts: list[Conflict] = []
    for settlement in settlements:
        key = (settlement.account_id, settlement.request_id)
        hold = after.get(key)
        if hold is None:
            conflicts.append(Conflict(settlement, Objection.NO_RESERVATION))
            continue
        after[key], change, conflict = settle(hold, settlement)
        if conflict is not None:
            conflicts.append(conflict)
        for window in ((hold.account_id, "day", hold.day), (hold.account_id, "month", hold.month)):
            so_far = changes.get(window, Change())
            changes[window] = Change(used=so_far.used + change.used, reserved=so_far.reserved + change.reserved)
    return Folded(
        settled=[hold for key, hold in after.items() if hold != before[key]],
        changes={window: change for window, change in changes.items() if change != Change()},
        conflicts=conflicts,
    )
