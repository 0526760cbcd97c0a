"""Plans and grants: what an account opens with, what a change makes of it, and for how long extra prompts are there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from billing.errors import InThePast, UnknownPlan
from contracts.plans import PlanCatalogue


@dataclass(frozen=True, slots=True)
class Subscription:
    """An account has `plan` from `effective_at` on; `revision` counts its changes from 1.

    At any moment the newest revision that is effective holds: a later change for an earlier time replaces a pending
    one.
    """

    account_id: UUID
    name: str
    plan: str
    revision: int
    effective_at: datetime

    def moved_to(self, plan: str, *, at: datetime) -> "Subscription":
        """The next revision. What is so already at that time is no change: the same revision comes back."""
        if plan == self.plan and self.effective_at <= at:
            return self
        return replace(self, plan=plan, revision=self.revision + 1, effective_at=at)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account has now, and the changes to come in the order of their time."""

    now: Subscription
    pending: tuple[Subscription, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One revision of a subscription as it is told to the other services."""

    account_id: UUID
    revision: int
    plan: str
    effective_at: datetime

    @property
    def event_id(self) -> str:
        """The same for every attempt to publish it, so that the stream keeps one."""
        return f"{self.account_id}:{self.revision}"


@dataclass(frozen=True, slots=True)
class Grant:
    """Extra prompts of an account, to be used from `starts_at` until before `ends_at`."""

    grant_id: UUID
    account_id: UUID
    prompts: int
    starts_at: datetime
    ends_at: datetime
    actor: str
    reason: str

    @property
    def event_id(self) -> str:
        """The same for every attempt to publish it, so that the stream keeps one."""
        return str(self.grant_id)


@dataclass(frozen=True, slots=True)
class Span:
    """From `starts_at` (None: from now on) until before `ends_at`."""

    starts_at: datetime | None
    ends_at: datetime


def opening_plan(catalogue: PlanCatalogue, wanted: str | None) -> str:
    """The plan that a new account starts with: the one it was opened for, if there is such a plan."""
    return wanted if wanted is not None and wanted in catalogue.names else catalogue.default_plan


def checked_plan(catalogue: PlanCatalogue, name: str) -> str:
    """`name`, if it is a plan. Raises `UnknownPlan`, which lists them."""
    if name not in catalogue.names:
        raise UnknownPlan(name, catalogue.names)
    return name


def effective_from(wanted: datetime | None, *, now: datetime) -> datetime:
    """When a change takes effect: now, or later. Raises `InThePast`: what was decided then stays decided."""
    if wanted is not None and wanted < now:
        raise InThePast(wanted, now)
    return wanted or now


def of_day(day: date) -> Span:
    """A UTC day, from midnight to midnight."""
    midnight = _midnight(day)
    return Span(midnight, midnight + timedelta(days=1))


def of_month(day: date) -> Span:
    """The UTC month of a day."""
    first = day.replace(day=1)
    return Span(_midnight(first), _midnight((first + timedelta(days=31)).replace(day=1)))


def until(ends_at: datetime) -> Span:
    return Span(None, ends_at)


def standing(changes: Sequence[Subscription], *, now: datetime) -> Standing:
    """What holds of all changes of one account. One that a newer change for the same or an earlier time replaced before
    it came into force is not among those to come."""
    effective = [change for change in changes if change.effective_at <= now]
    # Whoever opened with a clock ahead of ours has that plan all the same: there is none before it.
    holds = max(effective or changes[:1], key=lambda change: change.revision)
    pending: list[Subscription] = []
    for change in sorted(changes, key=lambda change: (change.effective_at, -change.revision)):
        if change.effective_at > now and change.revision > max(other.revision for other in (holds, *pending)):
            pending.append(change)
    return Standing(holds, tuple(pending))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
