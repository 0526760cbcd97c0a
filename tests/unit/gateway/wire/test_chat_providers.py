"""Prompts written for chat providers: strict and tidy, whatever the client sent."""

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
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.chat.conversation import IN_NEXT_MESSAGE, NO_RESULT, WITHOUT_CALL
from gateway.wire.chat.provider import DIALECT, write_request
from gateway.wire.lane import Quirks, Target, Unservable
from tests.unit.gateway.wire.chat_written import PDF, PNG, Seals, messages, said, written

USER, ANSWER = Message("user", (Text("Hi"),)), Message("assistant", (Text("Let me see."),))
SYSTEM, DEVELOPER = Message("system", (Text("S"),)), Message("developer", (Text("D"),))
A, B = ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")
RESULT_A, RESULT_B = ToolResult("a", (Text("A!"),)), ToolResult("b", (Text("B!"),))


def told(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def answered(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


DONE_A, DONE_B = answered("a", "A!"), answered("b", "B!")


def test_requests_go_to_the_chat_endpoint() -> None:
    assert (DIALECT.path, dict(DIALECT.headers)) == ("/chat/completions", {})


def test_instructions_become_one_and_come_first() -> None:
    items = (SYSTEM, USER, DEVELOPER, Message("system", (Text(""),)))
    assert messages(*items) == [told("system", "S\n\nD"), told("user", "Hi")]
    assert messages(*items, system_role="developer") == [told("developer", "S\n\nD"), told("user", "Hi")]
    assert messages(*items, merges_system=False) == [told("system", "S"), told("user", "Hi"), told("system", "D")]
    assert messages(*items, merges_system=False, system_role="user") == [
        told("user", "S"),
        told("user", "Hi"),
        told("user", "D"),
    ]


def test_parts_are_strings_unless_there_is_something_to_see() -> None:
    assert messages(Message("user", (Text("a"), Text("b")))) == [told("user", "a\nb")]
    assert messages(
        Message("user", (Text("a"), Image(PNG, "original"), Image(PNG), File(PDF, "a.pdf"), File(PDF)))
    ) == [
        told(
            "user",
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
                {"type": "file", "file": {"file_data": PDF}},
            ],
        )
    ]


def test_pictures_of_anybody_are_shown_by_the_user() -> None:
    seen = [{"type": "image_url", "image_url": {"url": PNG}}]
    assert messages(Message("assistant", (Text("There:"), Image(PNG))), A, RESULT_A) == [
        told("assistant", "There:"),
        told("user", seen),
        said(A),
        DONE_A,
    ]
    assert messages(Message("system", (Image(PNG),))) == [told("user", seen)]


def test_parallel_calls_are_one_message_with_the_words_before_them_and_results_in_their_order() -> None:
    assert messages(USER, ANSWER, A, B, RESULT_B, RESULT_A) == [
        told("user", "Hi"),
        said(A, B, content="Let me see."),
        DONE_A,
        DONE_B,
    ]


def test_calls_one_after_the_other_stay_so() -> None:
    assert messages(USER, A, RESULT_A, B, RESULT_B, ANSWER) == [
        told("user", "Hi"),
        said(A),
        DONE_A,
        said(B),
        DONE_B,
        told("assistant", "Let me see."),
    ]


def test_what_comes_between_a_call_and_its_result_comes_after_both() -> None:
    assert messages(A, USER, B, SYSTEM, RESULT_A, RESULT_B, merges_system=False) == [
        said(A),
        DONE_A,
        told("user", "Hi"),
        said(B),
        DONE_B,
        told("system", "S"),
    ]


def test_where_calls_cannot_be_parallel_they_are_made_one_after_the_other() -> None:
    shown = ToolResult("a", (Image(PNG),))
    read = messages(Reasoning("Hm"), ANSWER, A, B, RESULT_B, shown, takes_parallel_calls=False, replays_reasoning=True)
    assert read == [
        said(A, content="Let me see.", reasoning_content="Hm"),
        answered("a", IN_NEXT_MESSAGE),
        told(
            "user",
            [
                {"type": "text", "text": "The output of `f` (a):"},
                {"type": "image_url", "image_url": {"url": PNG}},
            ],
        ),
        said(B, reasoning_content="Hm"),
        DONE_B,
    ]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    assert messages(A, B, RESULT_B) == [said(A, B), answered("a", NO_RESULT), DONE_B]
    assert messages(A) == [said(A), answered("a", NO_RESULT)]


def test_a_result_without_a_call_is_told_by_the_user() -> None:
    assert messages(RESULT_A, USER) == [told("user", f"{WITHOUT_CALL}A!"), told("user", "Hi")]
    assert messages(A, RESULT_A, RESULT_A) == [said(A), DONE_A, told("user", f"{WITHOUT_CALL}A!")]
    (shown,) = messages(ToolResult("z", (Text("x"), Image(PNG))))
    assert [part["type"] for part in shown["content"]] == ["text", "image_url"]


def test_calls_with_the_same_id_are_told_apart() -> None:
    again = replace(A, name="g")
    assert messages(A, RESULT_A, again, ToolResult("a", (Text("2"),))) == [
        said(A),
        DONE_A,
        said(replace(again, call_id="a_2")),
        answered("a_2", "2"),
    ]


def test_pictures_in_results_follow_all_results_of_their_group_and_are_never_text() -> None:
    shown = ToolResult("a", (Text("see"), Image(PNG)))
    read = messages(A, B, shown, RESULT_B)
    assert read[:3] == [said(A, B), answered("a", "see"), DONE_B]
    assert read[3]["content"] == [
        {"type": "text", "text": "The output of `f` (a):"},
        {"type": "image_url", "image_url": {"url": PNG}},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"), [("", "{}"), ('{"a', '{"input": "{\\"a"}'), ("[1]", '{"input": "[1]"}')]
)
def test_arguments_that_a_provider_could_not_parse_are_wrapped(arguments: str, sent: str) -> None:
    (call, _) = messages(ToolCall("a", "f", arguments))
    assert call["tool_calls"][0]["function"]["arguments"] == sent


@pytest.mark.parametrize(
    ("thoughts", "sent"),
    [
        ([Reasoning("summary", sealed="sAll of it")], "All of it"),
        ([Reasoning("summary", sealed="another target's")], "summary"),
        ([Reasoning("One"), Reasoning(""), Reasoning("two")], "One\ntwo"),
        ([], ""),
    ],
)
def test_thoughts_go_back_with_the_calls_they_led_to(thoughts: list[Reasoning], sent: str) -> None:
    items: list[Item] = [*thoughts, ANSWER, A, RESULT_A]
    assert messages(*items, replays_reasoning=True)[0] == said(A, content="Let me see.", reasoning_content=sent)
    assert messages(*items)[0] == said(A, content="Let me see.")


def test_thoughts_of_a_finished_turn_are_not_sent_again() -> None:
    read = messages(Reasoning("Old"), ANSWER, USER, A, RESULT_A, replays_reasoning=True)
    assert read == [told("assistant", "Let me see."), told("user", "Hi"), said(A, reasoning_content=""), DONE_A]


def test_a_refusal_is_the_assistants_text() -> None:
    assert messages(Message("assistant", (Text("No."),), is_refusal=True)) == [told("assistant", "No.")]


def test_tools_are_functions_whatever_their_kind() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    tools = (
        Tool("f", description="does f", parameters=schema, is_strict=True),
        Tool("g", namespace="mcp", is_strict=False),
        Tool("patch", kind="custom"),
    )
    body = written(
        Prompt((USER,), tools, tool_choice=OneTool("mcp__g"), has_parallel_calls=True),
    )
    assert [tool["type"] for tool in body["tools"]] == ["function"] * 3
    first, second, third = (tool["function"] for tool in body["tools"])
    assert first == {"name": "f", "description": "does f", "parameters": schema, "strict": True}
    assert second == {"name": "mcp__g", "parameters": {"type": "object", "properties": {}}}
    assert third["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "mcp__g"}}
    assert body["parallel_tool_calls"] is True


def test_without_tools_nothing_is_said_of_them() -> None:
    body = written(Prompt((USER,), tool_choice="auto", has_parallel_calls=True))
    assert body == {"model": "theirs", "messages": [told("user", "Hi")]}


def test_a_target_without_parallel_calls_is_not_asked_for_them() -> None:
    target = Target("theirs", quirks=Quirks(takes_parallel_calls=False))
    for wish, ignored in ((True, ("parallel_tool_calls",)), (False, ())):
        prompt = Prompt((USER,), (Tool("f"),), has_parallel_calls=wish)
        sent = write_request(prompt, target, is_stream=False, sealer=Seals())
        assert "parallel_tool_calls" not in json.loads(sent.body)
        assert sent.ignored == ignored


def test_wishes_have_the_names_of_this_format() -> None:
    prompt = Prompt(
        (USER,),
        max_output_tokens=9,
        sampling=Sampling(0.5, 0.9, 1, -1, 7, ("X",)),
        output=JsonSchema("x", {"type": "object"}, "an x", is_strict=True),
        verbosity="low",
        reasoning_effort="high",
    )
    quirks = Quirks(output_cap_field="max_completion_tokens")
    assert written(prompt, Target("theirs", quirks=quirks), is_stream=True) == {
        "model": "theirs",
        "messages": [told("user", "Hi")],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object"}, "description": "an x", "strict": True},
        },
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "seed": 7,
        "stop": ["X"],
        "reasoning_effort": "high",
        "verbosity": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 9,
    }
    assert written(Prompt((USER,), output="json_object"))["response_format"] == {"type": "json_object"}


def test_a_targets_cap_fields_to_drop_and_to_rename_come_last() -> None:
    target = Target("theirs", max_output_tokens=5, drop=("seed", "top_k"), rename={"max_tokens": "limit"})
    sent = write_request(Prompt((USER,), sampling=Sampling(seed=1)), target, is_stream=False, sealer=Seals())
    assert json.loads(sent.body) == {"model": "theirs", "messages": [told("user", "Hi")], "limit": 5}
    assert sent.ignored == ("seed",)


@pytest.mark.parametrize(
    ("prompt", "quirks", "param"),
    [
        (Prompt((USER,), (Tool("f"),)), Quirks(takes_tools=False), "tools"),
        (Prompt((A, RESULT_A)), Quirks(takes_tools=False), "messages"),
        (Prompt((Message("user", (Image(PNG),)),)), Quirks(takes_images=False), "messages"),
        (Prompt((A, ToolResult("a", (Image(PNG),)))), Quirks(takes_images=False), "messages"),
        (Prompt((USER,), output=JsonSchema("x", {})), Quirks(takes_schema=False), "response_format"),
    ],
)
def test_a_target_is_not_asked_for_what_it_cannot_do(prompt: Prompt, quirks: Quirks, param: str) -> None:
    with pytest.raises(Unservable) as caught:
        written(prompt, Target("theirs", quirks=quirks))
    assert caught.value.param == param
