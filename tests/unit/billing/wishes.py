"""Wishes, notices and a catalogue for the tests of upgrades and payments."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from billing.domain.payments import Fact, Known, Notice, Paid
from billing.domain.upgrades import PaymentPage, Wish, new_wish
from contracts.plans import Plan, PlanCatalogue

ANNA, WISH = UUID(int=1), UUID(int=9)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
PAGE = PaymentPage("cs_1", "https://pay.example.com/cs_1", 2900, "eur")


def a_plan(name: str) -> Plan:
    return Plan(
        name=name, alias=f"alias-{name}", public_name=name, power="", best_fit="", daily_prompts=1, monthly_prompts=1
    )


CATALOGUE = PlanCatalogue(
    version=1, default_plan="free", plans=[a_plan(name) for name in ("free", "plus", "pro", "max")]
)


def a_wish(plan: str = "pro", **given: object) -> Wish:
    """A pending one with a page, as far as `given` says nothing else."""
    wish = new_wish(WISH, ANNA, plan=plan, requested_at=NOON, page=PAGE)
    return replace(wish, **given)  # type: ignore[arg-type]


def a_paid_wish(plan: str = "pro", **given: object) -> Wish:
    paid = {"state": "approved", "decided_at": NOON, "actor": "stripe:evt_1", "payment_url": None}
    paying = {"payment_subscription": "sub_1", "payment_plan": plan, "payment_told_at": NOON}
    return a_wish(plan, **(paid | paying | given))


def a_payment(**given: object) -> Paid:
    """Of the page of `a_wish`, all of it."""
    paid = Paid("cs_1", "sub_1", 2900, "eur", upgrade=str(WISH), account=str(ANNA))
    return replace(paid, **given)  # type: ignore[arg-type]


def a_notice(fact: Fact | None, *, number: int = 2, seconds: float = 60) -> Notice:
    return Notice("stripe", f"evt_{number}", "some.kind", NOON + timedelta(seconds=seconds), fact)


def known(wish: Wish, *, holds: str = "free", is_only_payer: bool = True, was_early: bool = False) -> Known:
    return Known(wish, holds, CATALOGUE, is_only_payer=is_only_payer, was_early=was_early)
