"""The router's word as customers get it."""

import json

import pytest

from contracts.router import Candidate, Chosen, Route, Unroutable
from gateway.errors import ContextTooLong, RequestInvalid, ServiceUnavailable
from gateway.routes import no_way, spelled_route, taken
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.responses.decode import from_responses_request
from tests.routes import ROUTE

CHAT = from_chat_request(json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode())
NEWER = from_chat_request(
    json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 9}).encode()
)
RESPONSES = from_responses_request(json.dumps({"model": "m", "input": "Hi"}).encode())


def chosen(route: Route | None = ROUTE) -> Chosen:
    candidates = tuple(Candidate(target=name, base_url="http://x", model="m", key=None) for name in "abc")
    return Chosen(alias="m", plans_version=1, profiles_version=7, candidates=candidates, route=route)


@pytest.mark.parametrize(("place", "ending"), [(2, "target=2/3"), (None, "target=none/3")])
def test_the_header_says_which_way_and_names_no_target(place: int | None, ending: str) -> None:
    went = taken(chosen(), place=place, hedges=0)
    assert went is not None
    assert spelled_route(went) == (
        f"profiles=7; class=code; tier=strong; rule=difficulty; placement=affinity; {ending}"
    )


def test_without_a_word_of_the_router_there_is_no_way_to_tell() -> None:
    assert taken(chosen(None), place=1, hedges=0) is None


@pytest.mark.parametrize(
    ("lack", "request_", "param"),
    [
        ("tools", CHAT, "tools"),
        ("parallel_calls", CHAT, "parallel_tool_calls"),
        ("images", CHAT, "messages"),
        ("images", RESPONSES, "input"),
        ("schema", CHAT, "response_format"),
        ("schema", RESPONSES, "text.format"),
        ("output", CHAT, "max_tokens"),
        ("output", NEWER, "max_completion_tokens"),
        ("output", RESPONSES, "max_output_tokens"),
    ],
)
def test_what_nothing_can_do_is_named_as_the_client_names_it(lack: str, request_: object, param: str) -> None:
    error = no_way(Unroutable.model_validate({"reason": "no_target", "lacks": [lack]}), request_)  # type: ignore[arg-type]
    assert isinstance(error, RequestInvalid)
    assert (error.code, error.param) == ("unsupported_value", param)


def test_several_lacks_are_all_named_and_what_is_lost_comes_first() -> None:
    both = no_way(Unroutable(reason="no_target", lacks=("tools", "images")), CHAT)
    assert both.message == "This model cannot take tools and images."
    assert no_way(Unroutable(reason="no_target", lacks=("tools", "state")), CHAT).code == "conversation_lost"


def test_what_is_too_long_is_told_by_the_field_that_is() -> None:
    error = no_way(Unroutable(reason="no_target", lacks=("context",)), RESPONSES)
    assert isinstance(error, ContextTooLong)
    assert error.param == "input"


@pytest.mark.parametrize(
    "reply",
    [
        Unroutable(reason="no_target"),
        Unroutable(reason="no_target", lacks=("region",)),
        Unroutable(reason="unknown_alias"),
        Unroutable(reason="unknown_plan"),
    ],
)
def test_a_fault_of_the_operator_is_not_the_customers(reply: Unroutable) -> None:
    assert isinstance(no_way(reply, CHAT), ServiceUnavailable)
