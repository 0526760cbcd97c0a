"""Gate 1: the simulator against a published experiment, before anything of ours is believed.

Linkerd, "Beyond Round Robin: Load Balancing for Latency" (2016): 11 servers, 1,000 requests per second for 60 s; one
server goes from 167 ms to 2 s for 30 s. The share of requests answered within 1 s is about 95 % with round robin, 99 %
with least loaded, 99.9 % with peak EWMA. One balancer, no failover, whole answers instead of streams.

Times are constant up to a sigma of 0.1, and both balancers that look at load look at two random servers, as Linkerd's
do. Nothing is cut off at a second: it is counted what a caller with that time-out would have got.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.routing.baselines import LeastBusy, PeakEwma, RoundRobin
from tests.routing.draws import Shape, requests
from tests.routing.engine import Policy, Rules, Simulation
from tests.routing.upstreams import Fault, Upstream

SERVERS = 11
PER_SECOND = 1000.0
SECONDS = 60.0
USUAL_SECONDS = 0.167
SLOW_SECONDS = 2.0
TIMEOUT_SECONDS = 1.0
SHAPE = Shape(
    medians=(USUAL_SECONDS,) * SERVERS, sigma=0.1, stream_median=0.0, stream_sigma=0.0, slots=100_000, replicas=1
)
PUBLISHED: Mapping[str, float] = {"round robin": 0.95, "least loaded": 0.99, "peak EWMA": 0.999}


@dataclass(frozen=True, slots=True)
class Success:
    """The shares of requests that were answered in time."""

    policy: str
    share: float
    published: float

    @property
    def points_off(self) -> float:
        """Percentage points from what was published."""
        return abs(self.share - self.published) * 100


def success(policy: str, *, seed: int, scale: float = 1.0) -> Success:
    """One run of the experiment; `scale` shortens all of its times alike, for tests."""
    begin, end = SECONDS * scale / 4, SECONDS * scale * 3 / 4
    fault = Fault("slow", frozenset({0}), begin=begin, end=end, factor=SLOW_SECONDS / USUAL_SECONDS)
    upstreams = [Upstream(index, SHAPE.slots, (fault,)) for index in range(SERVERS)]
    simulation = Simulation(upstreams, _POLICIES[policy](seed), gateways=1, rules=Rules(attempts=1))
    arrivals = requests(SHAPE, per_second=PER_SECOND, seconds=SECONDS * scale, seed=f"linkerd {seed}")
    simulation.run(arrivals, until=SECONDS * scale + 2 * SLOW_SECONDS)
    times = [journey.ttft for journey in simulation.journeys]
    answered = sum(seconds is not None and seconds <= TIMEOUT_SECONDS for seconds in times)
    return Success(policy, answered / len(times), PUBLISHED[policy])


def _round_robin(seed: int) -> Policy:
    return RoundRobin(SERVERS, 1)


def _least_loaded(seed: int) -> Policy:
    return LeastBusy(SERVERS, 1, seed=seed, look_at=2)


def _peak_ewma(seed: int) -> Policy:
    return PeakEwma(SERVERS, 1, seed=seed)


_POLICIES: Mapping[str, Callable[[int], Policy]] = {
    "round robin": _round_robin,
    "least loaded": _least_loaded,
    "peak EWMA": _peak_ewma,
}
