"""Which way requests went: kept beside their lines as explanation, no money, and no part of what is hashed."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from billing.domain.lines import Entry, Kind, Settlement
from contracts.gateway import RouteTaken

# By request and place in the stream: of several settlements of a request each has its own.
Routes = Mapping[tuple[UUID, int], RouteTaken]


def routes_of(settlements: Sequence[Settlement]) -> Routes:
    """What these settlements tell of routes; gateways of earlier releases and quota's sweeper tell none."""
    return {
        (settlement.settled.request_id, settlement.sequence): settlement.settled.route
        for settlement in settlements
        if settlement.settled.route is not None
    }


def route_beside(entry: Entry, routes: Routes) -> RouteTaken | None:
    """The route of a settlement's own line. Lines that put another one right have none: that one has it."""
    return routes.get((entry.request_id, entry.stream_sequence)) if entry.kind == Kind.SETTLEMENT else None
