"""What an order of prompts is worth: the share of the strong model's lead that a share of strong answers recovers.

Vectors have one element a prompt. `gains` are strong minus weak (1, 0 or -1); the prompts with the highest scores are
sent to the strong model first. PGR(c) = (accuracy at strong share c - weak) ÷ (strong - weak). APGR is its integral
over c from 0 to 1, exact over all thresholds; CPT(x) is the least c with PGR(c) ≥ x. Prompts of one score are one step:
every order of them is equally likely, so PGR is a straight line across it. Where the strong model has no lead, PGR is
undefined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float64]

# Of the resamples, this share must have a lead to recover; else an interval would be one of the lucky ones.
_ENOUGH = 0.95


@dataclass(frozen=True, slots=True)
class Curve:
    """PGR at every threshold: `recovered[i]` at the strong share `share[i]`, from (0, 0) to (1, 1)."""

    share: Vector
    recovered: Vector

    @property
    def apgr(self) -> float:
        return float(np.trapezoid(self.recovered, self.share))

    def cpt(self, wanted: float) -> float:
        """The least strong share that recovers `wanted` (above 0, at most 1) of the lead."""
        after = int(np.argmax(self.recovered >= wanted - 1e-12))
        low, high = self.recovered[after - 1 : after + 1]
        left, right = self.share[after - 1 : after + 1]
        return float(left + (right - left) * min((wanted - low) / (high - low), 1.0))


@dataclass(frozen=True, slots=True)
class Worth:
    """An order's figures with a 95 % bootstrap interval of APGR over prompts (None: too few prompts for one)."""

    apgr: float
    interval: tuple[float, float] | None
    cpt50: float
    cpt80: float


class _Order:
    """Prompts by falling score, and where one score ends."""

    def __init__(self, scores: Vector) -> None:
        self.places = np.argsort(-scores, kind="stable")
        falling = scores[self.places]
        self.ends = np.append(np.flatnonzero(np.diff(falling)), len(scores) - 1)

    def curve(self, gains: Vector, times: Vector) -> Curve | None:
        """With every prompt counted `times`; None where the strong model has no lead."""
        counted = np.cumsum(times[self.places])[self.ends]
        gained = np.cumsum((gains * times)[self.places])[self.ends]
        if gained[-1] <= 0:
            return None
        return Curve(np.append(0.0, counted / counted[-1]), np.append(0.0, gained / gained[-1]))


def curve(scores: Vector, gains: Vector) -> Curve | None:
    """None where the strong model has no lead, or there is no prompt."""
    return _Order(scores).curve(gains, np.ones(len(scores))) if len(scores) else None


def worth(scores: Vector, gains: Vector, *, samples: int = 1000, seed: int = 0) -> Worth | None:
    """None where the strong model has no lead."""
    found = curve(scores, gains)
    if found is None:
        return None
    interval = _interval(scores, gains, samples=samples, seed=seed)
    return Worth(found.apgr, interval, found.cpt(0.5), found.cpt(0.8))


def _interval(scores: Vector, gains: Vector, *, samples: int, seed: int) -> tuple[float, float] | None:
    order, dice, number = _Order(scores), np.random.default_rng(seed), len(scores)
    drawn: list[float] = []
    for _ in range(samples):
        times = np.bincount(dice.integers(number, size=number), minlength=number).astype(np.float64)
        if (found := order.curve(gains, times)) is not None:
            drawn.append(found.apgr)
    if not drawn or len(drawn) < _ENOUGH * samples:
        return None
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def auc(scores: Vector, failed: Vector) -> float | None:
    """How often a prompt that failed (1) has the higher score than one that did not (0); None with one sort only."""
    lost, won = scores[failed > 0.5], np.sort(scores[failed <= 0.5])
    if not len(lost) or not len(won):
        return None
    below = np.searchsorted(won, lost, "left") + np.searchsorted(won, lost, "right")
    return float(below.mean() / 2 / len(won))


def group_means(values: Vector, groups: Sequence[str]) -> Vector:
    """Each element's group mean: what who knows the group, and nothing else, would say."""
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    return np.asarray((np.bincount(place, values) / np.bincount(place))[place])
