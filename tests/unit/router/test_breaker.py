"""When a target is set aside, and for how long."""

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import AttemptFinished
from router.domain import breaker
from router.domain.breaker import HEALTHY, Health

Result = Literal["ok", "connect_failed", "timed_out", "http_error", "rate_limited", "refused_key", "broken"]
FAILURES: tuple[Result, ...] = ("connect_failed", "timed_out", "http_error", "rate_limited", "broken")


def attempt(result: Result, *, retry_after: float | None = None) -> AttemptFinished:
    return AttemptFinished(target="a", result=result, retry_after_seconds=retry_after)


def after_all(health: Health, *results: Result, now: float = 0.0) -> Health:
    for result in results:
        health = breaker.after(health, attempt(result), now=now)
    return health


def set_aside(*, now: float = 0.0) -> Health:
    return after_all(HEALTHY, "timed_out", "timed_out", "timed_out", now=now)


@pytest.mark.parametrize("failure", FAILURES)
def test_the_third_failure_in_a_row_sets_a_target_aside_for_one_second(failure: Result) -> None:
    twice = after_all(HEALTHY, failure, failure, now=7.0)
    assert not twice.is_set_aside
    assert breaker.after(twice, attempt(failure), now=7.0).until == 8.0


def test_a_success_between_failures_starts_the_count_again() -> None:
    health = after_all(HEALTHY, "broken", "broken", "ok", "broken", "broken")
    assert not health.is_set_aside


def test_a_target_that_fails_more_often_than_not_is_set_aside_without_three_in_a_row() -> None:
    health = HEALTHY
    seen = 0
    while not health.is_set_aside and seen < 100:
        result: Result = "ok" if seen % 3 == 2 else "http_error"
        health = breaker.after(health, attempt(result), now=0.0)
        seen += 1
    assert seen >= breaker.ATTEMPTS_TO_JUDGE
    assert health.success < breaker.SUCCESS_FLOOR
    assert health.failures_in_a_row < breaker.FAILURES_IN_A_ROW


def test_a_bad_rate_is_no_reason_before_ten_attempts() -> None:
    bad = Health(success=0.3, attempts=8)
    ninth = breaker.after(bad, attempt("broken"), now=0.0)
    assert not ninth.is_set_aside
    assert breaker.after(ninth, attempt("broken"), now=0.0).is_set_aside


def test_each_failed_probe_doubles_the_time_up_to_thirty_seconds() -> None:
    health = set_aside(now=0.0)
    periods: list[float] = []
    for _ in range(7):
        now = health.until or 0.0
        health = breaker.after(breaker.probing(health, now=now), attempt("timed_out"), now=now)
        periods.append((health.until or 0.0) - now)
    assert periods == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_the_first_byte_of_a_probe_takes_the_target_back_and_its_failures_are_not_forgotten() -> None:
    health = breaker.probing(set_aside(now=0.0), now=1.0)
    back = breaker.answering(health, now=1.2)
    assert not back.is_set_aside
    assert back.failures_in_a_row == 0
    assert back.success == pytest.approx(0.9 * health.success + 0.1)


def test_a_first_byte_before_the_time_is_over_takes_nothing_back() -> None:
    health = set_aside(now=0.0)
    assert breaker.answering(health, now=0.9) == health


@pytest.mark.parametrize("now", [0.9, 1.2, 60.0])
def test_the_end_of_an_answer_that_began_before_the_trouble_takes_nothing_back(now: float) -> None:
    health = set_aside(now=0.0)
    assert breaker.after(health, attempt("ok"), now=now) == health


def test_what_a_target_failed_at_is_forgiven_with_time() -> None:
    assert breaker.forgiven(0.4, idle_seconds=0.0) == pytest.approx(0.4)
    assert breaker.forgiven(0.4, idle_seconds=breaker.FORGIVING_SECONDS) == pytest.approx(1 - 0.6 / math.e)
    assert breaker.forgiven(0.4, idle_seconds=3600.0) == pytest.approx(1.0)
    assert breaker.forgiven(1.0, idle_seconds=5.0) == 1.0


def test_requests_that_fail_together_count_once() -> None:
    health = set_aside(now=0.0)
    assert after_all(health, *FAILURES, *FAILURES, now=0.5) == health


@pytest.mark.parametrize("result", ["rate_limited", "http_error"])
def test_retry_after_is_obeyed_at_the_first_failure(result: Result) -> None:
    health = breaker.after(HEALTHY, attempt(result, retry_after=17.0), now=3.0)
    assert health.until == 20.0


def test_retry_after_wins_over_the_doubled_time() -> None:
    health = breaker.probing(set_aside(now=0.0), now=1.0)
    assert breaker.after(health, attempt("rate_limited", retry_after=120.0), now=1.0).until == 121.0


def test_retry_after_prolongs_a_time_that_runs_and_never_shortens_it() -> None:
    health = breaker.after(HEALTHY, attempt("rate_limited", retry_after=20.0), now=0.0)
    assert breaker.after(health, attempt("rate_limited", retry_after=5.0), now=1.0).until == 20.0
    assert breaker.after(health, attempt("rate_limited", retry_after=50.0), now=1.0).until == 51.0


def test_an_absurd_retry_after_is_capped() -> None:
    health = breaker.after(HEALTHY, attempt("rate_limited", retry_after=86_400.0), now=0.0)
    assert health.until == breaker.LONGEST_RETRY_AFTER_SECONDS


@pytest.mark.parametrize("seconds", [0.0, -5.0, math.nan])
def test_a_retry_after_that_asks_for_nothing_is_an_ordinary_failure(seconds: float) -> None:
    health = breaker.after(HEALTHY, attempt("rate_limited", retry_after=seconds), now=0.0)
    assert not health.is_set_aside
    assert health.failures_in_a_row == 1


def test_one_refused_key_sets_a_target_aside_for_a_minute() -> None:
    health = breaker.after(HEALTHY, attempt("refused_key", retry_after=1.0), now=5.0)
    assert health.until == 65.0


def test_a_target_is_due_for_a_probe_when_its_time_is_over_and_no_probe_is_out() -> None:
    health = set_aside(now=0.0)
    assert not health.is_due(0.99)
    assert health.is_due(1.0)
    out = breaker.probing(health, now=1.0)
    assert not out.is_due(1.0 + breaker.PROBE_SECONDS - 0.01)
    assert out.is_due(1.0 + breaker.PROBE_SECONDS)


moments = st.lists(st.tuples(st.sampled_from(("ok", "refused_key", *FAILURES)), st.floats(0, 40)), max_size=60)


@given(moments)
def test_no_target_is_away_for_longer_than_a_minute_by_our_own_decision(events: list[tuple[Result, float]]) -> None:
    health, now = HEALTHY, 0.0
    for result, pause in events:
        now += pause
        health = breaker.after(health, attempt(result), now=now)
        assert health.until is None or health.until - now <= breaker.REFUSED_KEY_SECONDS + 1e-6
