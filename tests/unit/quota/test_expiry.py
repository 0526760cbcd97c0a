"""What is told of a request whose gateway did not live to settle it."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from chassis.watched import load
from contracts.outcomes import Outcome
from contracts.plans import PlanCatalogue
from devstack.repository import PLANS
from quota.domain import Counts, Overdue, Windows, event_id, expired

CATALOGUE = load(PLANS, PlanCatalogue)
NOW = datetime(2026, 2, 28, 23, 59, 30, tzinfo=UTC)

OVERDUE = Overdue(
    account_id=UUID(int=1),
    request_id=UUID(int=2),
    token_id=UUID(int=3),
    turn_id=UUID(int=2),
    call=1,
    plan="pro",
    plans_version=4,
    alias="smart-route",
    endpoint="chat/completions",
    is_stream=True,
    trace_id="0af7651916cd43dd8448eb211c80319c",
    reserved_at=NOW - timedelta(seconds=90),
    lease_until=NOW - timedelta(seconds=1),
    now=NOW,
    is_drawn=False,
    is_grant_live=False,
    kept=None,
    windows=Windows(date(2026, 2, 28), date(2026, 2, 1), Counts(10, 3), Counts(29_999, 4), extra=0),
)


def test_it_says_all_that_was_kept_with_the_reservation() -> None:
    settled = expired(OVERDUE, CATALOGUE, settled_by="quota-1")
    assert (settled.outcome, settled.prompts, settled.settled_by) == (Outcome.EXPIRED, 0, "quota-1")
    assert (settled.request_id, settled.account_id, settled.token_id) == (UUID(int=2), UUID(int=1), UUID(int=3))
    assert (settled.plan, settled.plans_version, settled.trace_id) == ("pro", 4, OVERDUE.trace_id)
    assert (settled.alias_asked, settled.alias_served) == ("smart-route", "smart-route")
    assert (settled.day, settled.month) == (date(2026, 2, 28), date(2026, 2, 1))
    assert (settled.started_at, settled.ended_at, settled.timings.total_ms) == (OVERDUE.reserved_at, NOW, 90_000)
    assert (settled.tokens.source, settled.target, settled.attempts) == ("none", None, 0)
    assert event_id(OVERDUE) == f"expired:{OVERDUE.request_id}"


@pytest.mark.parametrize(
    ("plan", "asked", "told", "served"),
    [
        ("free", "smart-route-ultra", "smart-route-ultra", "smart-route-mini"),
        ("pro", "smart-route-mini", "smart-route-mini", "smart-route-mini"),
        ("pro", "", "smart-route-deep", "smart-route-deep"),
        ("golden", "left-the-catalogue", "left-the-catalogue", "smart-route-mini"),
    ],
)
def test_the_alias_is_the_one_that_the_plan_serves(plan: str, asked: str, told: str, served: str) -> None:
    settled = expired(replace(OVERDUE, plan=plan, alias=asked), CATALOGUE, settled_by="quota-1")
    assert (settled.plan, settled.alias_asked, settled.alias_served) == (plan, told, served)


def test_its_windows_are_those_of_now_without_its_own_prompt() -> None:
    settled = expired(OVERDUE, CATALOGUE, settled_by="quota-1")
    assert settled.daily is not None
    assert settled.monthly is not None
    assert (settled.daily.limit, settled.daily.used, settled.daily.remaining) == (3000, 12, 2988)
    assert settled.daily.resets_at == datetime(2026, 3, 1, tzinfo=UTC)
    # More is taken than a month of this plan allows, from a stronger plan before.
    assert (settled.monthly.limit, settled.monthly.used, settled.monthly.remaining) == (30_000, 30_002, 0)


def test_a_continuation_gives_no_prompt_back() -> None:
    settled = expired(replace(OVERDUE, turn_id=UUID(int=9), call=4), CATALOGUE, settled_by="quota-1")
    assert (settled.turn_id, settled.call, settled.outcome) == (UUID(int=9), 4, Outcome.EXPIRED)
    assert settled.daily is not None
    assert (settled.daily.used, settled.daily.remaining) == (13, 2987)


@pytest.mark.parametrize(("is_grant_live", "limit", "remaining"), [(True, 3002, 2), (False, 3001, 1)])
def test_a_drawn_prompt_goes_back_to_its_grant_while_that_lives(
    is_grant_live: bool, limit: int, remaining: int
) -> None:
    windows = Windows(date(2026, 2, 28), date(2026, 2, 1), Counts(3000, 1, 1), Counts(3000, 1, 1), extra=1)
    overdue = replace(OVERDUE, is_drawn=True, is_grant_live=is_grant_live, windows=windows)
    daily = expired(overdue, CATALOGUE, settled_by="quota-1").daily
    assert daily is not None
    assert (daily.limit, daily.used, daily.remaining) == (limit, 3000, remaining)


def test_an_unlimited_plan_has_no_limits_after_it_either() -> None:
    settled = expired(replace(OVERDUE, plan="unlimited"), CATALOGUE, settled_by="quota-1")
    assert settled.daily is not None
    assert (settled.daily.limit, settled.daily.used, settled.daily.remaining) == (None, 12, None)
