"""Chat requests read into no format: every part in its place, faults where they are, the rest named."""

import json
from typing import Any

import pytest

from gateway.wire.canonical import (
    File,
    Image,
    JsonSchema,
    Message,
    OneTool,
    Prompt,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.chat.prompt import to_prompt, without_place
from gateway.wire.lane import Unservable, UnusableRequest

USER = {"role": "user", "content": "Hi"}
PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"


def body(*messages: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"model": "smart-route", "messages": messages or [USER], **fields}).encode()


def prompt(*messages: dict[str, Any], **fields: Any) -> Prompt:
    return to_prompt(from_chat_request(body(*messages, **fields)))


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def custom(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **more}}


def test_who_says_what_is_kept_in_order() -> None:
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
    ]
    assert prompt(
        {"role": "system", "content": "S"},
        {"role": "user", "content": parts, "name": "Ann"},
        {"role": "developer", "content": [{"type": "text", "text": "D"}]},
        {"role": "user", "content": ""},
    ).items == (
        Message("system", (Text("S"),)),
        Message(
            "user",
            (Text("Look"), Image(PNG, "low"), Image("https://example.org/a.png"), File(PDF, "a.pdf")),
        ),
        Message("developer", (Text("D"),)),
        Message("user", (Text(""),)),
    )


def test_what_the_assistant_said_becomes_one_item_after_the_other() -> None:
    calls = [{"id": "a", **function("f", arguments='{"x":1}')}, {"id": "b", **custom("patch", input="go")}]
    said = {
        "role": "assistant",
        "content": [{"type": "text", "text": "So"}, {"type": "refusal", "refusal": "No"}],
        "refusal": "!",
        "reasoning_content": "Hm",
        "tool_calls": calls,
    }
    assert prompt(USER, said).items[1:] == (
        Reasoning("Hm"),
        Message("assistant", (Text("So"),)),
        Message("assistant", (Text("!No"),), is_refusal=True),
        ToolCall("a", "f", '{"x":1}'),
        ToolCall("b", "patch", '{"input": "go"}'),
    )


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": ""}]])
def test_words_that_are_none_beside_calls_are_left_out(content: Any) -> None:
    said = {"role": "assistant", "content": content, "tool_calls": [{"id": "a", **function("f")}]}
    assert prompt(USER, said, {"role": "assistant", "content": content}).items[1:] == (ToolCall("a", "f", ""),)


def test_a_result_is_text_or_parts() -> None:
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    assert prompt(
        USER,
        {"role": "tool", "tool_call_id": "a", "content": "42"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "see"}, picture]},
    ).items[1:] == (ToolResult("a", (Text("42"),)), ToolResult("b", (Text("see"), Image(PNG))))


def test_tools_of_both_kinds_are_read() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}
    schema = {"type": "object", "properties": {"x": {"minimum": 1}}}
    asked = prompt(
        tools=[
            function("f", description="does f", parameters=schema, strict=True),
            function("g"),
            custom("patch", description="patches", format=grammar),
            custom("say", format={"type": "text"}),
        ],
        parallel_tool_calls=False,
    )
    assert asked.tools == (
        Tool("f", description="does f", parameters=schema, is_strict=True),
        Tool("g"),
        Tool(
            "patch",
            kind="custom",
            description="patches",
            grammar={"type": "grammar", "syntax": "lark", "definition": "start: X"},
        ),
        Tool("say", kind="custom"),
    )
    assert asked.has_parallel_calls is False


def test_names_that_not_every_provider_takes_are_flat_everywhere() -> None:
    said = {"role": "assistant", "tool_calls": [{"id": "a", **function("my.tool", arguments="{}")}]}
    asked = prompt(USER, said, tools=[function("my.tool")], tool_choice=function("my.tool"))
    assert asked.items[1] == ToolCall("a", "my_tool", "{}")
    assert asked.tool_choice == OneTool("my_tool")
    assert asked.tools == (Tool("my.tool"),)


@pytest.mark.parametrize(
    ("choice", "read", "names"),
    [
        ("auto", "auto", ["f", "c"]),
        ("none", "none", ["f", "c"]),
        ("required", "required", ["f", "c"]),
        (function("f"), OneTool("f"), ["f", "c"]),
        (custom("c"), OneTool("c"), ["f", "c"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [custom("c")]}},
            "required",
            ["c"],
        ),
        (None, None, ["f", "c"]),
    ],
)
def test_a_choice_of_tools_is_read_in_all_its_forms(choice: Any, read: Any, names: list[str]) -> None:
    asked = prompt(tools=[function("f"), custom("c")], tool_choice=choice)
    assert asked.tool_choice == read
    assert [tool.name for tool in asked.tools] == names


@pytest.mark.parametrize(
    ("response_format", "output"),
    [
        (None, "text"),
        ({"type": "text"}, "text"),
        ({"type": "json_object"}, "json_object"),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": 1}, "strict": True}},
            JsonSchema("x", {"a": 1}, is_strict=True),
        ),
    ],
)
def test_an_output_format_is_read(response_format: Any, output: Any) -> None:
    assert prompt(response_format=response_format).output == output


def test_wishes_are_read() -> None:
    asked = prompt(
        temperature=0.5,
        top_p=1,
        seed=7,
        presence_penalty=-1,
        frequency_penalty=2,
        stop="X",
        reasoning_effort="high",
        verbosity="low",
        max_completion_tokens=9,
    )
    assert asked.sampling == Sampling(0.5, 1, -1, 2, 7, ("X",))
    assert (asked.reasoning_effort, asked.verbosity, asked.max_output_tokens) == ("high", "low", 9)
    assert prompt(stop=["X", "Y"]).sampling.stop == ("X", "Y")


def test_what_only_a_chat_target_knows_is_named() -> None:
    request = from_chat_request(body(top_k=1, logprobs=True, temperature=1, thinking={"type": "enabled"}, user="u"))
    assert without_place(request) == ("top_k", "logprobs", "thinking")


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (body({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}), "messages"),
        (body({"role": "user", "content": [{"type": "video_url"}]}), "messages"),
        (body({"role": "assistant", "audio": {"id": "x"}}), "messages"),
        (body(tools=[{"type": "web_search"}]), "tools"),
    ],
)
def test_what_another_target_may_take_is_no_fault_of_the_request(raw: bytes, param: str) -> None:
    with pytest.raises(Unservable) as caught:
        to_prompt(from_chat_request(raw))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (body(USER, {"role": "user", "content": 7}), "invalid_value", "messages[1].content"),
        (body({"role": "user"}), "missing_required_parameter", "messages[0].content"),
        (body({"role": "user", "content": [{"text": "x"}]}), "invalid_value", "messages[0].content[0]"),
        (
            body({"role": "user", "content": [{"type": "image_url"}]}),
            "missing_required_parameter",
            "messages[0].content[0].image_url",
        ),
        (
            body({"role": "user", "content": [{"type": "file"}]}),
            "missing_required_parameter",
            "messages[0].content[0].file",
        ),
        (
            body({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}),
            "unsupported_parameter",
            "messages[0].content[0].file.file_id",
        ),
        (
            body({"role": "user", "content": [{"type": "file", "file": {"file_data": "AAAA"}}]}),
            "invalid_value",
            "messages[0].content[0].file.file_data",
        ),
        (body({"role": "tool", "content": "x"}), "missing_required_parameter", "messages[0].tool_call_id"),
        (
            body({"role": "assistant", "tool_calls": [function("f")]}),
            "invalid_value",
            "messages[0].tool_calls[0]",
        ),
        (
            body({"role": "assistant", "tool_calls": [{"id": "", **function("f")}]}),
            "missing_required_parameter",
            "messages[0].tool_calls[0].id",
        ),
        (
            body({"role": "assistant", "tool_calls": [{"id": "a"}]}),
            "missing_required_parameter",
            "messages[0].tool_calls[0].function",
        ),
        (
            body({"role": "assistant", "function_call": {"name": "f"}}),
            "unsupported_parameter",
            "messages[0].function_call",
        ),
        (body(tools=[{"type": "function"}]), "missing_required_parameter", "tools[0].function"),
        (body(tools=[{"type": "custom"}]), "missing_required_parameter", "tools[0].custom"),
        (body(tools=[function("f", parameters=[])]), "invalid_value", "tools[0].function.parameters"),
        (body(tool_choice="any"), "invalid_value", "tool_choice"),
        (body(tool_choice={"type": "function"}), "invalid_value", "tool_choice"),
        (body(tool_choice={"type": "allowed_tools"}), "missing_required_parameter", "tool_choice.allowed_tools"),
        (body(response_format={"type": "xml"}), "invalid_value", "response_format.type"),
        (body(response_format={"type": "json_schema"}), "missing_required_parameter", "response_format.json_schema"),
        (body(stop=7), "invalid_value", "stop"),
    ],
)
def test_a_fault_says_where_it_is(raw: bytes, code: str, param: str) -> None:
    request = from_chat_request(raw)
    with pytest.raises(UnusableRequest) as caught:
        to_prompt(request)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert len(caught.value.message) < 300
