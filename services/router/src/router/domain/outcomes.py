"""How answers turned out, by class of request and target: what the operator's own traffic says of the tiers.

What counts is objective: arguments that are no JSON, structured output that is none, nothing said, cut off, broken off,
asked again at once. Rates are shrunk towards a target's average by a Beta prior worth `PRIOR` outcomes, and outcomes
lose half of their weight in `HALF_LIFE_SECONDS`. A class is believed once it has `ENOUGH` of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.router import RequestClass
from router.domain.tiers import Estimate

PRIOR = 20.0
ENOUGH = 500.0
HALF_LIFE_SECONDS = 14 * 86_400.0
# A class says something of both tiers only when each has served it.
ENOUGH_OF_A_TIER = 50.0


@dataclass(frozen=True, slots=True)
class Count:
    """Good and bad answers, weighted by their age, as of `at` (seconds since 1970)."""

    good: float = 0.0
    bad: float = 0.0
    at: float = 0.0

    @property
    def all(self) -> float:
        return self.good + self.bad

    def aged(self, now: float) -> "Count":
        """The same with the weights of `now`."""
        weight = 0.5 ** (max(now - self.at, 0.0) / HALF_LIFE_SECONDS)
        return Count(self.good * weight, self.bad * weight, max(now, self.at))

    def plus(self, good: float, bad: float, *, now: float) -> "Count":
        """With more outcomes of `now`."""
        aged = self.aged(now)
        return Count(aged.good + good, aged.bad + bad, aged.at)


Cell = tuple[RequestClass, str]
"""A class and a target."""


def gain_of(
    request_class: RequestClass, light: Sequence[str], strong: Sequence[str], counts: Mapping[Cell, Count]
) -> Estimate | None:
    """What the strong tier gains for a class, -1 to 1, when its outcomes are enough to say so."""
    cells = [
        [(counts.get((request_class, target), Count()), _average(target, counts)) for target in tier]
        for tier in (light, strong)
    ]
    sums = [sum(count.all for count, _ in tier) for tier in cells]
    if sum(sums) < ENOUGH or min(sums) < ENOUGH_OF_A_TIER:
        return None
    below, above = (_rate(tier) for tier in cells)
    return Estimate(above - below, "class_outcomes")


def _rate(tier: Iterable[tuple[Count, float]]) -> float:
    """The shrunk share of good answers, over the targets of a tier by how many each gave."""
    known = [(count, (count.good + PRIOR * average) / (count.all + PRIOR)) for count, average in tier]
    weights = sum(count.all for count, _ in known)
    return sum(count.all * rate for count, rate in known) / weights


def _average(target: str, counts: Mapping[Cell, Count]) -> float:
    """A target's share of good answers over all classes; a half when it has given none."""
    mine = [count for (_, name), count in counts.items() if name == target]
    all_of_them = sum(count.all for count in mine)
    return sum(count.good for count in mine) / all_of_them if all_of_them else 0.5
