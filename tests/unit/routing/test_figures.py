"""The arithmetic of the figures."""

import pytest

from tests.routing.draws import Shape, requests
from tests.routing.figures import FAILED_SECONDS, Figures, observed, percentile, together
from tests.routing.upstreams import Attempt, Journey

DRAWN = requests(Shape(), per_second=1.0, seconds=30.0, seed=1)


def journey(number: int, *, ttft: float | None = 0.5, is_failed: bool = False, calls: int = 1) -> Journey:
    made = Journey(DRAWN[number])
    made.ttft, made.is_failed = ttft, is_failed
    made.ended_at = made.request.at + 1.0
    made.attempts = [Attempt(made, index, made.request.at) for index in range(calls)]
    return made


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(100, 0.5, 50), (100, 0.99, 99), (100, 1.0, 100), (1000, 0.999, 999), (10, 0.99, 10), (1, 0.5, 1), (3, 0.5, 2)],
)
def test_a_percentile_is_the_nearest_rank(count: int, share: float, expected: int) -> None:
    assert percentile([float(value) for value in range(1, count + 1)], share) == expected


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.99) == 0.0
    assert Figures().slow_share == Figures().failed_share == 0.0


def test_a_failed_request_counts_as_a_slow_one_however_fast_it_was_refused() -> None:
    figures = observed([journey(0), journey(1, ttft=None, is_failed=True, calls=3)], 0.0, 30.0)
    assert sorted(figures.ttft) == [0.5, FAILED_SECONDS]
    assert (figures.failed_share, figures.slow_share, figures.extra_calls) == (0.5, 0.5, 1.0)


def test_only_requests_that_arrived_in_the_time_are_observed() -> None:
    inside = [request for request in DRAWN if 10.0 <= request.at < 20.0]
    assert observed([journey(number) for number in range(len(DRAWN))], 10.0, 20.0).requests == len(inside) > 0


def test_runs_are_put_together_request_by_request() -> None:
    both = together([Figures([0.1, 0.2], calls=2), Figures([9.0], failures=1, calls=3, hedges=1)])
    assert (both.requests, both.failures, both.calls, both.hedges) == (3, 1, 5, 1)
    assert both.percentile(0.5) == 0.2
