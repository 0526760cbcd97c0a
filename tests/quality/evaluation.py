"""The shipped weights on any file of outcomes: every pair and suite by itself, however small or one-sided."""

from collections.abc import Iterator, Sequence

import numpy as np

from scoring import Scorer
from scoring.outcomes import Outcome
from scoring.training import labels
from tests.quality.metrics import Vector, auc, curve, worth
from tests.quality.report import MISSING, share, table, undefined, worth_cells

_COLUMNS = ("pair", "suite", "prompts", "weak", "strong", "APGR", "95 %", "CPT50", "CPT80", "oracle", "AUC", "above θ½")
_UNNAMED = "(unnamed)"
_LEGEND = """\
oracle: APGR of who knows the true gain of every prompt. AUC: how often a prompt at which the weak model failed is
scored above one at which it did not; 0.5 is chance. above θ½: prompts above the threshold that half of the training
prompts reach. The weights have seen MMLU, MMLU-Pro, GSM8K and ZeroEval: figures on those say nothing."""


def evaluate(outcomes: Sequence[Outcome], *, samples: int) -> str:
    """A table in words; nothing is trained. What is undefined is a dash; a note tells of pairs without a lead."""
    scorer = Scorer.shipped()
    scores = np.array([scorer.score(outcome.prompt) for outcome in outcomes])
    rows, notes = [], []
    for pair, suite, places in _groups(outcomes):
        asked = [outcomes[place] for place in places]
        failed, gains = labels(asked, "weakfail"), np.array([float(outcome.gain) for outcome in asked])
        weak = 1.0 - float(failed.mean())
        strong = weak + float(gains.mean())
        if gains.sum() <= 0:
            notes.append(f"{pair}, {suite}: {undefined(weak, strong)}")
        rows.append(
            [
                *(pair, suite, f"{len(asked):,}", share(weak), share(strong)),
                *worth_cells(worth(scores[places], gains, samples=samples)),
                *_rest(scores[places], failed, gains, scorer.threshold(0.5)),
            ]
        )
    return "\n".join([table(_COLUMNS, rows, words=2), *notes, _LEGEND])


def _rest(scores: Vector, failed: Vector, gains: Vector, threshold: float) -> list[str]:
    oracle, hit = curve(gains, gains), auc(scores, failed)
    return [
        MISSING if oracle is None else f"{oracle.apgr:.3f}",
        MISSING if hit is None else f"{hit:.3f}",
        share(float(np.mean(scores >= threshold))),
    ]


def _groups(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str, list[int]]]:
    """The rows of every pair in each of its suites, and of all together where there are several."""
    by_pair: dict[str, dict[str, list[int]]] = {}
    for place, outcome in enumerate(outcomes):
        suites = by_pair.setdefault(outcome.pair or _UNNAMED, {})
        suites.setdefault(outcome.suite or _UNNAMED, []).append(place)
    for pair, suites in by_pair.items():
        for suite, places in suites.items():
            yield pair, suite, places
        if len(suites) > 1:
            yield pair, "all", sorted(place for places in suites.values() for place in places)
