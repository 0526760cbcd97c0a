"""Wishes for a larger plan: when one may be made, and what can become of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from billing.errors import NotLarger, UpgradeDecided
from contracts.plans import PlanCatalogue

Refusal = Literal["unknown_plan", "not_larger", "not_for_sale"]
# Says of the plan that an account has why a wish cannot be fulfilled; None: it can.
Check = Callable[[str], Refusal | None]


class State(StrEnum):
    """`pending` is the only one that anything can follow."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """Where a wish can be paid, and what is asked there, in the smallest unit of the currency (None: not told)."""

    reference: str
    url: str
    amount: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """An account wants `plan`. `actor` and `reason` are those of the decision.

    `payment_*`: the page that it can be paid at, and once it was, the subscription at the provider that pays for
    `payment_plan` until `payment_ended_at`.
    """

    upgrade_id: UUID
    account_id: UUID
    plan: str
    state: str
    requested_at: datetime
    decided_at: datetime | None = None
    actor: str = ""
    reason: str = ""
    payment_reference: str | None = None
    payment_url: str | None = None
    payment_amount: int | None = None
    payment_currency: str | None = None
    payment_subscription: str | None = None
    payment_plan: str | None = None
    payment_told_at: datetime | None = None
    payment_ended_at: datetime | None = None

    @property
    def is_pending(self) -> bool:
        return self.state == State.PENDING

    def decided(self, state: State, *, at: datetime, actor: str, reason: str = "") -> "Wish":
        """The wish as it is after a decision. Raises `UpgradeDecided` when there was one before."""
        if not self.is_pending or state == State.PENDING:
            raise UpgradeDecided(self.upgrade_id, self.state)
        # A page that leads to nothing any more is shown to nobody.
        return replace(self, state=state.value, decided_at=at, actor=actor, reason=reason, payment_url=None)


def new_wish(
    upgrade_id: UUID, account_id: UUID, *, plan: str, requested_at: datetime, page: PaymentPage | None = None
) -> Wish:
    wish = Wish(upgrade_id, account_id, plan, State.PENDING.value, requested_at)
    if page is None:
        return wish
    return replace(
        wish,
        payment_reference=page.reference,
        payment_url=page.url,
        payment_amount=page.amount,
        payment_currency=page.currency,
    )


def is_larger(catalogue: PlanCatalogue, wanted: str, *, than: str) -> bool:
    """Whether `wanted` is a plan above `than`. A plan that left the catalogue is below all."""
    names = catalogue.names
    return wanted in names and (than not in names or names.index(wanted) > names.index(than))


def refusal(catalogue: PlanCatalogue, *, wanted: str, holds: str, sells: Callable[[str], bool]) -> Refusal | None:
    """Why a wish cannot be fulfilled; None: it can."""
    if wanted not in catalogue.names:
        return "unknown_plan"
    if not is_larger(catalogue, wanted, than=holds):
        return "not_larger"
    return None if sells(wanted) else "not_for_sale"


def checked_larger(catalogue: PlanCatalogue, wanted: str, *, holds: str) -> None:
    """Raises `NotLarger` for a plan that would take something away from who approves it in good faith."""
    if not is_larger(catalogue, wanted, than=holds):
        raise NotLarger(wanted, holds)
