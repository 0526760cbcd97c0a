"""Who is trained on what and asked about what: no prompt is ever scored by weights that have seen it."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from scoring import Scorer, Weights
from scoring.model import Target
from scoring.outcomes import Outcome
from scoring.training import Fit, centred, feature_matrix, fit, labels
from tests.quality.metrics import Vector

Places: TypeAlias = npt.NDArray[np.intp]

FOLDS = 5
# Outcomes of a class weigh as much as the mean of all once there are this many (docs/routing-quality.md).
PRIOR = 20.0
FAMILIES = ("multiple choice", "maths", "code")


def family(outcome: Outcome) -> str:
    """The format and the skill that an examination asks for; empty for one that is not known here."""
    if outcome.suite in {"mmlu", "mmlu-pro"}:
        return "multiple choice"
    if outcome.task == "crux":
        return "code"
    return "maths" if outcome.suite in {"gsm8k", "zeroeval"} else ""


def hashed_fold(text: str) -> int:
    """0 to 4: the same for every row with this text, so a prompt is never on both sides."""
    return zlib.crc32(b"fold " + text.encode("utf-8", "surrogatepass")) % FOLDS


@dataclass(frozen=True)
class Exam:
    """Outcomes and their features, row by row."""

    outcomes: Sequence[Outcome]
    matrix: csr_array

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        """Features are made once for each distinct prompt: many were put to several pairs."""
        places: dict[str, int] = {}
        rows = [places.setdefault(outcome.prompt, len(places)) for outcome in outcomes]
        return cls(outcomes, feature_matrix(places)[rows])

    @cached_property
    def gains(self) -> Vector:
        return np.array([float(outcome.gain) for outcome in self.outcomes])

    @cached_property
    def weak_failed(self) -> Vector:
        return labels(self.outcomes, "weakfail")

    @cached_property
    def pairs(self) -> list[str]:
        return [outcome.pair for outcome in self.outcomes]

    @cached_property
    def tasks(self) -> list[str]:
        return [outcome.task for outcome in self.outcomes]

    def part(self, places: Places) -> "Exam":
        """Some of the rows."""
        return Exam([self.outcomes[place] for place in places], self.matrix[places])

    def where(self, *, pair: str | None = None, suite: str | None = None, of_family: str | None = None) -> Places:
        return np.array(
            [
                place
                for place, outcome in enumerate(self.outcomes)
                if pair in (None, outcome.pair)
                and suite in (None, outcome.suite)
                and of_family in (None, family(outcome))
            ],
            np.intp,
        )


def learn(exam: Exam, target: Target) -> tuple[Fit, float]:
    """As `scoring.training.train` does it: quantised weights and the mean label."""
    wanted = labels(exam.outcomes, target)
    return fit(exam.matrix, centred(wanted, exam.pairs)), float(wanted.mean())


def learned(exam: Exam, target: Target, asked: Exam) -> Vector:
    """Scores for what is asked by weights from the exam, but for the mean and the limits that `Scorer` adds.

    Without the mean, for folds are put together to one order: a fold of hard prompts leaves a low mean to the others,
    so that it would be ranked too low as a whole.
    """
    fitted, _ = learn(exam, target)
    return fitted.of(asked.matrix)


def disagreement(exam: Exam, target: Target, *, prompts: int = 300) -> float:
    """The largest difference between `Scorer` and the matrix that the protocols use, over some prompts."""
    fitted, mean = learn(exam, target)
    scorer = Scorer(
        Weights(target, fitted.values.tobytes(), fitted.scale, mean, tuple(float(q) for q in range(101)), 1, ("",))
    )
    asked = exam.part(np.arange(min(prompts, len(exam.outcomes))))
    expected = np.clip(mean + fitted.of(asked.matrix), 0.0, 1.0)
    given = [scorer.score(outcome.prompt) for outcome in asked.outcomes]
    return float(np.abs(expected - given).max())


def cross_validated(exam: Exam, target: Target, folds: Sequence[int]) -> Vector:
    """Every fold scored by weights from the others."""
    scores = np.zeros(len(exam.outcomes))
    numbers = np.asarray(folds)
    for number in np.unique(numbers):
        asked = np.flatnonzero(numbers == number)
        scores[asked] = learned(exam.part(np.flatnonzero(numbers != number)), target, exam.part(asked))
    return scores


def by_prompt(exam: Exam) -> list[int]:
    return [hashed_fold(outcome.prompt) for outcome in exam.outcomes]


def by_subject(exam: Exam) -> list[int]:
    """Whole subjects held out."""
    return [hashed_fold(task) for task in exam.tasks]


def unseen_families(exam: Exam) -> dict[tuple[str, str], tuple[Vector, Vector]]:
    """Scores and gains by family and pair; the family was in no row of any pair that was trained on."""
    found: dict[tuple[str, str], tuple[Vector, Vector]] = {}
    families = np.array([family(outcome) for outcome in exam.outcomes])
    for name in FAMILIES:
        asked, others = np.flatnonzero(families == name), np.flatnonzero(families != name)
        if not len(asked) or not len(others):
            continue
        part = exam.part(asked)
        scores = learned(exam.part(others), "weakfail", part)
        for pair in sorted(set(part.pairs)):
            places = part.where(pair=pair)
            found[name, pair] = scores[places], part.gains[places]
    return found


def class_table(exam: Exam, asked: Exam) -> Vector:
    """The mean gain of the prompt's class, shrunk towards the mean of all: no text is read, the class is given."""
    mean = float(exam.gains.mean())
    sums: dict[str, tuple[float, int]] = {}
    for task, gain in zip(exam.tasks, exam.gains, strict=True):
        total, number = sums.get(task, (0.0, 0))
        sums[task] = total + gain, number + 1
    known = {task: (total + PRIOR * mean) / (number + PRIOR) for task, (total, number) in sums.items()}
    return np.array([known.get(task, mean) for task in asked.tasks])
