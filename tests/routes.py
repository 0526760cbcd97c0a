"""A route like those on receipts, for tests that only pass it on."""

from contracts.gateway import RouteTaken
from contracts.router import Route

ROUTE = Route(
    profiles_version=7,
    request_class="code",
    tier="strong",
    rule="difficulty",
    placement="affinity",
    candidates=3,
    considered=5,
)


def a_route_taken(target: int | None = 2, *, hedges: int = 1) -> RouteTaken:
    """The second of three candidates answered, after one call beside the first."""
    return RouteTaken(route=ROUTE, target=target, of=3, hedges=hedges)
