"""Prompts as requests of the Responses API: what is sent, what is said to be ignored, what a target cannot take."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.wire.canonical import (
    File,
    Image,
    Item,
    JsonSchema,
    Message,
    OneTool,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.crossing import Written
from gateway.wire.lane import Quirks, Target, Unservable
from gateway.wire.responses.provider.dialect import DIALECT
from tests.unit.gateway.wire.responses_provider_events import TARGET, Seal

PICTURE = Image("data:image/png;base64,AA==")
DEVELOPER = Target("acme-1", format="responses", quirks=Quirks(system_role="developer", merges_system=False))


def said(role: Role, *texts: str) -> Message:
    return Message(role, tuple(map(Text, texts)))


def written(*items: Item, target: Target = DEVELOPER, is_stream: bool = False, **fields: Any) -> Written:
    prompt = Prompt(items or (said("user", "Hi"),), **fields)
    return DIALECT.write_request(prompt, target, is_stream=is_stream, sealer=Seal())


def body(*items: Item, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(written(*items, **more).body)
    return fields


def quirky(**quirks: Any) -> Target:
    return replace(TARGET, quirks=Quirks(**quirks))


def test_the_least_request_is_kept_nowhere() -> None:
    assert DIALECT.path == "/responses"
    assert body(is_stream=True) == {
        "model": "acme-1",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "stream": True,
        "store": False,
    }


def test_a_conversation_with_tools_and_thoughts_is_written_in_its_order() -> None:
    assert body(
        said("developer", "Be brief."),
        Message("user", (Text("Look:"), replace(PICTURE, detail="low"), File("data:a/b;base64,AA==", "a.pdf"))),
        Reasoning("hm", "ours:state"),
        Reasoning("of another", "theirs"),
        Reasoning("readable only"),
        ToolCall("call_0", "look", '{"a":1}'),
        ToolCall("call_1", "look", "{}"),
        ToolResult("call_0", (Text("seen"),)),
        ToolResult("call_1", (Text("as"), PICTURE)),
        said("assistant", "It is ", "a cat."),
        Message("assistant", (Text("No."),), is_refusal=True),
        said("user", "And", "then?"),
    )["input"] == [
        {"type": "message", "role": "developer", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": PICTURE.url, "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:a/b;base64,AA=="},
            ],
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "state"},
        {"type": "function_call", "call_id": "call_0", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0", "output": "seen"},
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [
                {"type": "input_text", "text": "as"},
                {"type": "input_image", "image_url": PICTURE.url, "detail": "auto"},
            ],
        },
        {"type": "message", "role": "assistant", "content": "It is a cat."},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "And"}, {"type": "input_text", "text": "then?"}],
        },
    ]


def test_every_tool_is_a_flat_function_that_says_whether_it_is_strict() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    fields = body(
        tools=(
            Tool("f", description="Does f.", parameters=schema, is_strict=True),
            Tool("g", namespace="mcp"),
            Tool("patch", kind="custom"),
        ),
        tool_choice=OneTool("mcp__g"),
        has_parallel_calls=False,
    )
    assert fields["tools"][0] == {
        "type": "function",
        "name": "f",
        "description": "Does f.",
        "parameters": schema,
        "strict": True,
    }
    assert [(tool["name"], tool["strict"]) for tool in fields["tools"][1:]] == [("mcp__g", False), ("patch", False)]
    assert fields["tools"][2]["parameters"]["required"] == ["input"]
    assert fields["tool_choice"] == {"type": "function", "name": "mcp__g"}
    assert fields["parallel_tool_calls"] is False
    assert body(tools=(Tool("f"),), tool_choice="required")["tool_choice"] == "required"
    assert body(tool_choice="none").keys() & {"tools", "tool_choice"} == set()


def test_a_schema_and_a_wish_for_brevity_are_under_text() -> None:
    schema = JsonSchema("answer", {"type": "object"}, "What is asked.", is_strict=True)
    wanted = {"name": "answer", "schema": {"type": "object"}, "description": "What is asked.", "strict": True}
    assert body(output=schema, verbosity="low")["text"] == {
        "format": {"type": "json_schema", **wanted},
        "verbosity": "low",
    }
    assert body(output=JsonSchema("a", {}))["text"] == {"format": {"type": "json_schema", "name": "a", "schema": {}}}
    assert body(output="json_object")["text"] == {"format": {"type": "json_object"}}


def test_state_is_asked_for_where_there_may_be_one() -> None:
    fields = body(reasoning_effort="high")
    assert fields["reasoning"] == {"effort": "high", "summary": "auto"}
    assert fields["include"] == ["reasoning.encrypted_content"]
    assert body(reasoning_effort="none")["reasoning"] == {"effort": "none"}
    replaying = body(target=quirky(replays_reasoning=True))
    assert (replaying["include"], "reasoning" in replaying) == (["reasoning.encrypted_content"], False)


def test_sampling_is_sent_and_what_this_format_cannot_say_is_named() -> None:
    everything = Sampling(0.5, 0.9, presence_penalty=0.0, frequency_penalty=1.0, seed=7, stop=("a",))
    fields = json.loads(written(sampling=everything).body)
    assert (fields["temperature"], fields["top_p"]) == (0.5, 0.9)
    assert fields.keys() & {"stop", "seed", "presence_penalty", "frequency_penalty"} == set()
    assert written(sampling=everything).ignored == ("stop", "seed", "presence_penalty", "frequency_penalty")
    assert written().ignored == ()


@pytest.mark.parametrize(
    ("asked", "cap", "sent"),
    [(50, None, 50), (50, 90, 50), (90, 50, 50), (None, 50, 50), (None, None, None), (5, None, 16), (50, 5, 16)],
)
def test_the_lower_of_wish_and_cap_is_sent_and_no_less_than_the_format_takes(
    asked: int | None, cap: int | None, sent: int | None
) -> None:
    fields = body(target=replace(TARGET, max_output_tokens=cap), max_output_tokens=asked)
    assert fields.get("max_output_tokens") == sent


def test_fields_are_dropped_and_renamed_last() -> None:
    target = replace(TARGET, drop=("store", "temperature"), rename={"max_output_tokens": "max_tokens"})
    fields = body(target=target, max_output_tokens=50, sampling=Sampling(temperature=1.0))
    assert (fields["max_tokens"], fields.keys() & {"store", "temperature", "max_output_tokens"}) == (50, set())


@pytest.mark.parametrize("role", ["system", "user", "developer"])
def test_instructions_become_one_message_in_front_under_the_targets_role(role: str) -> None:
    items = [said("system", "A"), said("user", "Hi"), said("developer", "B", "C")]
    told = body(*items, target=quirky(system_role=role))["input"]
    assert [(message["role"], message["content"]) for message in told] == [(role, "A\n\nBC"), ("user", "Hi")]
    apart = body(*items, target=quirky(system_role=role, merges_system=False))["input"]
    assert [message["role"] for message in apart] == [role, "user", role]


@pytest.mark.parametrize(
    ("target", "fields", "param"),
    [
        (quirky(takes_images=False), {"items": (Message("user", (PICTURE,)),)}, "image"),
        (quirky(takes_images=False), {"items": (ToolCall("c", "f", "{}"), ToolResult("c", (PICTURE,)))}, "image"),
        (quirky(takes_tools=False), {"tools": (Tool("f"),)}, "tools"),
        (quirky(takes_tools=False), {"items": (ToolCall("c", "f", "{}"), ToolResult("c", ()))}, "tools"),
        (quirky(takes_schema=False), {"output": JsonSchema("a", {})}, "response_format"),
        (TARGET, {"items": (Message("assistant", (PICTURE,)),)}, "image"),
    ],
)
def test_a_target_is_not_asked_for_what_it_does_not_have(target: Target, fields: dict[str, Any], param: str) -> None:
    prompt = Prompt(**{"items": (said("user", "Hi"),), **fields})
    with pytest.raises(Unservable) as caught:
        DIALECT.write_request(prompt, target, is_stream=False, sealer=Seal())
    assert caught.value.param == param


def test_a_target_without_parallel_calls_is_not_asked_for_them() -> None:
    target = quirky(takes_parallel_calls=False)
    asked = written(target=target, tools=(Tool("f"),), has_parallel_calls=True)
    assert "parallel_tool_calls" not in json.loads(asked.body)
    assert asked.ignored == ("parallel_tool_calls",)
    assert written(target=target, tools=(Tool("f"),), has_parallel_calls=False).ignored == ()
