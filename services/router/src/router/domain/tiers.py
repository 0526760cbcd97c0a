"""Which tier of a profile a request is worth, and the threshold that keeps to the strong budget.

A request goes to the strong tier when its estimate reaches the threshold θ of the profile, and every decision moves θ:

    θ ← θ + step · (1[strong] - budget)

So the share of strong decisions is the budget whatever the estimates are worth: after n decisions it is off by at most
the range of θ ÷ (step · n). What the estimates decide is only which requests get it.

An estimate is the expected gain of the strong tier: learnt by class where there are enough outcomes, otherwise from the
difficulty of the prompt. That one says how likely a light model fails, and not every failure is repaired by a
strong one: over the outcomes that it was trained on about half of them are.
"""

from collections.abc import Collection
from dataclasses import dataclass

from contracts.router import Rule, Tier

STEP = 0.02
LOWEST_THETA = -0.5
# No estimate reaches 1. Above that, θ calls sessions back from the strong tier, one after the other.
HIGHEST_THETA = 2.0
FIRST_THETA = 0.15
# The share of a light model's failures that a strong one repairs.
REPAIRED = 0.5
# A session that was idle for so long may go down: its prompt cache is gone by then.
IDLE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the strong tier is expected to gain for a request, -1 to 1, and where that comes from.

    None: nothing is known of it.
    """

    gain: float | None
    rule: Rule


UNKNOWN = Estimate(None, "balance")


def from_difficulty(difficulty: float | None) -> Estimate:
    """The estimate for one prompt, from the probability that a light model fails."""
    return UNKNOWN if difficulty is None else Estimate(difficulty * REPAIRED, "difficulty")


@dataclass(frozen=True, slots=True)
class TierChosen:
    """A tier, and what decided it."""

    tier: Tier
    rule: Rule


def choose_tier(
    able: Collection[Tier],
    *,
    budget: float,
    estimate: Estimate,
    theta: float,
    session_tier: Tier | None,
    session_rank: float = 1.0,
) -> TierChosen:
    """The tier of a request that is bound to nothing. `able` are the tiers that have a target for it: one or both.

    A session keeps the strong tier; the light one it leaves as soon as a request of it is worth more. Where sessions
    alone would spend more than the budget, those of the lowest rank (0 to 1, the session's own) have to leave.
    """
    if len(able) == 1:
        return TierChosen(next(iter(able)), "capability")
    if budget in (0.0, 1.0):
        return TierChosen("strong" if budget else "light", "budget")
    if session_tier == "strong":
        return TierChosen("strong", "session") if 1.0 + session_rank >= theta else TierChosen("light", "budget")
    # Without an estimate all requests are alike: θ then swings around this value and spends the budget evenly.
    gain = FIRST_THETA if estimate.gain is None else estimate.gain
    if gain >= theta:
        return TierChosen("strong", estimate.rule)
    return TierChosen("light", "session" if session_tier == "light" else estimate.rule)


def steered(theta: float, tier: Tier, *, budget: float) -> float:
    """θ after a decision for `tier`."""
    moved = theta + STEP * ((1.0 if tier == "strong" else 0.0) - budget)
    return min(max(moved, LOWEST_THETA), HIGHEST_THETA)
