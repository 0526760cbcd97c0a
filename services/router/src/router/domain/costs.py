"""What it costs to send a request to a target: expected time, load, failures, and price, as one number to compare.

    cost = L · (1 + waiting) · (1 + in_flight ÷ capacity) · success⁻³ · (price ÷ lowest price)^weight

`L` is what a first byte takes, or what the oldest attempt without one has waited once it is overdue: that age is what
tells a silent target from a fast one before any time-out does.
"""

from contracts.router import Features

SUCCESS_FLOOR = 0.05
DEFAULT_CAPACITY = 64
# What an answer is taken to cost when no cap was asked for: tokens.
EXPECTED_OUTPUT_TOKENS = 500


def strain(*, waiting: int, in_flight: int, capacity: int) -> float:
    """The terms of load: what passes in seconds."""
    return (1.0 + waiting) * (1.0 + in_flight / capacity)


def worth(
    *, latency_seconds: float, success: float, price: float | None, lowest_price: float | None, price_weight: float
) -> float:
    """The other terms: what a target is like just now. Without all prices of a tier none counts."""
    found = latency_seconds * max(success, SUCCESS_FLOOR) ** -3
    if price_weight and price is not None and lowest_price is not None and lowest_price > 0:
        found *= (price / lowest_price) ** price_weight
    return found


def price_of(features: Features, per_token: tuple[float, float] | None) -> float | None:
    """What the request is expected to cost at a target, in the currency of its prices; None when they are not known."""
    if per_token is None:
        return None
    output = min(features.output_tokens or EXPECTED_OUTPUT_TOKENS, EXPECTED_OUTPUT_TOKENS)
    return features.input_tokens * per_token[0] + output * per_token[1]
