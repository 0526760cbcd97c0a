"""What is read off a simulation: times to the first byte, their percentiles, failures, and calls.

A request that failed for its client counts as one that waited 15 s, however fast it was refused: an error must never
make a percentile better. So does one that was still waiting when the simulation ended.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.routing.upstreams import Journey

FAILED_SECONDS = 15.0
SLOW_SECONDS = 5.0


@dataclass(slots=True)
class Figures:
    """Requests that arrived in the observed time, of one run or of several together."""

    ttft: list[float] = field(default_factory=list)
    failures: int = 0
    calls: int = 0
    hedges: int = 0

    @property
    def requests(self) -> int:
        return len(self.ttft)

    def percentile(self, share: float) -> float:
        """Seconds to the first byte that `share` of the requests did not exceed."""
        return percentile(sorted(self.ttft), share)

    @property
    def slow_share(self) -> float:
        """The share of requests that waited for longer than 5 s, failed ones included."""
        return sum(seconds > SLOW_SECONDS for seconds in self.ttft) / max(self.requests, 1)

    @property
    def failed_share(self) -> float:
        return self.failures / max(self.requests, 1)

    @property
    def extra_calls(self) -> float:
        """Upstream calls beyond one per request, per request."""
        return self.calls / max(self.requests, 1) - 1.0

    @property
    def hedged_share(self) -> float:
        return self.hedges / max(self.requests, 1)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank: the least of the values, which are in order, that `share` of all do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    # Rounded before it is rounded up: 0.999 of 1,000 is the 999th, whatever binary fractions say.
    rank = math.ceil(round(share * len(ordered), 9))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def observed(journeys: Iterable[Journey], begin: float, end: float) -> Figures:
    """The figures of the requests that arrived from `begin` to before `end`."""
    figures = Figures()
    for journey in journeys:
        if not begin <= journey.request.at < end:
            continue
        is_failed = journey.is_failed or journey.ttft is None
        seconds = FAILED_SECONDS if journey.ttft is None else journey.ttft
        if journey.is_failed and journey.ended_at is not None:
            seconds = max(FAILED_SECONDS, journey.ended_at - journey.request.at)
        figures.ttft.append(seconds)
        figures.failures += is_failed
        figures.calls += len(journey.attempts)
        figures.hedges += journey.hedges
    return figures


def together(runs: Iterable[Figures]) -> Figures:
    """The requests of several runs as if of one."""
    figures = Figures()
    for run in runs:
        figures.ttft += run.ttft
        figures.failures += run.failures
        figures.calls += run.calls
        figures.hedges += run.hedges
    return figures
