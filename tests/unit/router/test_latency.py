"""What is expected of a target's first byte, from the answers that it gave and those that it owes."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain import latency
from router.domain.latency import (
    BUCKETS,
    GUESSED_MEDIAN_SECONDS,
    SAMPLES_TO_KNOW,
    Peak,
    Times,
    bucket_of,
    is_reasoning_bucket,
    is_whole_bucket,
    overdue_seconds,
    p95_of,
    scale_of,
)


def times(bucket: int = 0, *, median: float = 0.4, spread: float = 0.5, count: int = 400, seed: int = 1) -> Times:
    found, draw = Times(), random.Random(seed)
    for _ in range(count):
        found.add(bucket, median * draw.lognormvariate(0.0, spread))
    return found


@pytest.mark.parametrize(
    ("tokens", "bucket"), [(0, 0), (2_000, 0), (2_001, 1), (16_000, 1), (64_000, 2), (64_001, 3), (10**9, 3)]
)
def test_requests_are_told_apart_by_their_size_and_by_whether_they_ask_for_thoughts(tokens: int, bucket: int) -> None:
    assert bucket_of(tokens, is_reasoning=False, is_stream=True) == bucket
    with_thoughts = bucket_of(tokens, is_reasoning=True, is_stream=True)
    whole = bucket_of(tokens, is_reasoning=True, is_stream=False)
    assert len({bucket, with_thoughts, whole}) == 3
    assert max(with_thoughts, whole) < BUCKETS
    assert [is_reasoning_bucket(one) for one in (bucket, with_thoughts, whole)] == [False, True, True]
    assert [is_whole_bucket(one) for one in (bucket, with_thoughts, whole)] == [False, False, True]


def test_a_slow_answer_counts_at_once_and_quick_ones_win_it_back_in_time() -> None:
    peak = Peak(0.3, 0.0).after(4.0, now=1.0)
    assert peak == Peak(4.0, 1.0)
    soon, later = peak.after(0.3, now=2.0), peak.after(0.3, now=31.0)
    assert 3.0 < soon.seconds < 4.0
    assert 0.3 < later.seconds < 0.6


def test_a_slow_target_without_news_is_believed_ordinary_again_and_a_quick_one_stays_quick() -> None:
    slow = Peak(8.0, 0.0)
    assert slow.now(0.0, ordinary=0.5) == 8.0
    assert 3.0 < slow.now(20.0, ordinary=0.5) < 3.5
    assert slow.now(200.0, ordinary=0.5) == pytest.approx(0.5, abs=0.01)
    assert Peak(0.2, 0.0).now(100.0, ordinary=0.5) == 0.2


@given(st.floats(0.05, 20.0), st.floats(0.1, 0.8), st.integers(0, 1_000))
def test_the_quantiles_find_a_distribution_that_nobody_guessed(median: float, spread: float, seed: int) -> None:
    known = times(median=median, spread=spread, count=3_000, seed=seed).known(0)
    assert known is not None
    # Some five standard deviations of the estimates, which go on moving: a tenth of their value or two.
    assert abs(math.log(known.median / median)) <= 0.6
    assert abs(math.log(known.p95 / median) - 1.645 * spread) <= 0.75
    assert known.p95 >= known.median


def test_a_few_times_are_not_believed() -> None:
    assert times(count=SAMPLES_TO_KNOW - 1).known(0) is None
    assert times(count=SAMPLES_TO_KNOW).known(0) is not None


def test_long_prompts_are_measured_by_their_own_scale() -> None:
    fleet = times(0, median=0.4)
    long = times(2, median=2.0)
    fleet.by_bucket[2] = long.by_bucket[2]
    assert scale_of(0, fleet) == 1.0
    assert scale_of(2, fleet) == pytest.approx(5.0, rel=0.3)
    assert scale_of(2, Times()) == 3.0


def test_an_attempt_is_overdue_once_it_has_waited_longer_than_answers_usually_take() -> None:
    own = times(median=0.4)
    assert overdue_seconds({0: 9.9}, own, own, now=10.0) == 0.0
    assert overdue_seconds({0: 8.0}, own, own, now=10.0) == pytest.approx(2.0)
    assert overdue_seconds({}, own, own, now=10.0) == 0.0


def test_a_long_prompt_that_waits_is_no_fault_yet() -> None:
    waited = 2 * GUESSED_MEDIAN_SECONDS
    assert overdue_seconds({0: 0.0}, Times(), Times(), now=waited) > 0.0
    assert overdue_seconds({2: 0.0}, Times(), Times(), now=waited) == 0.0


def test_the_95th_percentile_is_the_targets_own_else_that_of_all_else_a_guess() -> None:
    own, fleet = times(median=1.0), times(median=0.2, seed=2)
    assert p95_of(0, own, fleet) > 1.5
    assert p95_of(0, Times(), fleet) < 1.0
    assert p95_of(0, Times(), Times()) == latency.GUESSED_P95_SECONDS
