"""All faults by their names, and the worlds that they are played in."""

from collections.abc import Mapping

from tests.faults.catalogue import midnights, others, processes, servers
from tests.faults.fault import Fault
from tests.faults.world import Shape

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        *processes.FAULTS,
        *servers.FAULTS,
        *others.FAULTS,
        *midnights.FAULTS,
        processes.REAL_LEASE,
    )
}

SHAPES: Mapping[str, Shape] = {
    "house": Shape(),
    "cluster": Shape(name="cluster", nats_nodes=3),
    "real lease": Shape(name="real lease", lease_seconds=50.0, sweep_seconds=5.0, has_own_leases=False),
    **midnights.SHAPES,
}

# A few of each kind, within two minutes: what every change has to survive.
SHORT = (
    "gateway-killed-streaming",
    "gateway-killed-unsettled",
    "billing-killed-recorded",
    "store-full",
    "told-again",
    "provider-error-in-200",
    "clients-gone-middle",
)
