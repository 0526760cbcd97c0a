"""APGR and CPT against sums done by hand, and what must hold for any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.quality.metrics import Vector, auc, curve, group_means, worth

GAINS = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=40).filter(lambda gains: sum(gains) > 0)


def _apgr(scores: list[float] | Vector, gains: list[float] | Vector) -> float:
    found = curve(np.asarray(scores, float), np.asarray(gains, float))
    assert found is not None
    return found.apgr


def test_a_curve_by_hand() -> None:
    # In order of score: gains 1, 0, 1, 0. PGR at 0, ¼, ½, ¾, 1 is 0, ½, ½, 1, 1.
    found = curve(np.array([0.9, 0.5, 0.7, 0.1]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert found is not None
    assert found.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.recovered.tolist() == [0, 0.5, 0.5, 1, 1]
    # Trapezes of width ¼: ¼ + ½ + ¾ + 1.
    assert found.apgr == pytest.approx((0.25 + 0.5 + 0.75 + 1) / 4)
    assert (found.cpt(0.5), found.cpt(0.8), found.cpt(1.0)) == pytest.approx((0.25, 0.5 + 0.25 * 0.6, 0.75))


def test_losing_first_makes_a_curve_fall_below_zero() -> None:
    # Gains -1, 1, 1: PGR 0, -1, 0, 1.
    found = curve(np.array([3.0, 2.0, 1.0]), np.array([-1.0, 1.0, 1.0]))
    assert found is not None
    assert found.apgr == pytest.approx((-0.5 - 0.5 + 0.5) / 3)
    assert found.cpt(0.5) == pytest.approx(2 / 3 + 1 / 6)


def test_the_least_share_counts_even_if_the_curve_falls_again() -> None:
    # Gains 1, -1, 1: PGR 0, 1, 0, 1.
    found = curve(np.array([3.0, 2.0, 1.0]), np.array([1.0, -1.0, 1.0]))
    assert found is not None
    assert found.cpt(0.8) == pytest.approx(0.8 / 3)


def test_prompts_of_one_score_are_one_step() -> None:
    # The two in the middle are tied: the mean of both orders, 1 and 0 gains either way.
    tied = _apgr([3, 2, 2, 1], [1, 1, 0, 0])
    assert tied == pytest.approx((_apgr([4, 3, 2, 1], [1, 1, 0, 0]) + _apgr([4, 2, 3, 1], [1, 1, 0, 0])) / 2)


@given(GAINS)
def test_one_score_for_all_is_random(gains: list[float]) -> None:
    found = worth(np.zeros(len(gains)), np.array(gains), samples=1)
    assert found is not None
    assert (found.apgr, found.cpt50, found.cpt80) == pytest.approx((0.5, 0.5, 0.8))


@given(GAINS, st.randoms(use_true_random=False))
def test_nobody_beats_who_knows_the_gain(gains: list[float], dice: "np.random.RandomState") -> None:
    scores = [dice.random() for _ in gains]
    best, some = curve(np.array(gains), np.array(gains)), curve(np.array(scores), np.array(gains))
    assert best is not None
    assert some is not None
    assert best.apgr >= some.apgr - 1e-9
    assert best.cpt(0.8) <= some.cpt(0.8) + 1e-9


@given(GAINS, st.randoms(use_true_random=False))
def test_an_order_and_its_reverse_are_worth_one_together(gains: list[float], dice: "np.random.RandomState") -> None:
    scores = np.array([dice.random() for _ in gains])
    assert _apgr(scores, gains) + _apgr(-scores, gains) == pytest.approx(1.0)


@pytest.mark.parametrize("gains", [[], [0.0], [0.0, 0.0], [1.0, -1.0], [-1.0, 0.0]])
def test_without_a_lead_there_is_nothing_to_recover(gains: list[float]) -> None:
    assert curve(np.zeros(len(gains)), np.array(gains)) is None
    assert worth(np.zeros(len(gains)), np.array(gains)) is None


def test_an_interval_holds_the_figure_narrows_with_prompts_and_comes_again() -> None:
    dice = np.random.default_rng(1)
    gains = dice.choice([-1.0, 0.0, 1.0], size=4000, p=[0.05, 0.65, 0.3])
    scores = gains + dice.normal(size=4000) * 3
    many, few = worth(scores, gains, samples=200), worth(scores[:200], gains[:200], samples=200)
    assert many is not None
    assert many.interval is not None
    assert few is not None
    assert few.interval is not None
    assert many.interval[0] < many.apgr < many.interval[1]
    assert many.interval[1] - many.interval[0] < (few.interval[1] - few.interval[0]) / 2
    assert worth(scores, gains, samples=200) == many


def test_too_few_prompts_have_a_figure_and_no_interval() -> None:
    found = worth(np.array([2.0, 1.0]), np.array([1.0, 0.0]), samples=100)
    assert found is not None
    assert found.interval is None


def test_auc_by_hand() -> None:
    failed = np.array([1.0, 1.0, 0.0, 0.0])
    # Pairs (failed, not): 4 > 3, 4 > 1, 1 < 3, 1 = 1.
    assert auc(np.array([4.0, 1.0, 3.0, 1.0]), failed) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert auc(np.array([1.0, 2.0]), np.array([1.0, 1.0])) is None
    assert auc(np.array([1.0]), np.array([0.0])) is None


def test_group_means_by_hand() -> None:
    assert group_means(np.array([1.0, 0.0, 5.0]), ["b", "b", "a"]).tolist() == [0.5, 0.5, 5.0]
