"""What a request that is over owes, row by row."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import TokenUsage
from contracts.outcomes import Outcome
from contracts.quota import Window
from contracts.router import Prices
from gateway.domain import (
    End,
    binding_window,
    cost_of,
    outcome_of,
    spelled_duration,
    whole_seconds,
    window_after,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "has_begun", "has_content", "outcome", "is_charged"),
    [
        (End.ANSWERED, True, True, Outcome.COMPLETED, True),
        (End.ANSWERED, False, True, Outcome.COMPLETED, True),
        (End.ANSWERED, False, False, Outcome.EMPTY, False),
        (End.ANSWERED, True, False, Outcome.EMPTY, False),
        (End.REFUSED, False, False, Outcome.REJECTED_REQUEST, False),
        (End.FAILED, False, False, Outcome.UPSTREAM_UNAVAILABLE, False),
        (End.FAILED, True, True, Outcome.UPSTREAM_BROKEN, False),
        (End.CLIENT_GONE, False, False, Outcome.CLIENT_GONE_EARLY, False),
        (End.CLIENT_GONE, True, True, Outcome.CLIENT_GONE_LATE, True),
        (End.SHUTDOWN, False, False, Outcome.GATEWAY_SHUTDOWN, False),
        (End.SHUTDOWN, True, True, Outcome.GATEWAY_SHUTDOWN, False),
    ],
)
def test_how_a_request_ended_decides_what_it_costs(
    end: End, has_begun: bool, has_content: bool, outcome: Outcome, is_charged: bool
) -> None:
    decided = outcome_of(end, call=1, has_begun=has_begun, has_content=has_content)
    assert (decided, decided.is_charged) == (outcome, is_charged)


@pytest.mark.parametrize("end", list(End))
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_continuation_costs_nothing_however_it_ends(end: End, has_begun: bool) -> None:
    assert outcome_of(end, call=2, has_begun=has_begun, has_content=True) is Outcome.CONTINUATION
    assert not Outcome.CONTINUATION.is_charged


def window(remaining: int | None, *, hours: int) -> Window:
    limit = None if remaining is None else 100
    return Window(
        limit=limit,
        used=0,
        reserved=0,
        remaining=remaining,
        starts_on=date(2026, 11, 22),
        resets_at=NOON + timedelta(hours=hours),
    )


def test_the_window_with_the_fewest_prompts_left_binds() -> None:
    day, month = window(5, hours=12), window(3, hours=200)
    assert binding_window((day, month)) is month
    assert binding_window((window(2, hours=12), month)) == window(2, hours=12)


def test_of_two_equal_windows_the_one_that_resets_later_binds() -> None:
    day, month = window(0, hours=12), window(0, hours=200)
    assert binding_window((day, month)) is month
    assert binding_window((month, day)) is month


def test_an_unlimited_window_never_binds() -> None:
    assert binding_window((window(None, hours=1), window(9, hours=2))) == window(9, hours=2)
    assert binding_window((window(None, hours=1), window(None, hours=2))) is None


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0, "0s"), (-5, "0s"), (0.2, "1s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (22323, "6h12m3s")],
)
def test_durations_are_spelled_as_openai_does(seconds: float, spelled: str) -> None:
    assert spelled_duration(seconds) == spelled


@pytest.mark.parametrize(("seconds", "whole"), [(0.0, 1), (-3, 1), (0.2, 1), (1.0, 1), (1.001, 2), (59.2, 60)])
def test_retry_after_is_whole_seconds_and_never_none(seconds: float, whole: int) -> None:
    assert whole_seconds(seconds) == whole


def test_a_window_after_a_charged_request_is_as_it_was_granted_and_else_has_the_prompt_back() -> None:
    granted = window(5, hours=12).model_copy(update={"limit": 12, "used": 7, "reserved": 3})
    charged = window_after(granted, is_given_back=False)
    assert (charged.limit, charged.used, charged.remaining, charged.resets_at) == (12, 7, 5, granted.resets_at)
    free = window_after(granted, is_given_back=True)
    assert (free.limit, free.used, free.remaining) == (12, 6, 6)


def test_an_unlimited_window_after_a_request_still_counts() -> None:
    granted = window(None, hours=12).model_copy(update={"used": 7})
    free = window_after(granted, is_given_back=True)
    assert (free.limit, free.used, free.remaining) == (None, 6, None)


def tokens(*, input: int = 0, cached: int = 0, output: int = 0, reasoning: int = 0) -> TokenUsage:
    return TokenUsage(input=input, cached_input=cached, output=output, reasoning=reasoning, source="provider")


def prices(*, input: str, output: str, cached: str | None = None) -> Prices:
    return Prices(
        currency="USD",
        input_per_million=Decimal(input),
        cached_input_per_million=Decimal(cached) if cached is not None else None,
        output_per_million=Decimal(output),
    )


def test_cached_tokens_have_their_own_price_if_there_is_one_and_reasoning_is_in_the_output() -> None:
    used = tokens(input=1_000_000, cached=400_000, output=500_000, reasoning=300_000)
    with_cache = cost_of(used, prices(input="2.50", cached="1.25", output="10"))
    assert with_cache is not None
    assert (with_cache.amount, with_cache.currency) == (Decimal("7.0000000000"), "USD")
    without = cost_of(used, prices(input="2.50", output="10"))
    assert without is not None
    assert without.amount == Decimal("7.5")


def test_a_cost_is_rounded_once_half_to_even_and_written_with_ten_decimals() -> None:
    half = cost_of(tokens(input=5), prices(input="0.00001", output="0"))
    assert half is not None
    assert str(half.amount) == "0E-10"
    one_and_a_half = cost_of(tokens(input=15), prices(input="0.00001", output="0"))
    assert one_and_a_half is not None
    assert one_and_a_half.amount == Decimal("2E-10")


def test_nothing_is_known_of_the_cost_without_prices_or_tokens_and_zero_is_a_cost() -> None:
    assert cost_of(tokens(input=5), None) is None
    assert cost_of(TokenUsage(), prices(input="1", output="1")) is None
    free = cost_of(tokens(), prices(input="1", output="1"))
    assert free is not None
    assert free.amount == 0


PRICE = st.decimals(0, 100_000, places=12)
COUNT = st.integers(0, 100_000_000)


@given(COUNT, COUNT, COUNT, PRICE, st.none() | PRICE, PRICE)
def test_a_cost_is_the_exact_sum_rounded(
    fresh: int, cached: int, output: int, input_price: Decimal, cached_price: Decimal | None, output_price: Decimal
) -> None:
    used = tokens(input=fresh + cached, cached=cached, output=output)
    told = prices(
        input=str(input_price), cached=None if cached_price is None else str(cached_price), output=str(output_price)
    )
    cost = cost_of(used, told)
    assert cost is not None
    cached_at = Fraction(input_price if cached_price is None else cached_price)
    exact = (fresh * Fraction(input_price) + cached * cached_at + output * Fraction(output_price)) / 1_000_000
    assert abs(Fraction(cost.amount) - exact) <= Fraction(1, 2 * 10**10)
    with localcontext() as context:
        context.prec, context.rounding = 60, ROUND_HALF_EVEN
        assert cost.amount == (Decimal(exact.numerator) / exact.denominator).quantize(Decimal("1e-10"))
