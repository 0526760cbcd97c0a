"""What routing reads of a request, for bodies as agents and SDKs send them, in every format."""

import json
from typing import Any
from uuid import UUID

import pytest

from gateway.responses import with_ids
from gateway.wire.briefing import END_CHARACTERS, MEDIA_BYTES
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.completions.decode import from_completions_request
from gateway.wire.lane import Brief
from gateway.wire.responses.decode import from_responses_request, with_history, with_items
from tests.unit.gateway.wire.test_responses_agents import CODEX, PICTURE, message

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"name": "read", "description": "Reads a file.", "parameters": SCHEMA}
USER = {"role": "user", "content": "Fix the failing test in parser.py"}
CALL = {
    "role": "assistant",
    "content": "I look first.",
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"a": "parser.py"}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "def parse(): ... secret of the tool"}
# As Kilo Code and opencode send it: a long system prompt, tools, the conversation so far.
AGENT: dict[str, Any] = {
    "model": "smart-route-mini",
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 32000,
    "messages": [{"role": "system", "content": "You are an agent. " * 200}, USER, CALL, RESULT],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "auto",
}


def of_chat(**fields: Any) -> Brief:
    return from_chat_request(json.dumps({"model": "m", "messages": [USER], **fields}).encode()).brief


def of_responses(**fields: Any) -> Brief:
    return from_responses_request(json.dumps({"model": "m", "input": "Hi", **fields}).encode()).brief


def of_completion(**fields: Any) -> Brief:
    return from_completions_request(json.dumps({"model": "m", **fields}).encode()).brief


# --- bodies as they come


def test_an_agent_in_its_tool_loop_is_read() -> None:
    brief = of_chat(**AGENT)
    assert brief.user_text == USER["content"]
    assert (brief.needs, brief.may_call, brief.is_tool_loop, brief.is_reasoning) == (("tools",), True, True, False)
    assert (brief.output_tokens, brief.sealed, brief.json_types) == (32000, (), None)
    sent = len(json.dumps(AGENT["messages"])) + len(json.dumps(AGENT["tools"]))
    assert brief.input_bytes == sent


def test_a_turn_of_codex_is_read() -> None:
    brief = of_responses(**CODEX)
    assert brief.user_text == "Fix the bug"
    assert brief.needs == ("tools", "parallel_calls", "images", "schema")
    assert (brief.may_call, brief.is_tool_loop, brief.is_reasoning) == (True, True, False)
    assert (brief.sealed, brief.json_types) == (("sr1.sealed",), ("object",))
    assert brief.input_bytes == len(json.dumps({"model": "m", "input": "Hi", **CODEX})) - len(PICTURE) + MEDIA_BYTES


def test_a_plain_request_of_an_sdk_needs_nothing() -> None:
    for brief in (of_chat(), of_responses(input=[USER]), of_completion(prompt=USER["content"])):
        assert (brief.user_text, brief.needs, brief.may_call) == (USER["content"], (), False)
        assert (brief.is_tool_loop, brief.is_reasoning, brief.output_tokens) == (False, False, None)


def test_a_completion_is_its_text() -> None:
    brief = of_completion(prompt="def f(", suffix=")", max_tokens=7)
    assert (brief.user_text, brief.input_bytes, brief.output_tokens) == ("def f(", 7, 7)


# --- the text


def test_of_a_long_text_both_ends_are_kept() -> None:
    text = "a" * END_CHARACTERS + "m" * 100_000 + "z" * END_CHARACTERS
    cut = "a" * END_CHARACTERS + "\n" + "z" * END_CHARACTERS
    for brief in (
        of_chat(messages=[{"role": "user", "content": text}]),
        of_responses(input=text),
        of_completion(prompt=text),
    ):
        assert brief.user_text == cut


def test_the_parts_of_the_last_text_are_joined_and_pictures_are_none() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    chat = of_chat(messages=[USER, CALL, {"role": "user", "content": [*parts, {"type": "text", "text": "this?"}]}])
    inputs = [{"type": "input_text", "text": "What is"}, {"type": "input_image", "image_url": PICTURE}]
    responses = of_responses(input=[{"role": "user", "content": [*inputs, {"type": "input_text", "text": "this?"}]}])
    assert (chat.user_text, responses.user_text) == ("What is\nthis?", "What is\nthis?")
    assert (chat.needs, responses.needs) == (("images",), ("images",))


def test_a_message_without_words_does_not_hide_the_one_before() -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}
    assert of_chat(messages=[USER, picture]).user_text == USER["content"]
    shown = {"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}
    assert of_responses(input=[USER, shown]).user_text == USER["content"]
    assert of_chat(messages=[{"role": "user", "content": " \n"}]).user_text == ""
    assert of_chat(messages=[{"role": "system", "content": "Only told."}]).user_text == ""


# --- what is needed


@pytest.mark.parametrize(
    ("fields", "needs", "may_call"),
    [
        ({"tools": []}, (), False),
        ({"tools": AGENT["tools"]}, ("tools",), True),
        ({"tools": AGENT["tools"], "parallel_tool_calls": True}, ("tools", "parallel_calls"), True),
        ({"tools": AGENT["tools"], "parallel_tool_calls": False}, ("tools",), True),
        ({"tools": AGENT["tools"], "tool_choice": "none", "parallel_tool_calls": True}, ("tools",), False),
        ({"tools": AGENT["tools"], "tool_choice": "required"}, ("tools",), True),
        ({"parallel_tool_calls": True}, (), False),
        ({"messages": [USER, CALL, RESULT]}, ("tools",), False),
        ({"response_format": {"type": "json_object"}}, (), False),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            ("schema",),
            False,
        ),
    ],
)
def test_a_chat_request_needs_what_a_target_would_be_asked_for(
    fields: dict[str, Any], needs: tuple[str, ...], may_call: bool
) -> None:
    brief = of_chat(**fields)
    assert (brief.needs, brief.may_call) == (needs, may_call)


def test_tools_that_run_at_the_provider_are_no_need() -> None:
    hosted = of_responses(tools=[{"type": "web_search"}])
    assert (hosted.needs, hosted.may_call) == ((), False)
    brought = of_responses(input=[{"type": "additional_tools", "tools": [{"type": "function", **FUNCTION}]}, USER])
    assert (brought.needs, brought.may_call) == (("tools",), True)


@pytest.mark.parametrize(
    ("wanted", "types"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, ("object",)),
        ({"type": "json_schema", "name": "a", "schema": {"type": ["array", "null"]}}, ("array", "null")),
        ({"type": "json_schema", "name": "a", "schema": {"anyOf": []}}, ()),
    ],
)
def test_the_types_that_the_answer_may_have_are_those_of_the_schema(
    wanted: dict[str, Any], types: tuple[str, ...] | None
) -> None:
    assert of_responses(text={"format": wanted}).json_types == types
    flat = {name: value for name, value in wanted.items() if name != "type"}
    assert of_chat(response_format={"type": wanted["type"], "json_schema": flat}).json_types == types


@pytest.mark.parametrize(
    ("fields", "is_reasoning"),
    [
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "minimal"}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning": {"effort": "low"}}, True),
        ({"reasoning": {"max_tokens": 2000}}, True),
        ({"reasoning": {"enabled": False}}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"enable_thinking": True}, True),
        ({"chat_template_kwargs": {"enable_thinking": True}}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
    ],
)
def test_thoughts_are_asked_for_in_many_dialects(fields: dict[str, Any], is_reasoning: bool) -> None:
    assert of_chat(**fields).is_reasoning is is_reasoning


def test_a_summary_of_thoughts_is_no_effort() -> None:
    assert not of_responses(reasoning={"summary": "auto"}).is_reasoning
    assert of_responses(reasoning={"effort": "medium", "summary": "auto"}).is_reasoning


def test_a_picture_counts_the_same_however_large_it_is() -> None:
    small, large = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * n}}]}
        for n in (4, 400_000)
    ]
    assert of_chat(messages=[small]).input_bytes == of_chat(messages=[large]).input_bytes > MEDIA_BYTES
    pdf = {"type": "input_file", "file_data": "data:application/pdf;base64," + "A" * 400_000, "filename": "a.pdf"}
    assert MEDIA_BYTES < of_responses(input=[{"role": "user", "content": [pdf]}]).input_bytes < MEDIA_BYTES + 500


# --- where in a conversation


CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "function_call", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "output": "x"}),
    ({"type": "custom_tool_call", "name": "c", "input": "x"}, {"type": "custom_tool_call_output", "output": "x"}),
    (
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "output": "x"},
    ),
    ({"type": "shell_call", "action": {"commands": ["ls"]}}, {"type": "shell_call_output", "output": []}),
]


@pytest.mark.parametrize(("call", "output"), CALLS, ids=[call["type"] for call, _ in CALLS])
def test_results_at_the_end_are_a_tool_loop(call: dict[str, Any], output: dict[str, Any]) -> None:
    items = [USER, {"call_id": "call_1", **call}, {"call_id": "call_1", **output}]
    assert of_responses(input=items).is_tool_loop
    assert of_responses(input=[*items, {"type": "compaction_trigger"}]).is_tool_loop
    assert not of_responses(input=[*items, USER]).is_tool_loop
    assert of_responses(input=items).user_text == USER["content"]


def test_words_after_results_end_the_loop() -> None:
    assert of_chat(messages=[USER, CALL, RESULT]).is_tool_loop
    assert not of_chat(messages=[USER, CALL, RESULT, USER]).is_tool_loop


def test_an_expanded_request_is_read_anew_as_if_it_had_been_sent_whole() -> None:
    call, output = ({"call_id": "call_1", **item} for item in CALLS[0])
    first = from_responses_request(json.dumps({"model": "m", "instructions": "Be brief.", "input": [USER]}).encode())
    later = json.dumps(
        {"model": "m", "instructions": "Be brief.", "previous_response_id": "resp_1", "input": [output]}
    ).encode()
    own = from_responses_request(later)
    assert (own.brief.user_text, own.brief.is_tool_loop) == ("", True)
    stored = with_ids(first.input_items, UUID(int=1))
    whole = with_history(own, stored, [call])
    assert (whole.brief.user_text, whole.brief.is_tool_loop) == (USER["content"], True)
    assert whole.brief.opening == first.brief.opening
    assert whole.brief.input_bytes > own.brief.input_bytes + len(json.dumps(USER))


def test_items_that_were_only_named_count_when_they_are_found() -> None:
    body = json.dumps({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}, USER]}).encode()
    request = from_responses_request(body)
    found = with_items(request, {"msg_1": message("user", "x" * 1000), "msg_2": message("user", "y" * 9000)})
    assert 1000 < found.brief.input_bytes - request.brief.input_bytes < 1500


# --- what it begins with


def test_the_opening_stays_as_the_conversation_goes_on() -> None:
    grown = {**AGENT, "messages": [*AGENT["messages"], {"role": "assistant", "content": "Done."}, USER]}
    begun = {**AGENT, "messages": AGENT["messages"][:2], "stream": False, "temperature": 0.2}
    assert of_chat(**AGENT).opening == of_chat(**grown).opening == of_chat(**begun).opening
    later = {**CODEX, "input": [*CODEX["input"], message("developer", "New rules"), message("user", "And now?")]}
    assert of_responses(**CODEX).opening == of_responses(**later).opening


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "system", "content": "You are somebody else."}, *AGENT["messages"][1:]]},
        {"messages": [AGENT["messages"][0], {"role": "user", "content": "Another task"}, CALL, RESULT]},
        {"messages": [AGENT["messages"][0], USER, USER, CALL, RESULT]},
        {"tools": []},
    ],
)
def test_another_beginning_is_another_conversation(change: dict[str, Any]) -> None:
    assert of_chat(**AGENT).opening != of_chat(**{**AGENT, **change}).opening


def test_instructions_tools_and_first_words_open_a_responses_conversation() -> None:
    openings = {
        of_responses(**fields).opening
        for fields in (
            {},
            {"input": "Ho"},
            {"instructions": "Be brief."},
            {"tools": [{"type": "function", **FUNCTION}]},
            {"input": [{"type": "compaction", "encrypted_content": "a"}, USER]},
            {"input": [{"type": "compaction", "encrypted_content": "b"}, USER]},
        )
    }
    assert len(openings) == 6


def test_a_brief_is_read_once() -> None:
    request = from_chat_request(json.dumps(AGENT).encode())
    assert request.brief is request.brief
