"""The rules of billing."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from billing.domain import Change, Subscription, checked_plan, opening_plan
from billing.errors import UnknownPlan
from contracts.plans import Plan, PlanCatalogue

NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
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


def test_another_plan_is_the_next_revision_from_now_on() -> None:
    later = NOON + timedelta(hours=1)
    moved = A_SUBSCRIPTION.moved_to("pro", at=later)
    assert (moved.plan, moved.revision, moved.effective_at) == ("pro", 4, later)
    assert (moved.account_id, moved.name) == (A_SUBSCRIPTION.account_id, A_SUBSCRIPTION.name)


def test_the_same_plan_is_no_change() -> None:
    assert A_SUBSCRIPTION.moved_to("plus", at=NOON + timedelta(hours=1)) is A_SUBSCRIPTION


def test_a_clock_that_stepped_back_does_not_turn_the_order_of_revisions_around() -> None:
    assert A_SUBSCRIPTION.moved_to("pro", at=NOON - timedelta(hours=1)).effective_at == NOON


def test_a_change_has_one_event_id_for_all_attempts() -> None:
    change = Change(A_SUBSCRIPTION.account_id, 4, "pro", NOON)
    assert change.event_id == f"{A_SUBSCRIPTION.account_id}:4"
