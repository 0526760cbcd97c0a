"""Requests of a Responses client to a Responses provider: passed on, but for what is ours or would tell who asks."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.lane import Lane, Quirks, Target, Unservable
from gateway.wire.responses.native.lane import native_lane
from gateway.wire.responses.request import ResponsesRequest
from tests.unit.gateway.wire.responses_provider_events import IDENTITY, TARGET, Seal, asked, mint

DEVELOPER = replace(TARGET, quirks=Quirks(system_role="developer", merges_system=False))
ENCRYPTED = "reasoning.encrypted_content"


def laned(request: ResponsesRequest, target: Target = DEVELOPER) -> Lane:
    return native_lane(request, target, IDENTITY, mint, Seal())


def body(target: Target = DEVELOPER, **fields: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(laned(asked(**fields), target).body)
    return read


def items(*given_items: dict[str, Any], target: Target = DEVELOPER) -> list[dict[str, Any]]:
    """The items that reach the provider; those that the reader of requests refuses go past it."""
    request = replace(asked(), input_items=given_items)
    read: list[dict[str, Any]] = json.loads(laned(request, target).body)["input"]
    return read


def test_the_least_request_asks_for_nothing_more_and_is_kept_nowhere() -> None:
    lane = laned(asked())
    assert lane.path == "/responses"
    assert lane.completed is not None
    assert lane.completed() is lane.completed()
    assert json.loads(lane.body) == {
        "model": "acme-1",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "stream": True,
        "store": False,
    }
    assert body(stream=False)["stream"] is False


def test_the_clients_own_fields_pass_as_they_came() -> None:
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False, "x_vendor": 1},
        {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "g", "parameters": {}}]},
        {"type": "web_search", "external_web_access": True},
        {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
    ]
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "high", "summary": "auto"},
        "max_output_tokens": 64,
        "top_k": 5,
    }
    assert {name: value for name, value in body(**fields).items() if name in fields} == fields


IDENTIFYING: dict[str, Any] = {
    "user": "AnnaX",
    "safety_identifier": "AnnaX",
    "metadata": {"a": "AnnaX"},
    "prompt_cache_key": "AnnaX",
    "client_metadata": {"a": "AnnaX"},
    "service_tier": "flex",
    "models": ["AnnaX"],
    "api_base": "AnnaX",
}


@pytest.mark.parametrize("name", IDENTIFYING)
def test_what_tells_who_asks_or_steers_past_the_profile_stays_here(name: str) -> None:
    assert name not in body(**{name: IDENTIFYING[name]})


def test_nothing_of_a_customer_is_in_the_bytes() -> None:
    assert b"AnnaX" not in laned(asked(**IDENTIFYING)).body


def test_ids_and_internal_notes_of_items_stay_here_and_the_ids_of_calls_pass() -> None:
    assert items(
        {"type": "message", "role": "user", "id": "msg_1", "content": "Hi", "x_vendor": 1},
        {"type": "message", "role": "user", "content": "a", "internal_chat_message_metadata_passthrough": {"a": 1}},
        {"type": "function_call", "id": "fc_1", "call_id": "call_0", "name": "f", "namespace": "m", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0", "output": "x"},
        {"type": "vendor_item", "id": "x", "what": {"id": "inner"}},
        {"type": "additional_tools", "role": "developer", "id": "y", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f", "arguments": "{}", "server_label": "s"},
    ) == [
        {"type": "message", "role": "user", "content": "Hi", "x_vendor": 1},
        {"type": "message", "role": "user", "content": "a"},
        {"type": "function_call", "call_id": "call_0", "name": "f", "namespace": "m", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0", "output": "x"},
        {"type": "vendor_item", "what": {"id": "inner"}},
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f", "arguments": "{}", "server_label": "s"},
    ]


def test_thoughts_are_taken_up_by_the_target_that_they_came_from_only() -> None:
    summary = [{"type": "summary_text", "text": "Hm"}]
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}
    assert items(
        {"type": "reasoning", "id": "rs_1", "summary": summary, "content": None, "encrypted_content": "ours:state"},
        {"type": "reasoning", "summary": summary, "encrypted_content": "theirs"},
        {"type": "reasoning", "summary": summary},
        {**thought, "encrypted_content": None},
    ) == [
        {"type": "reasoning", "summary": summary, "content": None, "encrypted_content": "state"},
        thought,
    ]


def test_a_conversation_in_a_state_that_cannot_be_read_is_for_another_target() -> None:
    assert items({"type": "compaction", "encrypted_content": "ours:all"})[0]["encrypted_content"] == "all"
    with pytest.raises(Unservable) as caught:
        items({"type": "compaction", "encrypted_content": "theirs"})
    assert caught.value.param == "input"


def test_the_clients_wishes_for_more_are_kept_beside_ours() -> None:
    include = ["message.output_text.logprobs", ENCRYPTED]
    assert body(include=include)["include"] == include
    assert body(include=include[:1])["include"] == include[:1]


def test_the_state_of_thoughts_is_asked_for_where_there_may_be_any() -> None:
    include = ["message.output_text.logprobs"]
    assert body(include=include, reasoning={"effort": "low"})["include"] == [*include, ENCRYPTED]
    thinking = replace(DEVELOPER, quirks=replace(DEVELOPER.quirks, replays_reasoning=True))
    assert body(thinking)["include"] == [ENCRYPTED]


@pytest.mark.parametrize(("wish", "cap", "sent"), [(20, None, 20), (20, 90, 20), (90, 20, 20), (None, 20, 20)])
def test_the_lower_of_wish_and_cap_is_sent(wish: int | None, cap: int | None, sent: int) -> None:
    fields = {} if wish is None else {"max_output_tokens": wish}
    assert body(replace(DEVELOPER, max_output_tokens=cap), **fields)["max_output_tokens"] == sent


def test_fields_are_dropped_and_renamed_last_and_a_lost_wish_is_named() -> None:
    target = replace(DEVELOPER, drop=("include", "temperature"), rename={"max_output_tokens": "max_tokens"})
    lane = laned(asked(temperature=1.0, max_output_tokens=20), target)
    read = json.loads(lane.body)
    assert (read["max_tokens"], read.keys() & {"include", "temperature", "max_output_tokens"}) == (20, set())
    assert lane.ignored == ("temperature",)


def test_a_target_without_parallel_calls_is_not_asked_for_them() -> None:
    lane = laned(asked(parallel_tool_calls=True), replace(TARGET, quirks=Quirks(takes_parallel_calls=False)))
    assert "parallel_tool_calls" not in json.loads(lane.body)
    assert lane.ignored == ("parallel_tool_calls",)


@pytest.mark.parametrize("role", ["system", "user", "developer"])
def test_instructions_go_where_the_target_wants_them(role: str) -> None:
    history = [{"role": "developer", "content": "B"}, {"role": "user", "content": "Hi"}]
    merging = replace(TARGET, quirks=Quirks(system_role=role))  # type: ignore[arg-type]
    read = body(merging, instructions="A", input=history)
    assert "instructions" not in read
    assert read["input"] == [{"type": "message", "role": role, "content": "A\n\nB"}, {"role": "user", "content": "Hi"}]
    apart = body(replace(merging, quirks=replace(merging.quirks, merges_system=False)), instructions="A", input=history)
    assert apart["instructions"] == "A"
    assert [item["role"] for item in apart["input"]] == [role, "user"]


def test_tools_among_the_items_are_no_instructions() -> None:
    tools = {"type": "additional_tools", "role": "developer", "tools": []}
    told = {"type": "message", "role": "developer", "content": "A"}
    assert items(told, tools, told, target=TARGET) == [
        {"type": "message", "role": "system", "content": "A\n\nA"},
        tools,
    ]


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
SCHEMA = {"format": {"type": "json_schema", "name": "a", "schema": {}}}


@pytest.mark.parametrize(
    ("quirks", "fields", "param"),
    [
        (Quirks(takes_images=False), {"input": [{"role": "user", "content": [PICTURE]}]}, "input"),
        (Quirks(takes_tools=False), {"tools": [{"type": "function", "name": "f"}]}, "tools"),
        (Quirks(takes_schema=False), {"text": SCHEMA}, "text"),
    ],
)
def test_a_target_is_not_asked_for_what_it_does_not_have(quirks: Quirks, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Unservable) as caught:
        body(replace(TARGET, quirks=quirks), **fields)
    assert caught.value.param == param


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=4))
def test_whatever_is_in_an_unknown_item_passes_as_it_is(fields: dict[str, Any]) -> None:
    item = {**fields, "type": "vendor_item"}
    expected = {name: value for name, value in item.items() if name != "id"}
    assert items(item) == [expected]
