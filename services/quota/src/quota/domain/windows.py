"""What a day or a month of an account holds, what is left of it, and when it ends."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Counts:
    """Prompts of one window: `used` are finished and charged, `reserved` held open; `drawn` of both are a grant's."""

    used: int
    reserved: int
    drawn: int = 0

    @property
    def taken(self) -> int:
        return self.used + self.reserved

    def room(self, limit: int | None) -> int | None:
        """What the plan itself has left under `limit`; drawn prompts take nothing of it.

        Never negative, although a weaker plan may leave more taken than allowed.
        """
        return None if limit is None else max(limit - (self.taken - self.drawn), 0)


@dataclass(frozen=True, slots=True)
class Windows:
    """The day and the month that a prompt counts in, with what they hold; `extra` are prompts left in live grants."""

    day: date
    month: date
    daily: Counts
    monthly: Counts
    extra: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """A window as it is told: `granted` of the limit are extra prompts, left to draw or drawn in it."""

    limit: int | None
    granted: int
    remaining: int | None


def allowance(counts: Counts, limit: int | None, *, extra: int) -> Allowance:
    """What a window allows. `taken + remaining == limit`, unless a weaker plan left more taken than it allows."""
    room = counts.room(limit)
    if limit is None or room is None:
        return Allowance(None, 0, None)
    granted = counts.drawn + extra
    return Allowance(limit + granted, granted, room + extra)


@lru_cache(maxsize=64)
def day_resets_at(day: date) -> datetime:
    """The next UTC midnight."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


@lru_cache(maxsize=64)
def month_resets_at(month: date) -> datetime:
    """The first moment of the next UTC month."""
    is_december = month.month == DECEMBER
    return datetime(month.year + is_december, 1 if is_december else month.month + 1, 1, tzinfo=UTC)
