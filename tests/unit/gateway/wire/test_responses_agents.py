"""Responses requests as agents send them, and what a response object says of them."""

import json
from typing import Any

from openai.types.responses import Response

from gateway.wire.canonical import Image, Message, Prompt, Reasoning, Text, ToolCall, ToolResult
from gateway.wire.responses.decode import from_responses_request, lost_in_crossing, to_prompt
from gateway.wire.responses.request import ResponsesRequest

PICTURE = "data:image/png;base64,AAAA"
OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}
SESSION = "0199c1a0-0000-7000-8000-000000000000"


def message(role: str, *texts: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_1",
        "role": role,
        "content": [{"type": "input_text", "text": text} for text in texts],
        "internal_chat_message_metadata_passthrough": {"turn": "x"},
    }


CODEX: dict[str, Any] = {
    "model": "smart-route-deep",
    "input": [
        message("developer", "You are Codex."),
        message("user", "<environment_context>…</environment_context>"),
        message("user", "Fix the bug"),
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Look first."}],
            "content": None,
            "encrypted_content": "sr1.sealed",
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "name": "exec_command",
            "arguments": '{"cmd":"ls"}',
            "call_id": "call_a",
        },
        {
            "type": "function_call",
            "id": "fc_2",
            "name": "show",
            "namespace": "mcp__pictures",
            "arguments": "{}",
            "call_id": "call_b",
        },
        {"type": "custom_tool_call", "id": "ctc_1", "name": "apply_patch", "input": "*** Begin", "call_id": "call_c"},
        {"type": "function_call_output", "call_id": "call_a", "output": "a.py"},
        {
            "type": "function_call_output",
            "call_id": "call_b",
            "output": [
                {"type": "input_text", "text": "a picture"},
                {"type": "input_image", "image_url": PICTURE, "detail": "high"},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "call_c", "output": "Success"},
    ],
    "tools": [
        {"type": "function", "name": "exec_command", "description": "Runs.", "strict": False, "parameters": OBJECT},
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Sub-agents.",
            "tools": [{"type": "function", "name": "spawn_agent", "strict": False, "parameters": OBJECT}],
        },
        {
            "type": "namespace",
            "name": "mcp__pictures",
            "description": "",
            "tools": [{"type": "function", "name": "show", "strict": False, "parameters": OBJECT}],
        },
        {"type": "web_search", "external_web_access": True},
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"},
        },
        {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": OBJECT},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": SESSION,
    "text": {
        "format": {"type": "json_schema", "strict": True, "name": "codex_output_schema", "schema": OBJECT},
    },
    "client_metadata": {"session_id": SESSION},
}


def read(body: dict[str, Any]) -> tuple[ResponsesRequest, Prompt]:
    request = from_responses_request(json.dumps(body).encode())
    return request, to_prompt(request)[0]


def test_a_turn_of_codex_is_read_whole() -> None:
    request, prompt = read(CODEX)
    assert request.answered_calls == ("call_a", "call_b", "call_c")
    assert (request.is_stream, request.stores, request.wants_sealed, request.compacts) == (True, False, True, False)
    assert (request.session_key, request.ignored) == (SESSION, ("client_metadata",))
    assert lost_in_crossing(request) == ("tools.web_search",)
    assert prompt.items == (
        Message("developer", (Text("You are Codex."),)),
        Message("user", (Text("<environment_context>…</environment_context>"),)),
        Message("user", (Text("Fix the bug"),)),
        Reasoning("Look first.", "sr1.sealed"),
        ToolCall("call_a", "exec_command", '{"cmd":"ls"}'),
        ToolCall("call_b", "mcp__pictures__show", "{}"),
        ToolCall("call_c", "apply_patch", '{"input": "*** Begin"}'),
        ToolResult("call_a", (Text("a.py"),)),
        ToolResult("call_b", (Text("a picture"), Image(PICTURE, "high"))),
        ToolResult("call_c", (Text("Success"),)),
    )
    assert [(tool.kind, tool.namespace, tool.name) for tool in prompt.tools] == [
        ("function", None, "exec_command"),
        ("function", "multi_agent_v1", "spawn_agent"),
        ("function", "mcp__pictures", "show"),
        ("custom", None, "apply_patch"),
        ("tool_search", None, "tool_search"),
    ]


def test_a_new_word_of_the_user_after_results_opens_a_new_turn() -> None:
    request, _ = read({**CODEX, "input": [*CODEX["input"], message("user", "Stop, do this instead")]})
    assert request.answered_calls == ()


def test_codex_asks_for_a_summary_with_a_trigger() -> None:
    request, prompt = read({**CODEX, "input": [*CODEX["input"], {"type": "compaction_trigger"}]})
    assert (request.compacts, request.answered_calls) == (True, ("call_a", "call_b", "call_c"))
    assert (prompt.tool_choice, prompt.output) == ("none", "text")


def test_a_turn_of_an_ai_sdk_agent_is_read() -> None:
    request, prompt = read(
        {
            "model": "smart-route",
            "input": [
                {"role": "system", "content": "You are an agent."},
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call", "call_id": "call_a", "name": "bash", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_a", "output": "x"},
            ],
            "max_output_tokens": 32_000,
            "store": False,
            "prompt_cache_key": "ses_1",
            "tools": [
                {
                    "type": "function",
                    "name": "bash",
                    "description": "Runs.",
                    "strict": False,
                    "parameters": {
                        "$schema": "http://json-schema.org/draft-07/schema#",
                        "type": "object",
                        "properties": {"timeout": {"type": "integer", "maximum": 2**53 - 1, "exclusiveMinimum": 0}},
                    },
                }
            ],
            "tool_choice": "auto",
            "stream": True,
        }
    )
    assert (request.answered_calls, request.ignored, lost_in_crossing(request)) == (("call_a",), (), ())
    assert [type(item) for item in prompt.items] == [Message, Message, ToolCall, ToolResult]


def response(request: ResponsesRequest) -> Response:
    made = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": [], "status": "in_progress"}
    return Response.model_validate({**made, **request.echo})


def test_a_response_object_says_what_was_asked_in_openais_terms() -> None:
    request, _ = read({**CODEX, "instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0})
    said = response(request)
    assert [tool.type for tool in said.tools] == [tool["type"] for tool in CODEX["tools"]]
    assert (said.instructions, said.metadata, said.temperature) == ("Be brief.", {"a": "b"}, 0)
    assert said.text is not None
    assert said.text.format is not None
    assert said.text.format.type == "json_schema"
    assert json.loads(json.dumps(request.echo))["text"]["format"]["schema"] == OBJECT


def test_a_response_object_has_openais_defaults() -> None:
    request, _ = read({"model": "m", "input": "Hi", "tools": [{"type": "function", "name": "f"}], "metadata": None})
    said = response(request)
    assert (said.tool_choice, said.parallel_tool_calls, said.temperature, said.top_p) == ("auto", True, 1.0, 1.0)
    assert (said.truncation, said.background, said.service_tier, said.metadata) == ("disabled", False, "auto", {})
    assert request.echo["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert request.echo["reasoning"] == {"effort": None, "summary": None}
    assert request.echo["store"] is True
    assert request.echo["tools"] == [{"type": "function", "name": "f", "parameters": None, "strict": None}]


def test_what_a_tool_was_told_to_keep_secret_is_not_said_back() -> None:
    tool = {"type": "mcp", "server_label": "x", "server_url": "https://a", "authorization": "s", "headers": {"k": "s"}}
    request, _ = read({"model": "m", "input": "Hi", "tools": [tool]})
    assert request.echo["tools"] == [{"type": "mcp", "server_label": "x", "server_url": "https://a"}]
