"""What billing decides, without I/O: which plan an account opens with, and what a change of plan makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from billing.errors import UnknownPlan
from contracts.gateway import RequestSettled
from contracts.plans import PlanCatalogue


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a request with its place in the REQUESTS stream, the order that decides which one was first."""

    settled: RequestSettled
    sequence: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """An account has `plan` since `effective_at`; `revision` counts its changes from 1."""

    account_id: UUID
    name: str
    plan: str
    revision: int
    effective_at: datetime

    def moved_to(self, plan: str, *, at: datetime) -> "Subscription":
        """The next revision. The plan that the account has already is no change: the same revision comes back."""
        if plan == self.plan:
            return self
        # A clock that stepped back must not let an older revision look newer.
        return replace(self, plan=plan, revision=self.revision + 1, effective_at=max(at, self.effective_at))


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
class Recorded:
    """What became of a batch of settlements.

    `ages_seconds` has one entry per new ledger line: from the end of the request to its line. `late_firsts` are the
    conflicts that stand before the recorded winner in the stream: they arrived too late to win.
    """

    ages_seconds: Sequence[float]
    conflicts: int
    late_firsts: Sequence[UUID]


def opening_plan(catalogue: PlanCatalogue, wanted: str | None) -> str:
    """The plan that a new account starts with: the one it was opened for, if there is such a plan."""
    return wanted if wanted is not None and wanted in catalogue.names else catalogue.default_plan


def checked_plan(catalogue: PlanCatalogue, name: str) -> str:
    """`name`, if it is a plan. Raises `UnknownPlan`, which lists them."""
    if name not in catalogue.names:
        raise UnknownPlan(name, catalogue.names)
    return name
