"""Learns weights from outcomes: ridge regression on the hashed features, then one signed byte a bucket.

Needs numpy and scipy (the extra `train`); nothing that runs in a service imports this. Vectors are float64, one element
a row or a bucket. The same rows in the same order give the same bytes with the same numpy and scipy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import lsqr

from scoring.features import BUCKETS, features
from scoring.model import Target, Weights
from scoring.outcomes import BadOutcomes, Outcome

Vector: TypeAlias = npt.NDArray[np.float64]

# Chosen once, among 100, 300 and 600, and kept for every set: within 0.01 APGR of each other (docs/routing-quality.md).
DAMPING = 300.0
_ITERATIONS = 60
_TOLERANCE = 1e-6
_LARGEST_BYTE = 127


@dataclass(frozen=True, slots=True)
class Fit:
    """Quantised weights: that of bucket b is `values[b] * scale`."""

    values: npt.NDArray[np.int8]
    scale: float

    def of(self, matrix: csr_array) -> Vector:
        """What the weights add for every row: the score without intercept and limits."""
        return np.asarray(matrix @ self.values.astype(np.float64)) * self.scale


def feature_matrix(texts: Iterable[str]) -> csr_array:
    """One row a text, one column a bucket."""
    found = [features(text) for text in texts]
    starts = np.cumsum([0, *map(len, found)])
    columns = np.fromiter(chain.from_iterable(found), np.int32, starts[-1])
    values = np.fromiter(chain.from_iterable(row.values() for row in found), np.float64, starts[-1])
    return csr_array((values, columns, starts), shape=(len(found), BUCKETS))


def labels(outcomes: Sequence[Outcome], target: Target) -> Vector:
    """What a score shall be: 1 where the strong model is worth it, 0 where it is not."""
    if target == "weakfail":
        return np.array([1.0 - outcome.weak_ok for outcome in outcomes])
    return np.array([(1.0 + outcome.gain) / 2.0 for outcome in outcomes])


def centred(values: Vector, pairs: Sequence[str]) -> Vector:
    """Each minus the mean of its pair: how good a model is says nothing about how hard a prompt is."""
    _, place = np.unique(np.asarray(pairs), return_inverse=True)
    means = np.bincount(place, values) / np.bincount(place)
    return np.asarray(values - means[place])


def fit(matrix: csr_array, centred_labels: Vector, damping: float = DAMPING) -> Fit:
    """Ridge regression without intercept. A bucket seen in few rows is penalised less, by the square of its IDF."""
    seen = np.bincount(matrix.indices, minlength=BUCKETS)
    idf = np.log((1.0 + matrix.shape[0]) / (1.0 + seen)) + 1.0
    solved = lsqr(
        matrix @ diags_array(idf),
        centred_labels,
        damp=damping**0.5,
        atol=_TOLERANCE,
        btol=_TOLERANCE,
        iter_lim=_ITERATIONS,
    )
    return quantised(np.asarray(solved[0]) * idf)


def quantised(weights: Vector) -> Fit:
    """To the nearest of 255 steps: no weight moves by more than half a scale."""
    # Six digits, so that the last bits of another processor's sums do not show in the file.
    scale = float(f"{np.abs(weights).max() / _LARGEST_BYTE:.6g}")
    if scale == 0.0:
        return Fit(np.zeros(len(weights), np.int8), 0.0)
    steps = np.clip(np.rint(weights / scale), -_LARGEST_BYTE, _LARGEST_BYTE)
    return Fit(steps.astype(np.int8), scale)


def train(outcomes: Sequence[Outcome], target: Target = "weakfail") -> Weights:
    """Weights from these outcomes. Raises BadOutcomes when they teach nothing."""
    wanted = labels(outcomes, target)
    pairs = [outcome.pair for outcome in outcomes]
    left = centred(wanted, pairs)
    if not np.abs(left).max(initial=0.0) > 0.0:
        raise BadOutcomes(f"for the target {target} all rows of a pair are alike: there is nothing to learn")
    matrix = feature_matrix(outcome.prompt for outcome in outcomes)
    fitted = fit(matrix, left)
    intercept = round(float(wanted.mean()), 6)
    scores = np.clip(intercept + fitted.of(matrix), 0.0, 1.0)
    return Weights(
        target=target,
        values=fitted.values.tobytes(),
        scale=fitted.scale,
        intercept=intercept,
        quantiles=tuple(round(float(value), 5) for value in np.percentile(scores, range(101))),
        rows=len(outcomes),
        pairs=tuple(sorted(set(pairs))),
    )
