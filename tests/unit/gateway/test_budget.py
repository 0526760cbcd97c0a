"""Budgets of extra calls: a bound that holds whatever is asked of them, and no stinginess below it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budget import Budget

STEPS = st.lists(
    st.tuples(st.sampled_from(["request", "extra"]), st.floats(min_value=0, max_value=3)), min_size=1, max_size=200
)


def test_a_new_budget_has_its_burst_and_no_more() -> None:
    budget = Budget(ratio=0.01, per_second=0, burst=3)
    assert [budget.withdraw(0.0) for _ in range(5)] == [True, True, True, False, False]


def test_requests_earn_their_share() -> None:
    budget = Budget(ratio=0.25, per_second=0, burst=1)
    assert budget.withdraw(0.0)
    earned = []
    for _ in range(8):
        budget.deposit(0.0)
        earned.append(budget.withdraw(0.0))
    assert earned == [False, False, False, True, False, False, False, True]


def test_time_earns_its_share_and_only_up_to_the_burst() -> None:
    budget = Budget(ratio=0, per_second=2, burst=4)
    assert all(budget.withdraw(0.0) for _ in range(4))
    assert not budget.withdraw(0.4)
    assert budget.withdraw(0.5)
    assert sum(budget.withdraw(1000.0) for _ in range(10)) == 4


def test_a_clock_that_goes_back_earns_nothing() -> None:
    budget = Budget(ratio=0, per_second=1, burst=1)
    assert budget.withdraw(10.0)
    assert not budget.withdraw(5.0)
    assert not budget.withdraw(10.0)
    assert budget.withdraw(11.0)


def test_nothing_can_be_taken_from_an_empty_budget() -> None:
    budget = Budget(ratio=0, per_second=0, burst=0)
    budget.deposit(0.0)
    assert not budget.withdraw(100.0)


@pytest.mark.parametrize("wrong", [-0.1, float("nan")])
def test_a_budget_of_negative_numbers_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        Budget(ratio=wrong, per_second=0, burst=0)


@given(
    ratio=st.floats(min_value=0, max_value=1),
    per_second=st.floats(min_value=0, max_value=20),
    burst=st.floats(min_value=0, max_value=50),
    steps=STEPS,
)
def test_no_stretch_of_time_has_more_extra_calls_than_the_bound(
    ratio: float, per_second: float, burst: float, steps: list[tuple[str, float]]
) -> None:
    budget = Budget(ratio=ratio, per_second=per_second, burst=burst)
    now, moments = 0.0, []
    for kind, pause in steps:
        now += pause
        if kind == "request":
            budget.deposit(now)
            moments.append((now, 1, 0))
        else:
            moments.append((now, 0, int(budget.withdraw(now))))
    for start in range(len(moments)):
        requests = taken = 0
        for moment, request, extra in moments[start:]:
            requests += request
            taken += extra
            assert taken <= ratio * requests + per_second * (moment - moments[start][0]) + burst + 1e-6


@given(steps=STEPS)
def test_who_asks_for_less_than_the_share_is_never_refused(steps: list[tuple[str, float]]) -> None:
    budget = Budget(ratio=1, per_second=0, burst=len(steps))
    for _, pause in steps:
        budget.deposit(pause)
        assert budget.withdraw(pause)
