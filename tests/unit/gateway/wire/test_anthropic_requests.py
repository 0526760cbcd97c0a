"""Prompts as Messages requests: what is sent, case by case."""

import json
from typing import Any

import pytest

from gateway.wire.anthropic.conversation import ORPHAN, UNANSWERED, UNSAID
from gateway.wire.anthropic.encode import BUDGETS, DEFAULT_MAX_TOKENS, MIN_ANSWER
from gateway.wire.anthropic.provider import DIALECT
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
from gateway.wire.crossing import Written
from gateway.wire.lane import Quirks, Target, Unservable
from tests.unit.gateway.wire.anthropic_events import Sealer

THOUGHTS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "eHg="},
]
PNG = "data:image/png;base64,aGk="
PDF = "data:application/pdf;base64,JVBERg=="
READ = Tool("read", parameters={"type": "object", "properties": {"path": {"type": "string"}}}, description="Reads.")


def write(prompt: Prompt, target: Target | None = None, *, is_stream: bool = False) -> Written:
    return DIALECT.write_request(prompt, target or Target("theirs"), is_stream=is_stream, sealer=Sealer())


def body(prompt: Prompt, target: Target | None = None, *, is_stream: bool = False) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(write(prompt, target, is_stream=is_stream).body)
    return sent


def user(*texts: str) -> Message:
    return Message("user", tuple(Text(text) for text in texts))


def assistant(text: str) -> Message:
    return Message("assistant", (Text(text),))


def thinking_target(**quirks: Any) -> Target:
    return Target("theirs", quirks=Quirks(replays_reasoning=True, **quirks))


def text_block(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


HI = Prompt((user("Hi"),))


def test_a_prompt_of_one_message_is_sent_with_the_cap_that_the_api_requires() -> None:
    assert body(HI) == {
        "model": "theirs",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [text_block("Hi")]}],
    }
    assert (DIALECT.path, DIALECT.headers) == ("/messages", {"anthropic-version": "2023-06-01"})


def test_a_stream_is_asked_for() -> None:
    assert body(HI, is_stream=True) == body(HI) | {"stream": True}


@pytest.mark.parametrize(
    ("asked", "cap", "sent"),
    [(None, None, DEFAULT_MAX_TOKENS), (50, None, 50), (None, 100, 100), (500, 100, 100), (50, 100, 50)],
)
def test_the_cap_is_the_clients_or_the_targets_whichever_is_lower(
    asked: int | None, cap: int | None, sent: int
) -> None:
    assert body(Prompt(HI.items, max_output_tokens=asked), Target("t", max_output_tokens=cap))["max_tokens"] == sent


def test_instructions_come_first_as_one_text_and_neighbours_are_one_message() -> None:
    prompt = Prompt(
        (
            Message("system", (Text("Be brief."), Text("Be kind."))),
            user("a"),
            user("b", " ", ""),
            assistant("c"),
            Message("developer", (Text("Be true."), Text(" "))),
            assistant("d"),
            user("e"),
        )
    )
    sent = body(prompt)
    assert sent["system"] == "Be brief.\n\nBe kind.\n\nBe true."
    assert sent["messages"] == [
        {"role": "user", "content": [text_block("a"), text_block("b")]},
        {"role": "assistant", "content": [text_block("c"), text_block("d")]},
        {"role": "user", "content": [text_block("e")]},
    ]


def test_the_user_speaks_first_and_last() -> None:
    assert body(Prompt((assistant("a"),)))["messages"] == [
        {"role": "user", "content": [text_block(UNSAID)]},
        {"role": "assistant", "content": [text_block("a")]},
        {"role": "user", "content": [text_block(UNSAID)]},
    ]
    only_instructions = body(Prompt((Message("system", (Text("Say hello."),)),)))
    assert only_instructions["messages"] == [{"role": "user", "content": [text_block(UNSAID)]}]


def test_pictures_and_documents_are_sent_as_the_api_takes_them() -> None:
    parts = (Text("Look:"), Image(PNG, "high"), Image("https://x.example/a.png"), File(PDF, "a.pdf"), File(PDF))
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}}
    assert body(Prompt((Message("user", parts),)))["messages"][0]["content"] == [
        text_block("Look:"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        document | {"title": "a.pdf"},
        document,
    ]


@pytest.mark.parametrize(
    "message",
    [
        Message("user", (Image("data:image/tiff;base64,aGk="),)),
        Message("user", (Image("data:image/png,hi"),)),
        Message("user", (Image("file:///etc/passwd"),)),
        Message("user", (File("data:text/csv;base64,aGk="),)),
        Message("user", (File("aGk="),)),
        Message("assistant", (Image(PNG),)),
        Message("system", (Image(PNG),)),
    ],
)
def test_what_the_api_cannot_look_at_goes_to_another_target(message: Message) -> None:
    with pytest.raises(Unservable) as caught:
        write(Prompt((message,)))
    assert caught.value.param == "messages"


def test_parallel_calls_are_answered_in_one_message_before_anything_else() -> None:
    prompt = Prompt(
        (
            user("go"),
            assistant("I will."),
            ToolCall("call_1", "read", '{"path": "a", "n": 123456789012345678901234567890}'),
            ToolCall("call_2", "read", ""),
            ToolResult("call_2", (Text("two"), Image(PNG))),
            user("wait"),
            ToolResult("call_1", (Text(""),)),
        ),
        tools=(READ,),
    )
    sent = write(prompt).body
    assert b'"n": 123456789012345678901234567890' in sent
    assert json.loads(sent)["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                text_block("I will."),
                {
                    "type": "tool_use",
                    "id": "call_1",
                    "name": "read",
                    "input": {"path": "a", "n": 123456789012345678901234567890},
                },
                {"type": "tool_use", "id": "call_2", "name": "read", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [
                        text_block("two"),
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                    ],
                },
                text_block("wait"),
            ],
        },
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', "ls -l", '{"a": "\\ud800"}', "[" * 5000])
def test_arguments_that_are_no_object_are_told_as_text(arguments: str) -> None:
    sent = body(Prompt((user("go"), ToolCall("call_1", "shell", arguments), ToolResult("call_1", (Text("ok"),)))))
    assert sent["messages"][1]["content"][0]["input"] == {"input": arguments}


def test_calls_without_a_result_and_results_without_a_call_are_made_whole() -> None:
    prompt = Prompt((user("go"), ToolCall("c", "read", "{}"), user("stop"), ToolResult("x", (Text("late"),))))
    assert body(prompt)["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c", "content": UNANSWERED, "is_error": True},
        text_block("stop"),
        text_block(ORPHAN),
        text_block("late"),
    ]


def test_ids_that_the_api_refuses_are_replaced_on_both_sides() -> None:
    items: list[Item] = [user("go")]
    for number in range(2):
        items += [ToolCall("a.b|c", "read", "{}"), ToolResult("a.b|c", (Text(str(number)),))]
    messages = body(Prompt(tuple(items)))["messages"]
    pairs = [
        (use["content"][0]["id"], answer["content"][0]["tool_use_id"], answer["content"][0]["content"][0]["text"])
        for use, answer in zip(messages[1::2], messages[2::2], strict=True)
    ]
    assert pairs == [("call", "call", "0"), ("call_2", "call_2", "1")]


def test_tools_are_functions_with_an_object_as_input() -> None:
    tools = (READ, Tool("patch", kind="custom", namespace="fs"), Tool("now", is_strict=True))
    sent = body(Prompt(HI.items, tools=tools))
    assert "tool_choice" not in sent
    assert sent["tools"][0] == {"name": "read", "description": "Reads.", "input_schema": READ.parameters}
    assert [tool["name"] for tool in sent["tools"]] == ["read", "fs__patch", "now"]
    assert all(tool["input_schema"]["type"] == "object" and "strict" not in tool for tool in sent["tools"])


@pytest.mark.parametrize(
    ("choice", "has_parallel_calls", "sent"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        (OneTool("read"), True, {"type": "tool", "name": "read"}),
        (OneTool("read"), False, {"type": "tool", "name": "read", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
    ],
)
def test_the_choice_of_tools_is_translated(choice: Any, has_parallel_calls: bool | None, sent: Any) -> None:
    prompt = Prompt(HI.items, tools=(READ,), tool_choice=choice, has_parallel_calls=has_parallel_calls)
    assert body(prompt).get("tool_choice") == sent
    assert "tool_choice" not in body(Prompt(HI.items, tool_choice=choice, has_parallel_calls=has_parallel_calls))


def test_a_history_with_calls_declares_their_tools_even_if_the_client_does_not() -> None:
    items = (user("go"), ToolCall("c", "read", "{}"), ToolResult("c", (Text("x"),)), user("Sum up."))
    sent = body(Prompt(items))
    assert sent["tools"] == [{"name": "read", "input_schema": {"type": "object"}}]
    assert sent["tool_choice"] == {"type": "none"}


def test_sampling_is_kept_within_what_the_api_takes_and_the_rest_is_named() -> None:
    sampling = Sampling(1.5, 0.9, 0.5, 0.0, 7, ("END", "\n"))
    written = write(Prompt(HI.items, sampling=sampling, verbosity="low", reasoning_effort="high"))
    sent = json.loads(written.body)
    assert (sent["temperature"], sent["stop_sequences"]) == (1.0, ["END"])
    assert not {"top_p", "seed", "presence_penalty", "thinking"} & sent.keys()
    assert written.ignored == ("top_p", "presence_penalty", "seed", "reasoning_effort", "verbosity")
    assert body(Prompt(HI.items, sampling=Sampling(top_p=0.9)))["top_p"] == 0.9
    blank = write(Prompt(HI.items, sampling=Sampling(stop=("\n",))))
    assert ("stop_sequences" in json.loads(blank.body), blank.ignored) == (False, ("stop",))
    assert write(Prompt(HI.items, sampling=Sampling(None, 1, 0, 0), reasoning_effort="none")).ignored == ()


def test_a_schema_is_sent_where_the_target_takes_one() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    prompt = Prompt(HI.items, output=JsonSchema("answer", schema, is_strict=True))
    assert body(prompt)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    for output, quirks in ((prompt.output, Quirks(takes_schema=False)), ("json_object", Quirks())):
        with pytest.raises(Unservable) as caught:
            write(Prompt(HI.items, output=output), Target("t", quirks=quirks))
        assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    ("prompt", "quirks", "param"),
    [
        (Prompt(HI.items, tools=(READ,)), Quirks(takes_tools=False), "tools"),
        (Prompt((user("go"), ToolCall("c", "read", "{}"))), Quirks(takes_tools=False), "tools"),
        (Prompt((Message("user", (Image(PNG),)),)), Quirks(takes_images=False), "messages"),
        (
            Prompt((user("go"), ToolCall("c", "see", "{}"), ToolResult("c", (Image(PNG),)))),
            Quirks(takes_images=False),
            "messages",
        ),
    ],
)
def test_a_target_that_lacks_something_is_not_asked_for_it(prompt: Prompt, quirks: Quirks, param: str) -> None:
    with pytest.raises(Unservable) as caught:
        write(prompt, Target("t", quirks=quirks))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("effort", "asked", "cap", "budget", "max_tokens"),
    [
        ("low", None, None, 2048, DEFAULT_MAX_TOKENS + 2048),
        ("medium", 20_000, None, 8192, 20_000),
        ("high", None, 32_000, 16_384, 32_000),
        ("high", None, 9_000, 9_000 - MIN_ANSWER, 9_000),
        ("low", 2_000, None, None, 2_000),
        ("unheard-of", None, None, None, DEFAULT_MAX_TOKENS),
        ("none", None, None, None, DEFAULT_MAX_TOKENS),
        (None, None, None, None, DEFAULT_MAX_TOKENS),
    ],
)
def test_effort_becomes_a_budget_below_the_cap(
    effort: str | None, asked: int | None, cap: int | None, budget: int | None, max_tokens: int
) -> None:
    target = Target("t", quirks=Quirks(replays_reasoning=True), max_output_tokens=cap)
    prompt = Prompt(HI.items, max_output_tokens=asked, reasoning_effort=effort, sampling=Sampling(0.5))
    written = write(prompt, target)
    sent = json.loads(written.body)
    assert sent["max_tokens"] == max_tokens
    if budget is None:
        assert ("thinking" in sent, sent["temperature"]) == (False, 0.5)
        assert written.ignored == (() if effort in {None, "none"} else ("reasoning_effort",))
    else:
        assert sent["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert ("temperature" in sent, written.ignored) == (False, ("temperature",))


def test_newer_models_are_told_the_effort_itself() -> None:
    schema = JsonSchema("a", {"type": "object"})
    sent = body(Prompt(HI.items, reasoning_effort="minimal", output=schema), thinking_target(thinks_adaptively=True))
    assert sent["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert sent["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        (Prompt(HI.items, reasoning_effort="low"), Target("t")),
        (Prompt(HI.items, reasoning_effort="low", tools=(READ,), tool_choice="required"), thinking_target()),
        (
            Prompt((user("go"), ToolCall("c", "f", "{}"), ToolResult("c", (Text("x"),))), reasoning_effort="low"),
            thinking_target(),
        ),
        (
            Prompt(HI.items, reasoning_effort="low"),
            Target("t", quirks=Quirks(replays_reasoning=True), drop=("thinking",)),
        ),
    ],
)
def test_there_is_no_thinking_where_the_api_would_refuse_it(prompt: Prompt, target: Target) -> None:
    written = write(prompt, target)
    assert "thinking" not in json.loads(written.body)
    assert written.ignored == ("reasoning_effort",)


def calling_history(sealed: str | None) -> Prompt:
    call = (Reasoning("hm", sealed), assistant("I read."), ToolCall("c", "read", "{}"))
    return Prompt((user("go"), *call, ToolResult("c", (Text("x"),))), tools=(READ,), reasoning_effort="low")


def test_thoughts_are_sent_back_before_the_calls_they_led_to() -> None:
    sent = body(calling_history(Sealer().seal(json.dumps(THOUGHTS))), thinking_target())
    content = sent["messages"][1]["content"]
    assert content[:2] == THOUGHTS
    assert [block["type"] for block in content[2:]] == ["text", "tool_use"]
    assert sent["thinking"]["budget_tokens"] == BUDGETS["low"]


@pytest.mark.parametrize("sealed", [None, "another's", "sealed:", "sealed:[1]", 'sealed:[{"type":"text","text":"x"}]'])
def test_thoughts_that_are_not_the_targets_own_are_left_out(sealed: str | None) -> None:
    sent = body(calling_history(sealed), thinking_target())
    assert [block["type"] for block in sent["messages"][1]["content"]] == ["text", "tool_use"]
    assert "thinking" not in sent


def test_a_target_that_gets_no_thoughts_back_gets_none() -> None:
    sent = body(calling_history(Sealer().seal(json.dumps(THOUGHTS))))
    assert "thinking" not in json.dumps(sent["messages"])


def test_a_target_can_drop_and_rename_fields() -> None:
    target = Target("t", drop=("temperature", "absent"), rename={"max_tokens": "cap"})
    written = write(Prompt(HI.items, sampling=Sampling(0.5)), target)
    sent = json.loads(written.body)
    assert (sent["cap"], "temperature" in sent, "max_tokens" in sent) == (DEFAULT_MAX_TOKENS, False, False)
    assert written.ignored == ("temperature",)
