"""Why a prompt is refused, what a window allows, and the bucket of requests a minute."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quota.domain import (
    Counts,
    Limits,
    Refusal,
    Standing,
    Terms,
    Windows,
    allowance,
    day_resets_at,
    month_resets_at,
    refill_microseconds,
    refusal,
    refused,
)
from quota.domain.speed import MINUTE_MICROSECONDS, bucket_room, retry_after_seconds

DAY, MONTH = date(2026, 2, 28), date(2026, 2, 1)
LIMITS = Limits(5, 8, in_flight=3, requests_per_minute=4)
RATES = st.integers(1, 200_000)


def standing(
    *,
    daily: int = 0,
    monthly: int = 0,
    extra: int = 0,
    in_flight: int = 0,
    is_blocked: bool = False,
    is_suspended: bool = False,
    is_riding: bool = False,
) -> Standing:
    windows = Windows(DAY, MONTH, Counts(daily, 0), Counts(monthly, 0), extra)
    return Standing(windows, in_flight, 4 * 15_000_000, is_blocked, is_suspended, is_riding)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (standing(daily=5, monthly=8, in_flight=3, is_blocked=True, is_suspended=True), Refusal.TOKEN_BLOCKED),
        (standing(daily=5, monthly=8, in_flight=3, is_suspended=True), Refusal.ACCOUNT_SUSPENDED),
        (standing(daily=5, monthly=8, in_flight=3), Refusal.DAILY_SPENT),
        (standing(daily=1, monthly=8, in_flight=3), Refusal.MONTHLY_SPENT),
        (standing(daily=5, monthly=8, in_flight=3, extra=1), Refusal.TOO_MANY_IN_FLIGHT),
        (standing(in_flight=3), Refusal.TOO_MANY_IN_FLIGHT),
        (standing(in_flight=2), Refusal.TOO_MANY_A_MINUTE),
        (standing(daily=5, in_flight=3, is_riding=True, is_suspended=True), Refusal.ACCOUNT_SUSPENDED),
        (standing(daily=5, in_flight=3, is_riding=True), Refusal.TOO_MANY_IN_FLIGHT),
        (standing(daily=5, in_flight=2, is_riding=True), Refusal.TOO_MANY_A_MINUTE),
    ],
)
def test_a_refusal_names_the_token_the_account_the_day_the_month_and_only_then_the_speed(
    found: Standing, reason: Refusal
) -> None:
    assert refusal(found, LIMITS) is reason


def test_an_unlimited_day_is_never_what_binds() -> None:
    assert refusal(standing(daily=99, monthly=8), Limits(None, 8)) is Refusal.MONTHLY_SPENT


def test_a_refusal_for_speed_says_which_limit_was_met_and_when_to_try_again() -> None:
    in_flight = refused(standing(in_flight=3), LIMITS, assigned_plan="free", plan="free")
    a_minute = refused(standing(), LIMITS, assigned_plan="free", plan="free")
    spent = refused(standing(daily=5), LIMITS, assigned_plan="free", plan="free")
    assert (in_flight.speed_limit, in_flight.retry_after_seconds) == (3, 1.0)
    assert (a_minute.speed_limit, a_minute.retry_after_seconds) == (4, 15.0)
    assert (spent.speed_limit, spent.retry_after_seconds) == (None, None)


@given(
    used=st.integers(0, 1000),
    reserved=st.integers(0, 1000),
    drawn=st.integers(0, 2000),
    limit=st.integers(0, 1000),
    extra=st.integers(0, 50),
)
def test_what_is_taken_and_what_remains_is_the_limit_unless_a_weaker_plan_came(
    used: int, reserved: int, drawn: int, limit: int, extra: int
) -> None:
    counts = Counts(used, reserved, min(drawn, used + reserved))
    told = allowance(counts, limit, extra=extra)
    assert told.limit is not None
    assert told.remaining is not None
    assert told.remaining >= extra
    assert told.limit == limit + told.granted
    is_overdrawn = counts.taken - counts.drawn > limit
    assert is_overdrawn or counts.taken + told.remaining == told.limit


def test_without_a_limit_nothing_remains_to_be_counted_and_nothing_is_granted() -> None:
    told = allowance(Counts(3, 2, 1), None, extra=4)
    assert (told.limit, told.granted, told.remaining) == (None, 0, None)


@given(rate=RATES)
def test_a_full_bucket_holds_exactly_its_number_and_takes_a_minute_to_fill(rate: int) -> None:
    refill = refill_microseconds(rate)
    assert bucket_room(0, rate) == rate
    assert bucket_room((rate - 1) * refill, rate) == 1
    assert bucket_room((rate - 1) * refill + 1, rate) == 0
    assert MINUTE_MICROSECONDS <= rate * refill < MINUTE_MICROSECONDS + rate


@given(rate=RATES, debt=st.integers(0, 2 * MINUTE_MICROSECONDS))
def test_after_the_time_that_is_named_there_is_one_request_and_not_a_microsecond_sooner(rate: int, debt: int) -> None:
    wait = round(retry_after_seconds(debt, rate) * 1e6)
    assert bucket_room(debt - wait, rate) >= 1
    if wait:
        assert bucket_room(debt, rate) == 0
        assert bucket_room(debt - wait + 1, rate) == 0


@given(rate=st.integers(1, 500), gaps=st.lists(st.integers(0, 30_000_000), max_size=200))
def test_a_bucket_never_gives_more_than_itself_and_what_came_back(rate: int, gaps: list[int]) -> None:
    """One request after each gap: admitted are never more than the bucket plus one for each whole refill."""
    refill, now, full_at, admitted = refill_microseconds(rate), 0, 0, 0
    for gap in gaps:
        now += gap
        if bucket_room(full_at - now, rate):
            full_at = max(full_at, now) + refill
            admitted += 1
    assert admitted <= rate + now // refill


@pytest.mark.parametrize(
    ("month", "resets_at"),
    [
        (date(2026, 1, 1), datetime(2026, 2, 1, tzinfo=UTC)),
        (date(2026, 12, 1), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_month_ends_when_the_next_begins(month: date, resets_at: datetime) -> None:
    assert month_resets_at(month) == resets_at


def test_a_day_ends_at_the_next_midnight_also_in_a_leap_year() -> None:
    assert day_resets_at(date(2028, 2, 28)) == datetime(2028, 2, 29, tzinfo=UTC)
    assert day_resets_at(date(2026, 12, 31)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_plan_that_left_the_catalogue_is_replaced_by_the_default() -> None:
    terms = Terms(1, "free", {"free": Limits(1, 1), "pro": Limits(2, 2)})
    assert terms.plan_in_force("pro") == "pro"
    assert terms.plan_in_force("golden") == "free"
