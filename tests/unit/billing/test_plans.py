"""The rules of plans and grants."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from billing.domain.subscriptions import (
    Change,
    Subscription,
    checked_plan,
    effective_from,
    of_day,
    of_month,
    opening_plan,
    standing,
)
from billing.errors import InThePast, UnknownPlan
from contracts.plans import Plan, PlanCatalogue

NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
A_SUBSCRIPTION = Subscription(uuid4(), "Anna's shop", "plus", 3, NOON)


def a_plan(name: str) -> Plan:
    return Plan(
        name=name,
        alias=f"alias-{name}",
        public_name=name,
        power="",
        best_fit="",
        daily_prompts=1,
        monthly_prompts=1,
    )


CATALOGUE = PlanCatalogue(version=1, default_plan="plus", plans=[a_plan("free"), a_plan("plus"), a_plan("pro")])


@pytest.mark.parametrize(("wanted", "plan"), [(None, "plus"), ("pro", "pro"), ("gold", "plus"), ("", "plus")])
def test_an_account_opens_with_the_plan_it_was_opened_for_or_the_default_one(wanted: str | None, plan: str) -> None:
    assert opening_plan(CATALOGUE, wanted) == plan


def test_an_unknown_plan_is_refused_with_the_list_of_plans() -> None:
    assert checked_plan(CATALOGUE, "pro") == "pro"
    with pytest.raises(UnknownPlan, match="`gold`; the plans are: free, plus, pro"):
        checked_plan(CATALOGUE, "gold")


def test_another_plan_is_the_next_revision_from_then_on() -> None:
    moved = A_SUBSCRIPTION.moved_to("pro", at=NOON + HOUR)
    assert (moved.plan, moved.revision, moved.effective_at) == ("pro", 4, NOON + HOUR)
    assert (moved.account_id, moved.name) == (A_SUBSCRIPTION.account_id, A_SUBSCRIPTION.name)


def test_the_same_plan_is_no_change() -> None:
    assert A_SUBSCRIPTION.moved_to("plus", at=NOON + HOUR) is A_SUBSCRIPTION
    assert A_SUBSCRIPTION.moved_to("plus", at=NOON) is A_SUBSCRIPTION


def test_a_pending_plan_can_be_brought_forward() -> None:
    brought = A_SUBSCRIPTION.moved_to("plus", at=NOON - HOUR)
    assert (brought.plan, brought.revision, brought.effective_at) == ("plus", 4, NOON - HOUR)


def test_a_change_takes_effect_now_or_later_and_never_before() -> None:
    assert effective_from(None, now=NOON) == NOON
    assert effective_from(NOON + HOUR, now=NOON) == NOON + HOUR
    with pytest.raises(InThePast, match="is over"):
        effective_from(NOON - HOUR, now=NOON)


def changes(*steps: tuple[str, int]) -> list[Subscription]:
    """Revisions from 1 with their plan and the hour they are effective at, counted from noon."""
    return [
        Subscription(A_SUBSCRIPTION.account_id, "Anna", plan, revision, NOON + hours * HOUR)
        for revision, (plan, hours) in enumerate(steps, start=1)
    ]


@pytest.mark.parametrize(
    ("steps", "now", "pending"),
    [
        ([("free", -9)], "free", []),
        ([("free", -9), ("pro", 5)], "free", ["pro"]),
        ([("free", -9), ("pro", 0)], "pro", []),
        ([("free", -9), ("pro", 5), ("plus", 2)], "free", ["plus"]),
        ([("free", -9), ("pro", 2), ("plus", 5)], "free", ["pro", "plus"]),
        ([("free", -9), ("pro", 5), ("max", 5)], "free", ["max"]),
        ([("free", -9), ("pro", 5), ("plus", -1)], "plus", []),
        ([("free", -1), ("pro", -3)], "pro", []),
        ([("free", 1)], "free", []),
    ],
)
def test_the_newest_effective_revision_holds_and_replaced_ones_never_will(
    steps: list[tuple[str, int]], now: str, pending: list[str]
) -> None:
    found = standing(changes(*steps), now=NOON)
    assert (found.now.plan, [change.plan for change in found.pending]) == (now, pending)


def test_a_day_and_a_month_begin_and_end_at_midnight_utc() -> None:
    assert of_day(date(2028, 2, 29)).ends_at == of_day(date(2028, 3, 1)).starts_at == datetime(2028, 3, 1, tzinfo=UTC)
    december = of_month(date(2026, 12, 31))
    assert (december.starts_at, december.ends_at) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert of_month(date(2027, 2, 1)).ends_at == datetime(2027, 3, 1, tzinfo=UTC)


def test_a_change_has_one_event_id_for_all_attempts() -> None:
    change = Change(A_SUBSCRIPTION.account_id, 4, "pro", NOON)
    assert change.event_id == f"{A_SUBSCRIPTION.account_id}:4"
