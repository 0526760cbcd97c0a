"""Training finds what is there, keeps to one byte a weight, and does the same again."""

from dataclasses import replace

import numpy as np
import pytest

from scoring import Scorer
from scoring.features import BUCKETS
from scoring.outcomes import BadOutcomes
from scoring.training import centred, feature_matrix, fit, labels, quantised, train
from tests.unit.scoring.exams import an_exam


def test_a_planted_signal_is_found_on_prompts_that_were_not_trained_on() -> None:
    scorer = Scorer(train(an_exam(seed=1)))
    unseen = an_exam(seed=2)
    hard = [scorer.score(outcome.prompt) for outcome in unseen if outcome.task == "second"]
    easy = [scorer.score(outcome.prompt) for outcome in unseen if outcome.task == "first"]
    beaten = np.mean([one > other for one in hard for other in easy])
    assert beaten > 0.9


def test_labels_without_a_signal_teach_no_order() -> None:
    outcomes = an_exam(seed=1)
    dice = np.random.default_rng(3)
    shuffled = [
        replace(outcome, weak_ok=bool(ok), strong_ok=True)
        for outcome, ok in zip(outcomes, dice.random(len(outcomes)) < 0.5, strict=True)
    ]
    scorer = Scorer(train(shuffled))
    unseen = an_exam(seed=2)
    hard = [scorer.score(outcome.prompt) for outcome in unseen if outcome.task == "second"]
    easy = [scorer.score(outcome.prompt) for outcome in unseen if outcome.task == "first"]
    assert abs(np.mean(hard) - np.mean(easy)) < 0.02


def test_the_same_rows_give_the_same_bytes() -> None:
    assert train(an_exam()).to_bytes() == train(an_exam()).to_bytes()
    assert train(an_exam()).to_bytes() != train(an_exam(seed=8)).to_bytes()


def test_how_good_a_model_is_does_not_show_in_the_weights() -> None:
    outcomes = an_exam(pairs=("good/large", "bad/large"))
    spoiled = [replace(outcome, weak_ok=False) if outcome.pair == "bad/large" else outcome for outcome in outcomes]
    left = centred(labels(spoiled, "weakfail"), [outcome.pair for outcome in spoiled])
    assert all(value == 0 for value, outcome in zip(left, spoiled, strict=True) if outcome.pair == "bad/large")
    assert abs(left.sum()) < 1e-9


def test_the_gain_is_a_label_from_0_to_1() -> None:
    outcomes = an_exam()
    wanted = {outcome.gain: label for outcome, label in zip(outcomes, labels(outcomes, "gain"), strict=True)}
    assert wanted == {-1: 0.0, 0: 0.5, 1: 1.0}
    assert train(outcomes, "gain").target == "gain"


def test_no_weight_moves_by_more_than_half_a_step() -> None:
    weights = np.random.default_rng(5).normal(size=BUCKETS)
    fitted = quantised(weights)
    assert fitted.values.dtype == np.int8
    assert np.abs(fitted.values * fitted.scale - weights).max() <= fitted.scale * 0.5001
    assert np.abs(fitted.values).max() == 127
    assert quantised(np.zeros(3)).scale == 0.0


def test_the_scorer_says_what_the_matrix_says() -> None:
    outcomes = an_exam()
    weights = train(outcomes)
    matrix = feature_matrix(outcome.prompt for outcome in outcomes)
    fitted = fit(matrix, centred(labels(outcomes, "weakfail"), [outcome.pair for outcome in outcomes]))
    expected = np.clip(weights.intercept + fitted.of(matrix), 0, 1)
    scorer = Scorer(weights)
    assert np.abs(expected - [scorer.score(outcome.prompt) for outcome in outcomes]).max() < 1e-6


def test_half_of_the_training_prompts_are_above_the_threshold_for_a_half() -> None:
    outcomes = an_exam()
    scorer = Scorer(train(outcomes))
    above = [scorer.score(outcome.prompt) >= scorer.threshold(0.5) for outcome in outcomes]
    assert np.mean(above) == pytest.approx(0.5, abs=0.01)


def test_rows_that_are_all_alike_teach_nothing_and_that_is_said() -> None:
    with pytest.raises(BadOutcomes, match="nothing to learn"):
        train([replace(outcome, weak_ok=True) for outcome in an_exam()])
    with pytest.raises(BadOutcomes, match="nothing to learn"):
        train([])
