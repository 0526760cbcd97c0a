"""The items of a Responses input as they are read into the canonical model."""

import json
from typing import Any

import pytest

from gateway.wire.canonical import (
    File,
    Image,
    Message,
    Prompt,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.wire.lane import Unservable, UnusableRequest
from gateway.wire.responses.decode import from_responses_request, lost_in_crossing, to_prompt
from gateway.wire.tools import ToolBox, to_call_item

USER = {"role": "user", "content": "Hi"}
PICTURE = "data:image/png;base64,AAAA"


def read(items: list[Any], **fields: Any) -> tuple[Prompt, ToolBox]:
    raw = json.dumps({"model": "m", "input": items, **fields}).encode()
    return to_prompt(from_responses_request(raw))


def said(*items: Any, **fields: Any) -> list[Any]:
    return list(read([USER, *items], **fields)[0].items[1:])


def refusal(*items: Any, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(UnusableRequest) as caught:
        said(*items, **fields)
    return caught.value.code, caught.value.param


# --- messages


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_messages_of_every_role_are_read_with_and_without_a_type(role: str) -> None:
    expected = Message(role, (Text("x"),))  # type: ignore[arg-type]
    assert said({"role": role, "content": "x"}, {"type": "message", "role": role, "content": "x"}) == [expected] * 2


def test_pictures_and_files_are_read_beside_text() -> None:
    content = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": PICTURE, "detail": "high", "file_id": None},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
    ]
    assert said({"role": "user", "content": content}) == [
        Message(
            "user",
            (
                Text("Look"),
                Image(PICTURE, "high"),
                Image("https://example.com/a.png"),
                File("data:application/pdf;base64,AA", "a.pdf"),
            ),
        )
    ]


def test_an_answer_of_the_assistant_is_read_as_it_was_given() -> None:
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        "internal_chat_message_metadata_passthrough": {"user": "x"},
    }
    assert said(message) == [Message("assistant", (Text("Hello"),))]


def test_a_refusal_stays_one() -> None:
    content = [{"type": "output_text", "text": "Hm."}, {"type": "refusal", "refusal": "No."}]
    assert said({"role": "assistant", "content": content}) == [
        Message("assistant", (Text("Hm."),)),
        Message("assistant", (Text("No."),), is_refusal=True),
    ]


@pytest.mark.parametrize(
    ("part", "code", "field"),
    [
        ({"type": "input_image", "file_id": "file_1"}, "unsupported_value", ".file_id"),
        ({"type": "input_image"}, "missing_required_parameter", ".image_url"),
        ({"type": "input_image", "image_url": "file:///etc/passwd"}, "invalid_value", ".image_url"),
        ({"type": "input_image", "image_url": {"url": PICTURE}}, "invalid_value", ".image_url"),
        ({"type": "input_image", "image_url": PICTURE, "detail": "blurred"}, "unsupported_value", ".detail"),
        ({"type": "input_file", "file_id": "file_1"}, "unsupported_value", ".file_id"),
        ({"type": "input_file", "file_url": "https://example.com"}, "unsupported_value", ".file_url"),
        ({"type": "input_file", "file_data": "AAAA"}, "invalid_value", ".file_data"),
        ({"type": "input_audio", "input_audio": {}}, "unsupported_value", ".type"),
        ({"text": "x"}, "missing_required_parameter", ".type"),
        ({"type": "input_text"}, "missing_required_parameter", ".text"),
        ("x", "invalid_value", ""),
    ],
)
def test_parts_that_cannot_be_passed_on_are_refused_at_their_place(part: Any, code: str, field: str) -> None:
    content = [{"type": "input_text", "text": "x"}, part]
    assert refusal({"role": "user", "content": content}) == (code, f"input[1].content[1]{field}")
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": content}
    assert refusal(call, output) == (code, f"input[2].output[1]{field}")


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({"role": "king", "content": "x"}, "unsupported_value", "input[1].role"),
        ({"type": "message", "content": "x"}, "missing_required_parameter", "input[1].role"),
        ({"role": "user"}, "missing_required_parameter", "input[1].content"),
        ({"content": "x"}, "missing_required_parameter", "input[1].type"),
        ({"type": 5}, "invalid_value", "input[1].type"),
        ({"type": ["message"], "content": "x"}, "invalid_value", "input[1].type"),
        (
            {"type": "function_call", "name": "f", "arguments": "{}"},
            "missing_required_parameter",
            "input[1].call_id",
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": {}},
            "invalid_value",
            "input[1].arguments",
        ),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, "invalid_value", "input[1]"),
        ({"type": "function_call_output", "call_id": "c", "output": "x"}, "invalid_value", "input[1].call_id"),
        ({"type": "compaction"}, "missing_required_parameter", "input[1].encrypted_content"),
        ({"type": "item_reference"}, "unsupported_value", "input[1]"),
    ],
)
def test_items_that_are_wrong_are_refused_at_their_place(item: dict[str, Any], code: str, param: str) -> None:
    assert refusal(item) == (code, param)


# --- thoughts


def test_thoughts_are_read_with_their_seal() -> None:
    summary = [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}]
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": summary, "content": None, "encrypted_content": "sealed"}
    assert said(reasoning) == [Reasoning("First.\n\nThen.", "sealed")]
    content = [{"type": "reasoning_text", "text": "Thoughts."}]
    assert said({"type": "reasoning", "summary": [], "content": content}) == [Reasoning("Thoughts.")]
    assert said({"type": "reasoning", "id": "rs_1", "summary": []}) == []


# --- calls and their results


def test_parallel_calls_keep_their_order_and_their_namespaces() -> None:
    tools = [
        {"type": "namespace", "name": "mcp__git", "description": "Git.", "tools": [{"type": "function", "name": "log"}]}
    ]
    items = [
        {"type": "function_call", "call_id": "a", "name": "log", "namespace": "mcp__git", "arguments": '{"n":1}'},
        {"type": "custom_tool_call", "call_id": "b", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_image", "image_url": PICTURE}]},
    ]
    assert said(*items, tools=tools) == [
        ToolCall("a", "mcp__git__log", '{"n":1}'),
        ToolCall("b", "apply_patch", '{"input": "*** Begin"}'),
        ToolResult("a", (Text("one"),)),
        ToolResult("b", (Image(PICTURE),)),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("", "{}"),
        ("null", "{}"),
        ('{"a": ', '{"input": "{\\"a\\": "}'),
        ("[1]", '{"input": "[1]"}'),
        ('{"a":' + "[" * 100 + "]" * 100 + "}", None),
        ("[" * 100_000, None),
    ],
)
def test_arguments_are_always_an_object_that_providers_take(arguments: str, expected: str | None) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": arguments}
    read_call = said(call, {"type": "function_call_output", "call_id": "a", "output": ""})[0]
    assert list(json.loads(read_call.arguments)) == ["input"] if expected is None else read_call.arguments == expected


@pytest.mark.parametrize(
    ("tool", "call", "output", "result"),
    [
        (
            {"type": "local_shell"},
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "output": "files"},
            "files",
        ),
        (
            {"type": "shell", "environment": {"type": "local"}},
            {
                "type": "shell_call",
                "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None},
                "environment": {"type": "local"},
            },
            {
                "type": "shell_call_output",
                "output": [{"stdout": "files", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
            },
            '[{"stdout":"files","stderr":"","outcome":{"type":"exit","exit_code":0}}]',
        ),
        (
            {"type": "apply_patch"},
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
            {"type": "apply_patch_call_output", "status": "failed", "output": "no such file"},
            "failed\nno such file",
        ),
        (
            {"type": "tool_search", "execution": "client"},
            {"type": "tool_search_call", "execution": "client", "arguments": {"query": "git"}},
            {"type": "tool_search_output", "tools": [{"type": "function", "name": "git_log"}]},
            '{"tools":["git_log"]}',
        ),
        (
            {"type": "custom", "name": "apply_patch"},
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "output": "ok"},
            "ok",
        ),
    ],
)
def test_calls_of_every_kind_become_functions_and_find_back(
    tool: dict[str, Any], call: dict[str, Any], output: dict[str, Any], result: str
) -> None:
    call = {"id": "x", "call_id": "a", "status": "completed", **call}
    prompt, box = read([USER, call, {"call_id": "a", **output}], tools=[tool])
    made, answered = prompt.items[1:]
    assert isinstance(made, ToolCall)
    assert answered == ToolResult("a", (Text(result),))
    declared = box.tool(made.name)
    assert declared in prompt.tools
    assert to_call_item(declared, item_id="x", call_id="a", arguments=made.arguments, status="completed") == call


def test_a_search_of_the_server_brings_its_tools_and_says_nothing() -> None:
    items = [
        {"type": "tool_search_call", "execution": "server", "call_id": None, "arguments": {}},
        {"type": "tool_search_output", "execution": "server", "tools": [{"type": "function", "name": "found"}]},
    ]
    prompt, _ = read([USER, *items], tools=[{"type": "tool_search"}])
    assert (len(prompt.items), [tool.name for tool in prompt.tools]) == (1, ["found"])


def test_the_same_id_may_be_used_again_once_it_is_answered() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "a", "output": "x"}
    assert len(said(call, output, call, output)) == 4
    assert refusal(call, output, output) == ("invalid_value", "input[3].call_id")


# --- items of other worlds


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"},
        {"type": "mcp_list_tools", "id": "x", "server_label": "y", "tools": []},
        {"type": "context_compaction"},
        {"type": "from_the_future", "id": "x"},
    ],
)
def test_items_without_a_say_are_ignored_by_name(item: dict[str, Any]) -> None:
    request = from_responses_request(json.dumps({"model": "m", "input": [USER, item]}).encode())
    assert lost_in_crossing(request) == (f"input.{item['type']}",)
    assert len(to_prompt(request)[0].items) == 1
    assert request.input_items[1] == item


@pytest.mark.parametrize(
    "item",
    [
        {"type": "mcp_call", "id": "x", "server_label": "y", "name": "z", "arguments": "{}", "output": "w"},
        {"type": "code_interpreter_call", "id": "x", "code": "1+1", "outputs": []},
        {"type": "from_the_future", "content": "Listen!"},
    ],
)
def test_items_that_only_their_own_format_knows_do_not_vanish(item: dict[str, Any]) -> None:
    request = from_responses_request(json.dumps({"model": "m", "input": [USER, item]}).encode())
    with pytest.raises(Unservable) as caught:
        to_prompt(request)
    assert caught.value.param == "input"


def test_beside_foreign_items_the_others_are_checked() -> None:
    foreign = {"type": "from_the_future", "content": "Listen!"}
    raw = json.dumps({"model": "m", "input": [foreign, {"role": "user", "content": 5}]}).encode()
    with pytest.raises(UnusableRequest) as caught:
        from_responses_request(raw)
    assert caught.value.param == "input[1].content"
