"""What it is worth that replicas tell each other, where little arrives: one of six silent, 3/s over 8 replicas.

The scenario `low-traffic` with ours, and less and less of what the replicas hear of each other's requests.
"""

from collections.abc import Mapping

from tests.routing.figures import Figures
from tests.routing.ours import Ours, Sharing
from tests.routing.scenarios import SCENARIOS, played

SCENARIO = SCENARIOS["low-traffic"]
WAYS: Mapping[str, Sharing] = {
    "nothing shared": Sharing("none"),
    "open calls alone": Sharing("loads"),
    "all, told every 1 s": Sharing(batch_seconds=1.0),
    "all, told every 0.2 s": Sharing(batch_seconds=0.2),
    "all, told within 50 ms": Sharing(),
}


def shared(way: str, *, seed: int | str, scale: float = 1.0) -> Figures:
    """One run of ours in the scenario, with this way of sharing."""
    shape, upstreams = SCENARIO.shape, SCENARIO.upstreams(scale=scale)
    policy = Ours(shape.upstreams, shape.replicas, sharing=WAYS[way])
    return played(SCENARIO, policy, upstreams, seed=seed, scale=scale)
