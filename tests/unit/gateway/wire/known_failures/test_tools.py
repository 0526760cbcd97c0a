"""Known failures with tools: refused, renamed, turned into another kind, mixed up. See docs/known-failures.md."""

import itertools
import json
import re
from collections.abc import Sequence

import pytest

from devstack.provider import Answer, ToolCall
from gateway.turns import LENGTH
from gateway.wire.lane import ProviderFormat, Unservable
from tests.unit.gateway.wire.known_failures.wires import (
    AGENT_FORMATS,
    CROSSINGS,
    Json,
    Wires,
    past_calls,
    payload,
    text_call_arguments,
)

OBJECT: Json = {"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": False}
PATCH = '*** Begin Patch\n*** Update File: a.py\n-x = "1"\n+x = "ü"\n*** End Patch\n'
EXEC: Json = {"type": "function", "name": "exec_command", "strict": False, "parameters": OBJECT}
APPLY_PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"},
}
PICTURES: Json = {
    "type": "namespace",
    "name": "mcp__pictures",
    "description": "Pictures.",
    "tools": [{"type": "function", "name": "show", "strict": False, "parameters": OBJECT}],
}
# What Codex declares, at its widest.
TOOLS: list[Json] = [
    EXEC,
    PICTURES,
    APPLY_PATCH,
    {"type": "web_search", "external_web_access": True},
    {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": OBJECT},
    {"type": "local_shell"},
]
QUESTION: Json = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}
BODY: Json = {"input": [QUESTION], "tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True, "store": False}


def called(*calls: ToolCall, interleaved: bool = False) -> Answer:
    return Answer(text=None, tool_calls=calls, interleaved=interleaved)


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_01_tools_of_every_kind_are_taken_and_none_is_a_reason_to_refuse(format: ProviderFormat) -> None:
    told = Wires(format).stream(BODY, Answer(text="Done."))
    assert told.output[0]["content"][0]["text"] == "Done."
    tools = told.asked["tools"]
    if format == "responses":
        assert [tool["type"] for tool in tools] == [tool["type"] for tool in TOOLS]
        assert told.lane.ignored == ()
    else:
        names = [tool["function"]["name"] if format == "chat" else tool["name"] for tool in tools]
        assert names == ["exec_command", "mcp__pictures__show", "apply_patch", "tool_search", "local_shell"]
        assert "tools.web_search" in told.lane.ignored


def test_wire_01_a_provider_that_knows_no_tools_is_passed_over() -> None:
    with pytest.raises(Unservable) as cannot:
        Wires("completions").lane(BODY)
    assert cannot.value.param == "tools"


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_02_a_namespace_is_restored_on_the_way_back(format: ProviderFormat) -> None:
    wires = Wires(format)
    answer = called(ToolCall("mcp__pictures__show", '{"path":"a.png"}'), ToolCall("exec_command"))
    told = wires.stream(BODY, answer)
    items = [event["item"] for event in told.events if "item" in event]
    assert {(item["name"], item.get("namespace")) for item in items} == {
        ("show", "mcp__pictures"),
        ("exec_command", None),
    }
    assert b"mcp__pictures__show" not in told.raw
    show, command = wires.whole(BODY, answer)["output"]
    assert (show["name"], show["namespace"], "namespace" in command) == ("show", "mcp__pictures", False)
    # And the model sees its own call again.
    results = [{"type": "function_call_output", "call_id": call["call_id"], "output": "x"} for call in told.output]
    again = wires.stream({**BODY, "input": [QUESTION, *told.output, *results]})
    name = ("show", "mcp__pictures") if format == "responses" else ("mcp__pictures__show", None)
    assert past_calls(format, again.asked) == [(*name, {"path": "a.png"}), ("exec_command", None, {})]


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_03_a_patch_as_free_text_stays_a_custom_call(format: ProviderFormat) -> None:
    wires = Wires(format)
    answer = called(ToolCall("apply_patch", text_call_arguments(format, PATCH)))
    told = wires.stream(BODY, answer)
    (call,) = told.output
    assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    pieces = [event["delta"] for event in told.events if event["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(pieces) == PATCH
    assert wires.whole(BODY, answer)["output"][0]["input"] == PATCH
    done = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "Success"}
    again = wires.stream({**BODY, "input": [QUESTION, call, done]})
    given = PATCH if format == "responses" else {"input": PATCH}
    assert past_calls(format, again.asked) == [("apply_patch", None, given)]


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_03_a_patch_for_a_chat_client_stays_a_custom_call(format: ProviderFormat) -> None:
    custom = {"type": "custom", "custom": {"name": "apply_patch", "format": {"type": "text"}}}
    body: Json = {"messages": [{"role": "user", "content": "Go."}], "tools": [custom]}
    arguments = PATCH if format == "chat" else text_call_arguments("chat", PATCH)
    told = Wires(format).stream(body, called(ToolCall("apply_patch", arguments)), chat=True)
    pieces = [piece["custom"] for delta in told.deltas for piece in delta.get("tool_calls") or ()]
    assert pieces[0]["name"] == "apply_patch"
    assert "".join(piece.get("input") or "" for piece in pieces) == PATCH


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_03_a_local_shell_call_stays_one(format: ProviderFormat) -> None:
    (call,) = Wires(format).stream(BODY, called(ToolCall("local_shell", '{"command": "ls -l"}'))).output
    assert (call["type"], call["action"]["command"]) == ("local_shell_call", ["bash", "-lc", "ls -l"])


NEW_ITEMS: list[Json] = [
    {"type": "additional_tools", "role": "developer", "tools": [PICTURES, APPLY_PATCH]},
    {"type": "tool_search_call", "call_id": "call_s", "execution": "client", "arguments": {"query": "files"}},
    {"type": "tool_search_output", "call_id": "call_s", "execution": "client", "tools": [EXEC]},
]
UNKNOWN_TOOL: Json = {"type": "hologram", "projector": {"lumen": 7}}


def test_c21_items_and_tools_newer_than_us_reach_a_provider_of_the_same_format_as_they_are() -> None:
    unknown = {"type": "hologram_call", "content": [{"type": "beam", "lumen": 7}], "status": "completed"}
    request: Json = {"input": [*NEW_ITEMS, unknown, QUESTION], "tools": [UNKNOWN_TOOL]}
    asked = json.loads(Wires("responses", is_strict=False).lane(request).body)
    assert (asked["input"], asked["tools"]) == (request["input"], [UNKNOWN_TOOL])


@pytest.mark.parametrize("format", CROSSINGS)
def test_c21_elsewhere_they_work_by_a_listed_rule_and_what_does_not_is_named(format: ProviderFormat) -> None:
    note = {"type": "hologram_note", "status": "completed"}
    body = {"input": [*NEW_ITEMS, note, QUESTION], "tools": [UNKNOWN_TOOL, TOOLS[4]]}
    told = Wires(format).stream(body, called(ToolCall("exec_command"), ToolCall("mcp__pictures__show")))
    assert [(call["name"], call.get("namespace")) for call in told.output] == [
        ("exec_command", None),
        ("show", "mcp__pictures"),
    ]
    assert set(told.lane.ignored) == {"tools.hologram", "input.hologram_note"}


@pytest.mark.parametrize("format", CROSSINGS)
def test_c21_an_unknown_item_with_content_goes_to_who_understands_it_and_never_vanishes(format: ProviderFormat) -> None:
    unknown = {"type": "hologram_call", "content": "what was said"}
    with pytest.raises(Unservable):
        Wires(format).lane({"input": [unknown, QUESTION]})


THREE = (
    ToolCall("exec_command", '{"path":"first"}'),
    ToolCall("exec_command", '{"path":"second"}'),
    ToolCall("mcp__pictures__show", '{"path":"third"}'),
)
EXPECTED = [("exec_command", "first"), ("exec_command", "second"), ("show", "third")]


def mixed(events: Sequence[bytes]) -> list[bytes]:
    """The events of items or blocks one in turn; what is not about one keeps its place around them."""
    of: dict[int, list[bytes]] = {}
    head: list[bytes] = []
    tail: list[bytes] = []
    for event in events:
        said = payload(event)
        place = said.get("output_index", said.get("index"))
        if isinstance(place, int):
            of.setdefault(place, []).append(event)
        else:
            (tail if of else head).append(event)
    rounds = itertools.zip_longest(*of.values())
    return [*head, *(event for turn in rounds for event in turn if event is not None), *tail]


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_c28_three_parallel_calls_interleaved_stay_apart(format: ProviderFormat) -> None:
    spoil = list if format == "chat" else mixed
    told = Wires(format).stream(BODY, called(*THREE, interleaved=True), spoil=spoil)
    assert [(call["name"], json.loads(call["arguments"])["path"]) for call in told.output] == EXPECTED
    ids = [call["call_id"] for call in told.output]
    assert (len(set(ids)), {len(call_id) for call_id in ids}) == (3, {LENGTH})


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_c28_three_parallel_calls_interleaved_stay_apart_for_a_chat_client(format: ProviderFormat) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": OBJECT}} for name in ("look", "find")]
    calls = [ToolCall("look", '{"path":"1"}'), ToolCall("look", '{"path":"2"}'), ToolCall("find", '{"path":"3"}')]
    body: Json = {"messages": [{"role": "user", "content": "Go."}], "tools": tools}
    spoil = list if format == "chat" else mixed
    told = Wires(format).stream(body, called(*calls, interleaved=True), chat=True, spoil=spoil)
    assert joined(told.deltas) == [("look", '{"path":"1"}'), ("look", '{"path":"2"}'), ("find", '{"path":"3"}')]


@pytest.mark.parametrize("is_chat_client", [True, False])
def test_c28_calls_that_share_an_index_are_told_apart_by_their_ids(is_chat_client: bool) -> None:
    def at_index_zero(events: list[bytes]) -> list[bytes]:
        return [re.sub(rb'"index":[12],"(id|function)"', rb'"index":0,"\1"', event) for event in events]

    if is_chat_client:
        tools = [{"type": "function", "function": {"name": "look", "parameters": OBJECT}}]
        calls = [ToolCall("look", f'{{"path":"{place}"}}') for place in range(3)]
        body: Json = {"messages": [{"role": "user", "content": "Go."}], "tools": tools}
        told = Wires("chat").stream(body, called(*calls), chat=True, spoil=at_index_zero)
        assert joined(told.deltas) == [("look", call.arguments) for call in calls]
    else:
        told = Wires("chat").stream(BODY, called(*THREE), spoil=at_index_zero)
        assert [(call["name"], json.loads(call["arguments"])["path"]) for call in told.output] == EXPECTED


def joined(deltas: Sequence[Json]) -> list[tuple[str, str]]:
    """The calls of a chat stream as a client puts them together: by index alone."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for piece in (piece for delta in deltas for piece in delta.get("tool_calls") or ()):
        said = piece["function"]
        names[piece["index"]] = names.get(piece["index"], "") + (said.get("name") or "")
        arguments[piece["index"]] = arguments.get(piece["index"], "") + (said.get("arguments") or "")
    return [(names[index], arguments[index]) for index in sorted(names)]
