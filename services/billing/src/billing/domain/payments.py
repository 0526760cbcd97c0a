"""What a payment provider's notice does to a wish and to a plan.

A plan comes from what we wrote into the wish when its payment page was made, never from what a notice says by itself.
What does not fit is left to staff. Notices come more than once and in any order: each decision rests on the wish as it
is, and on the time that the notice was told at.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from billing.domain.upgrades import State, Wish, is_larger
from contracts.plans import PlanCatalogue


class Effect(StrEnum):
    """What a notice did here. `early`: it is about a subscription whose payment we have not been told of."""

    NONE = "none"
    APPROVED = "approved"
    DECLINED = "declined"
    PLAN_CHANGED = "plan_changed"
    ENDED = "ended"
    EARLY = "early"
    FOR_STAFF = "for_staff"


@dataclass(frozen=True, slots=True)
class Paid:
    """The page `reference` was paid; `subscription` goes on paying. `upgrade` and `account` are what is claimed."""

    reference: str
    subscription: str | None
    amount: int | None
    currency: str | None
    upgrade: str | None
    account: str | None


@dataclass(frozen=True, slots=True)
class NotPaid:
    """Nobody will pay at the page `reference` any more."""

    reference: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """`subscription` pays no longer."""

    subscription: str
    upgrade: str | None


@dataclass(frozen=True, slots=True)
class Priced:
    """`subscription` pays for `plan` now; None: for something that is no plan of ours."""

    subscription: str
    plan: str | None
    upgrade: str | None


Fact = Paid | NotPaid | Ended | Priced


@dataclass(frozen=True, slots=True)
class Notice:
    """One genuine notice. `fact` is None where it says nothing that matters here."""

    provider: str
    event_id: str
    kind: str
    told_at: datetime
    fact: Fact | None

    @property
    def actor(self) -> str:
        return f"{self.provider}:{self.event_id}"

    @property
    def subject(self) -> str:
        """The page or subscription that it is about; empty where that does not matter."""
        match self.fact:
            case Paid(reference=reference) | NotPaid(reference=reference):
                return reference
            case Ended(subscription=subscription) | Priced(subscription=subscription):
                return subscription
            case None:
                return ""


@dataclass(frozen=True, slots=True)
class Known:
    """What we know when a notice comes: the wish that it is about, the plan that its account has, the default plan.

    `is_only_payer`: no other subscription pays for the account. `was_early`: its subscription ended or changed before.
    """

    wish: Wish
    holds: str
    catalogue: PlanCatalogue
    is_only_payer: bool = True
    was_early: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to write: the wish as it is now, and the plan to move the account to."""

    effect: Effect
    note: str = ""
    wish: Wish | None = None
    plan: str | None = None


def decide_unknown(fact: Fact) -> Verdict:
    """For a notice that is about no wish of ours: others may use the same account at the provider."""
    if isinstance(fact, Paid) and (fact.upgrade or fact.account):
        return Verdict(Effect.FOR_STAFF, f"paid, but no wish has the page {fact.reference}")
    return Verdict(Effect.NONE, "about nothing of ours")


def decide(notice: Notice, known: Known, *, at: datetime) -> Verdict:
    """What a notice does to the wish that it is about."""
    match notice.fact:
        case Paid() as fact:
            return _paid(notice, fact, known, at)
        case NotPaid(reason=reason):
            if not known.wish.is_pending:
                return Verdict(Effect.NONE, f"the wish is {known.wish.state}")
            declined = known.wish.decided(State.DECLINED, at=at, actor=notice.actor, reason=reason)
            return Verdict(Effect.DECLINED, reason, declined)
        case Ended() as ended:
            return _ended(notice, ended, known)
        case Priced() as priced:
            return _priced(notice, priced, known)
        case None:
            return Verdict(Effect.NONE)


def _paid(notice: Notice, fact: Paid, known: Known, at: datetime) -> Verdict:
    wish = known.wish
    if wish.state == State.APPROVED and fact.subscription and wish.payment_subscription == fact.subscription:
        return Verdict(Effect.NONE, "known already")
    if (fault := _fault(fact, known)) is not None:
        return Verdict(Effect.FOR_STAFF, fault)
    approved = replace(
        wish.decided(State.APPROVED, at=at, actor=notice.actor, reason="paid"),
        payment_subscription=fact.subscription,
        payment_plan=wish.plan,
        payment_told_at=notice.told_at,
    )
    return Verdict(Effect.APPROVED, "", approved, wish.plan)


def _fault(fact: Paid, known: Known) -> str | None:
    """Why a payment is not what the wish was about."""
    wish = known.wish
    asked = (wish.payment_amount, wish.payment_currency)
    faults = {
        "the notice names another wish": not _same(fact.upgrade, wish.upgrade_id),
        "the notice names another account": not _same(fact.account, wish.account_id),
        f"paid, but the wish is {wish.state}": not wish.is_pending,
        "paid, but by no subscription": not fact.subscription,
        f"{fact.amount} {fact.currency} were paid, {asked[0]} {asked[1]} were asked": not _is_enough(fact, wish),
        "its subscription ended or changed before it was told": known.was_early,
        f"{wish.plan} is not above {known.holds}": not is_larger(known.catalogue, wish.plan, than=known.holds),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def _ended(notice: Notice, fact: Ended, known: Known) -> Verdict:
    wish = known.wish
    if wish.payment_subscription != fact.subscription:
        return Verdict(Effect.EARLY, f"{fact.subscription} has paid for nothing yet")
    if wish.payment_ended_at is not None:
        return Verdict(Effect.NONE, "known already")
    ended = replace(wish, payment_ended_at=notice.told_at, payment_told_at=notice.told_at)
    if known.holds != wish.payment_plan or not known.is_only_payer:
        return Verdict(Effect.ENDED, f"{known.holds} was given otherwise, and stays", ended)
    return Verdict(Effect.ENDED, "", ended, known.catalogue.default_plan)


def _priced(notice: Notice, fact: Priced, known: Known) -> Verdict:
    wish = known.wish
    if wish.payment_subscription != fact.subscription:
        # A subscription becomes active before its page is told as paid: that alone is nothing early.
        is_early = wish.is_pending and fact.plan != wish.plan
        return Verdict(Effect.EARLY if is_early else Effect.NONE, f"{fact.subscription} has paid for nothing yet")
    if wish.payment_ended_at is not None or fact.plan == wish.payment_plan:
        return Verdict(Effect.NONE, "known already")
    if wish.payment_told_at is not None and notice.told_at < wish.payment_told_at:
        return Verdict(Effect.NONE, "older than what is known")
    if fact.plan is None or fact.plan not in known.catalogue.names:
        return Verdict(Effect.FOR_STAFF, "its price is that of no plan")
    if known.holds != wish.payment_plan or not known.is_only_payer:
        return Verdict(Effect.FOR_STAFF, f"pays for {fact.plan}, but {known.holds} was given otherwise")
    priced = replace(wish, payment_plan=fact.plan, payment_told_at=notice.told_at)
    return Verdict(Effect.PLAN_CHANGED, "", priced, fact.plan)


def _is_enough(fact: Paid, wish: Wish) -> bool:
    if fact.amount is None or fact.amount <= 0:
        return False
    return wish.payment_amount is None or (
        fact.amount >= wish.payment_amount and fact.currency == wish.payment_currency
    )


def _same(said: str | None, ours: UUID) -> bool:
    return said == str(ours)
