"""The goals of routing, each with what was measured and the anchor that it is to be read beside.

A goal is judged by the requests of all seeds together; the least and the greatest value of a single seed show how
much that is worth. "The study" is that of the design: a model like this one, with a router of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.routing.figures import Figures, together
from tests.routing.runs import Results
from tests.routing.scenarios import HEDGED, ORACLE, OURS, PEAK_EWMA, ROUND_ROBIN
from tests.routing.sessions import Turns, all_turns

Reading = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` is to be at most `limit`, or at least, if `is_floor`. `low` and `high`: of single seeds."""

    number: str
    title: str
    measured: float
    limit: float
    low: float
    high: float
    shown: Reading
    anchor: str
    is_floor: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.limit if self.is_floor else self.measured <= self.limit


def _times(value: float) -> str:
    return f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _points(value: float) -> str:
    return f"{value:.2f} points"


def _count(value: float) -> str:
    return f"{value:.0f}"


def goals(results: Results) -> list[Goal]:
    """All goals of what was simulated."""
    found = [*_gate(results)]
    for scenario, judge in (
        ("silent", _silent),
        ("slow", _slow),
        ("low-traffic", _low_traffic),
        ("errors", _errors),
        ("healthy", _healthy),
    ):
        if (scenario, OURS) in results.scenarios:
            found += judge(results)
    return [*found, *_sessions(results), *_budgets(results)]


@dataclass(frozen=True, slots=True)
class _Part:
    """The figures of one scenario."""

    results: Results
    scenario: str

    def of(self, policy: str) -> Sequence[Figures]:
        return self.results.scenarios[self.scenario, policy]

    def ratio(self, policy: str, share: float) -> tuple[float, float, float]:
        """A percentile as a multiple of the oracle's: of all seeds, the least and the greatest of one."""
        pairs = list(zip(self.of(policy), self.of(ORACLE), strict=True))
        single = [ours.percentile(share) / oracle.percentile(share) for ours, oracle in pairs]
        ours, oracle = together(self.of(policy)), together(self.of(ORACLE))
        return ours.percentile(share) / oracle.percentile(share), min(single), max(single)

    def value(self, policy: str, read: Callable[[Figures], float]) -> tuple[float, float, float]:
        single = [read(figures) for figures in self.of(policy)]
        return read(together(self.of(policy))), min(single), max(single)

    def goal(
        self, number: str, title: str, measured: tuple[float, float, float], limit: float, shown: Reading, anchor: str
    ) -> Goal:
        return Goal(number, title, measured[0], limit, measured[1], measured[2], shown, anchor)


def _silent(results: Results) -> list[Goal]:
    part = _Part(results, "silent")
    peak = part.ratio(PEAK_EWMA, 0.99)[0]
    late = part.ratio(PEAK_EWMA, 0.999)[0]
    slow = part.value(PEAK_EWMA, _slow_share)[0]
    return [
        part.goal(
            "R1",
            "silent: p99 / oracle",
            part.ratio(OURS, 0.99),
            1.3,
            _times,
            f"P2C peak-EWMA here {peak:.1f}, in the study 10.8",
        ),
        part.goal(
            "R2",
            "silent: p99.9 / oracle, hedged",
            part.ratio(HEDGED, 0.999),
            2.0,
            _times,
            f"P2C peak-EWMA here {late:.1f}, in the study 7.0",
        ),
        part.goal(
            "R4",
            "silent: > 5 s",
            part.value(OURS, _slow_share),
            0.005,
            _percent,
            f"P2C peak-EWMA here {slow:.1%}, in the study 8.9 %",
        ),
    ]


def _slow(results: Results) -> list[Goal]:
    part = _Part(results, "slow")
    peak, robin = part.ratio(PEAK_EWMA, 0.99)[0], part.ratio(ROUND_ROBIN, 0.99)[0]
    anchor = f"P2C peak-EWMA here {peak:.1f}, in the study 2.9; round robin here {robin:.1f}, in the study 5.4"
    return [part.goal("R3", "slow: p99 / oracle", part.ratio(OURS, 0.99), 2.2, _times, anchor)]


def _low_traffic(results: Results) -> list[Goal]:
    part = _Part(results, "low-traffic")
    anchor = f"P2C peak-EWMA here {part.value(PEAK_EWMA, _slow_share)[0]:.1%}, in the study 14.1 %"
    return [part.goal("R4", "silent, low traffic: > 5 s", part.value(OURS, _slow_share), 0.015, _percent, anchor)]


def _errors(results: Results) -> list[Goal]:
    part = _Part(results, "errors")
    busy = part.value("least busy + failover", _extra)[0]
    return [
        part.goal(
            "R5",
            "errors: client errors",
            part.value(OURS, lambda figures: figures.failed_share),
            0.0001,
            _percent,
            "least busy without failover, in the study 15 %",
        ),
        part.goal(
            "R5",
            "errors: extra calls",
            part.value(OURS, _extra),
            0.02,
            _percent,
            f"least busy here {busy:.1%}, in the study 6.4 %",
        ),
    ]


def _healthy(results: Results) -> list[Goal]:
    part = _Part(results, "healthy")
    robin = part.ratio(ROUND_ROBIN, 0.99)[0]
    anchor = f"round robin here {robin:.2f}, in the study 1.18"
    worse = max(part.ratio(policy, 0.99) for policy in (OURS, HEDGED))
    extra = max(part.value(policy, _extra) for policy in (OURS, HEDGED))
    return [
        part.goal("R6", "healthy: p99 / oracle, hedged or not", worse, 1.2, _times, anchor),
        part.goal("R6", "healthy: extra calls, hedged or not", extra, 0.005, _percent, "in the study 0.1 %"),
    ]


def _gate(results: Results) -> list[Goal]:
    found = []
    for policy, runs in results.linkerd.items():
        shares = [run.share for run in runs]
        mean = sum(shares) / len(shares)
        off = [run.points_off for run in runs]
        found.append(
            Goal(
                "R7",
                f"Linkerd's experiment, {policy}",
                abs(mean - runs[0].published) * 100,
                0.5,
                min(off),
                max(off),
                _points,
                f"success {mean:.2%}, published {runs[0].published:.1%}",
            )
        )
    return found


def _sessions(results: Results) -> list[Goal]:
    if not results.sessions:
        return []
    every = [all_turns(runs) for runs in results.sessions.values()]
    switches = [float(turns.switches) for turns in every]
    bound = sum(turns.bound for turns in every)
    worst = min(every, key=lambda turns: turns.faithful_share)
    return [
        Goal(
            "A1",
            "switches among bound calls",
            sum(switches),
            0,
            min(switches),
            max(switches),
            _count,
            f"{bound:,} calls in tool loops or with state, four faults, a restart",
        ),
        Goal(
            "A2",
            "turns on their healthy target, worst fault",
            worst.faithful_share,
            0.95,
            *_range_of([_share_of(runs) for runs in results.sessions.values()]),
            _percent,
            f"{sum(turns.turns for turns in every):,} turns; by chance 17 %",
            is_floor=True,
        ),
    ]


def _share_of(runs: Sequence[Turns]) -> float:
    return all_turns(runs).faithful_share


def _range_of(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _budgets(results: Results) -> list[Goal]:
    if not results.budgets:
        return []
    off = {alias: max(abs(run.points_off) for run in runs) for alias, runs in results.budgets.items()}
    worst = max(off, key=off.__getitem__)
    return [
        Goal(
            "Q7",
            "strong share beside budget, worst hour",
            off[worst],
            2.0,
            min(off.values()),
            off[worst],
            _points,
            f"{len(off)} profiles, the worst {worst}",
        )
    ]


def _slow_share(figures: Figures) -> float:
    return figures.slow_share


def _extra(figures: Figures) -> float:
    return figures.extra_calls
