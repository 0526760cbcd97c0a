"""What happens to the upstreams in each scenario, how much comes in, and who is compared.

Faults last from 30 to 75 s of 120 s; figures are of the requests that arrive in that time. Six upstreams with 48 slots
each, 44 requests per second: 70 % load, 85 % with one gone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.routing.baselines import LeastBusy, LowestLatency, Oracle, PeakEwma, RoundRobin
from tests.routing.draws import Request, Shape, requests
from tests.routing.engine import Policy, Simulation
from tests.routing.figures import Figures, observed
from tests.routing.ours import Ours
from tests.routing.upstreams import Fault, Kind, Upstream

BEGIN, END = 30.0, 75.0
SECONDS = 120.0
ONE = frozenset({0})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault under one load. `rounds` are runs per seed: where little arrives, one run says little."""

    name: str
    title: str
    faults: tuple[Fault, ...] = ()
    per_second: float = 44.0
    shape: Shape = field(default_factory=Shape)
    rounds: int = 1

    def arrivals(self, seed: int | str, *, scale: float = 1.0) -> list[Request]:
        """The requests of one run: the same for every policy. `scale` shortens the run, and the fault with it."""
        return requests(self.shape, per_second=self.per_second, seconds=SECONDS * scale, seed=f"{self.name} {seed}")

    def upstreams(self, *, scale: float = 1.0) -> list[Upstream]:
        faults = [replace(fault, begin=fault.begin * scale, end=fault.end * scale) for fault in self.faults]
        return [Upstream(index, self.shape.slots, faults) for index in range(self.shape.upstreams)]


def _fault(kind: Kind, upstreams: frozenset[int] = ONE, *, share: float = 1.0, period: float | None = None) -> Fault:
    return Fault(kind, upstreams, BEGIN, END, share=share, period=period)


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("healthy", "healthy, 44/s"),
        Scenario("slow", "one of six ten times as slow to its first byte, 44/s", (_fault("slow"),)),
        Scenario("silent", "one of six silent, 44/s", (_fault("silent"),)),
        Scenario("errors", "one of six refuses half of its calls at once (503), 44/s", (_fault("errors", share=0.5),)),
        Scenario("two-silent", "two of six silent, 30/s", (_fault("silent", frozenset({0, 1})),), per_second=30.0),
        Scenario(
            "low-traffic",
            "one of six silent, 3/s over 8 replicas",
            (_fault("silent"),),
            per_second=3.0,
            shape=Shape(replicas=8),
            rounds=8,
        ),
        Scenario("limited", "one of six answers 429 with Retry-After 5 s, 44/s", (_fault("limited"),)),
        Scenario("flapping", "one of six silent and well in turns of 5 s, 44/s", (_fault("silent", period=5.0),)),
    )
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy is made for: the scenario's shape, its upstreams (for the oracle alone) and the run's seed."""

    shape: Shape
    upstreams: list[Upstream]
    seed: int | str


def _oracle(setting: Setting) -> Policy:
    shape = setting.shape
    # The mean of a lognormal: what a call holds its slot for, on average.
    stream = shape.stream_median * math.exp(shape.stream_sigma**2 / 2)
    first_byte = sum(shape.medians) / len(shape.medians) * math.exp(shape.sigma**2 / 2)
    return Oracle(setting.upstreams, shape.medians, hold_seconds=stream + first_byte)


POLICIES: Mapping[str, Callable[[Setting], Policy]] = {
    "round robin + failover": lambda of: RoundRobin(of.shape.upstreams, of.shape.replicas),
    "least busy + failover": lambda of: LeastBusy(of.shape.upstreams, of.shape.replicas, seed=of.seed),
    "lowest mean of last 10": lambda of: LowestLatency(of.shape.upstreams, of.shape.replicas),
    "P2C peak-EWMA + failover": lambda of: PeakEwma(of.shape.upstreams, of.shape.replicas, seed=of.seed),
    "same + breaker": lambda of: PeakEwma(of.shape.upstreams, of.shape.replicas, seed=of.seed, has_breaker=True),
    "ours": lambda of: Ours(of.shape.upstreams, of.shape.replicas),
    "ours + hedge": lambda of: Ours(of.shape.upstreams, of.shape.replicas, may_hedge=True),
    "oracle": _oracle,
}
OURS, HEDGED, ORACLE, PEAK_EWMA, ROUND_ROBIN = (
    "ours",
    "ours + hedge",
    "oracle",
    "P2C peak-EWMA + failover",
    "round robin + failover",
)


def play(scenario: Scenario, policy: str, *, seed: int | str, scale: float = 1.0) -> Figures:
    """One run: the figures of the requests that arrived during the fault."""
    upstreams = scenario.upstreams(scale=scale)
    made = POLICIES[policy](Setting(scenario.shape, upstreams, seed))
    return played(scenario, made, upstreams, seed=seed, scale=scale)


def played(
    scenario: Scenario, policy: Policy, upstreams: list[Upstream], *, seed: int | str, scale: float = 1.0
) -> Figures:
    """The same with a policy that was made elsewhere."""
    simulation = Simulation(upstreams, policy, gateways=scenario.shape.replicas)
    # Long enough for every request: three first bytes of 15 s and a long stream.
    simulation.run(scenario.arrivals(seed, scale=scale), until=SECONDS * scale + 300.0)
    return observed(simulation.journeys, BEGIN * scale, END * scale)
