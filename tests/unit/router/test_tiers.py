"""Which tier a request goes to, and that the budget is kept whatever the estimates are worth."""

import random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.router import Tier
from router.domain import tiers
from router.domain.tiers import Estimate, TierChosen, choose_tier, from_difficulty, steered

BOTH: tuple[Tier, Tier] = ("light", "strong")


def chosen(
    *,
    able: tuple[Tier, ...] = BOTH,
    budget: float = 0.25,
    estimate: Estimate = tiers.UNKNOWN,
    theta: float = 0.2,
    session_tier: Tier | None = None,
) -> TierChosen:
    return choose_tier(able, budget=budget, estimate=estimate, theta=theta, session_tier=session_tier)


def test_the_only_tier_that_can_take_a_request_takes_it_whatever_the_budget() -> None:
    assert chosen(able=("strong",), budget=0.0) == TierChosen("strong", "capability")


@pytest.mark.parametrize(("budget", "tier"), [(0.0, "light"), (1.0, "strong")])
def test_a_budget_of_nothing_or_all_leaves_nothing_to_decide(budget: float, tier: Tier) -> None:
    assert chosen(budget=budget, estimate=from_difficulty(0.99)) == TierChosen(tier, "budget")


def test_an_estimate_at_the_threshold_is_worth_the_strong_tier_and_says_where_it_came_from() -> None:
    assert chosen(estimate=Estimate(0.2, "class_outcomes"), theta=0.2) == TierChosen("strong", "class_outcomes")
    assert chosen(estimate=Estimate(0.19, "difficulty"), theta=0.2) == TierChosen("light", "difficulty")


def test_a_session_keeps_the_strong_tier_and_leaves_the_light_one_for_a_hard_prompt() -> None:
    easy, hard = from_difficulty(0.1), from_difficulty(0.9)
    assert chosen(estimate=easy, session_tier="strong") == TierChosen("strong", "session")
    assert chosen(estimate=easy, session_tier="light") == TierChosen("light", "session")
    assert chosen(estimate=hard, session_tier="light") == TierChosen("strong", "difficulty")


def test_the_budget_comes_before_sessions_and_those_of_the_lowest_rank_leave_first() -> None:
    found = [
        choose_tier(
            BOTH, budget=0.25, estimate=from_difficulty(0.9), theta=1.4, session_tier="strong", session_rank=rank
        )
        for rank in (0.2, 0.6)
    ]
    assert found == [TierChosen("light", "budget"), TierChosen("strong", "session")]


@pytest.mark.parametrize("budget", [0.1, 0.25, 0.5])
def test_sessions_that_never_end_spend_no_more_than_the_budget(budget: float) -> None:
    draw, tier_of = random.Random(5), dict[int, Tier]()
    theta, strong, decisions = tiers.FIRST_THETA, 0, 20_000
    ranks = [draw.random() for _ in range(200)]
    for _ in range(decisions):
        session = draw.randrange(len(ranks))
        found = choose_tier(
            BOTH,
            budget=budget,
            estimate=from_difficulty(draw.random()),
            theta=theta,
            session_tier=tier_of.get(session),
            session_rank=ranks[session],
        )
        tier_of[session] = found.tier
        theta = steered(theta, found.tier, budget=budget)
        strong += found.tier == "strong"
    assert abs(strong / decisions - budget) <= 0.02


def test_what_nothing_is_known_of_is_balanced() -> None:
    assert chosen(theta=tiers.FIRST_THETA).rule == "balance"


@given(
    st.floats(0.05, 0.95),
    st.integers(0, 2**32),
    st.sampled_from(["uniform", "worthless", "one_sided", "none", "drifting"]),
)
def test_the_strong_share_is_the_budget_whatever_the_estimates_are(
    budget: float, seed: int, kind: Literal["uniform", "worthless", "one_sided", "none", "drifting"]
) -> None:
    draw = random.Random(seed)
    theta, strong, decisions = tiers.FIRST_THETA, 0, 8_000
    for number in range(decisions):
        difficulty = {
            "uniform": draw.random(),
            "worthless": 0.5,
            "one_sided": 0.9 + draw.random() / 10,
            "none": None,
            "drifting": min(1.0, number / decisions * draw.random()),
        }[kind]
        found = chosen(budget=budget, estimate=from_difficulty(difficulty), theta=theta)
        theta = steered(theta, found.tier, budget=budget)
        strong += found.tier == "strong"
    assert abs(strong / decisions - budget) <= 0.02


@given(st.lists(st.sampled_from(BOTH), max_size=500), st.floats(0, 1))
def test_the_threshold_does_not_run_away_while_it_decides_nothing(taken: list[Tier], budget: float) -> None:
    theta = tiers.FIRST_THETA
    for tier in taken:
        theta = steered(theta, tier, budget=budget)
        assert tiers.LOWEST_THETA <= theta <= tiers.HIGHEST_THETA
