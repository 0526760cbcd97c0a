"""The router's word as a customer gets it: which way a request went and why, or why there is no way."""

from collections.abc import Mapping

from contracts.gateway import RouteTaken
from contracts.router import Chosen, Unroutable
from gateway.errors import ContextTooLong, GatewayError, RequestInvalid, ServiceUnavailable
from gateway.wire.lane import ClientRequest
from gateway.wire.lanes import param_of

ROUTE_HEADER = "x-smartroute-route"

# What no target can do: what it is called, and where the client asks for it (by chat's name).
_LACKING: Mapping[str, tuple[str, str]] = {
    "tools": ("tools", "tools"),
    "parallel_calls": ("several tool calls at once", "parallel_tool_calls"),
    "images": ("images", "messages"),
    "schema": ("structured output by a schema", "response_format"),
    "output": ("so long an answer", "max_tokens"),
}
_OTHER_CAP = "max_completion_tokens"


def taken(chosen: Chosen, *, place: int | None, hedges: int) -> RouteTaken | None:
    """The way that a request went; None when the router does not tell why. `place` of who speaks, from 1."""
    if chosen.route is None:
        return None
    return RouteTaken(route=chosen.route, target=place, of=len(chosen.candidates), hedges=hedges)


def spelled_route(taken: RouteTaken) -> str:
    """The header: `profiles=7; class=code; tier=strong; rule=difficulty; placement=affinity; target=2/3`."""
    route = taken.route
    return (
        f"profiles={route.profiles_version}; class={route.request_class}; tier={route.tier}; rule={route.rule}; "
        f"placement={route.placement}; target={taken.target or 'none'}/{taken.of}"
    )


def no_way(unroutable: Unroutable, request: ClientRequest) -> GatewayError:
    """What a customer is told when there is no target for a request.

    What is for the operator to put right (an unknown alias or plan, a region without targets) is no fault of theirs.
    """
    lacks = unroutable.lacks
    if "state" in lacks:
        return _lost_conversation()
    lacking = [_LACKING[name] for name in lacks if name in _LACKING]
    if lacking:
        names = " and ".join(name for name, _ in lacking)
        param = _param_of(request, lacking[0][1])
        return RequestInvalid(f"This model cannot take {names}.", code="unsupported_value", param=param)
    if "context" in lacks:
        return ContextTooLong(param=param_of(request, "messages"))
    return ServiceUnavailable()


def _lost_conversation() -> RequestInvalid:
    error = RequestInvalid(
        "This conversation cannot be gone on with: what it was answered by is not there any more. Nothing was charged; "
        "begin a new one, or send it without the model's reasoning and open tool calls.",
        code="conversation_lost",
    )
    error.headers["x-should-retry"] = "false"
    return error


def _param_of(request: ClientRequest, param: str) -> str:
    if param == "max_tokens" and _OTHER_CAP in request.fields:
        return _OTHER_CAP
    return param_of(request, param)
