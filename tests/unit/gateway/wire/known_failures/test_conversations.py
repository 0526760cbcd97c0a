"""Known failures with what was said before: roles, order, thoughts, pictures. See docs/known-failures.md."""

import itertools
import json

import pytest

from devstack.provider import Answer, ToolCall
from gateway.wire.lane import ProviderFormat, Quirks
from tests.unit.gateway.wire.known_failures.wires import (
    AGENT_FORMATS,
    FORMATS,
    Json,
    Wires,
    past_calls,
    strings,
)

LOOK: Json = {"type": "function", "name": "look", "strict": False, "parameters": {"type": "object", "properties": {}}}
CHAT_LOOK: Json = {"type": "function", "function": {"name": "look", "parameters": LOOK["parameters"]}}
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PICTURE = f"data:image/png;base64,{PIXELS}"


def said(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def call(call_id: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": json.dumps({"at": call_id})}


def result(call_id: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": f"seen {call_id}"}


TOLD = ("You are an agent.", "Be brief.", "The sandbox is read-only.")
INSTRUCTED: Json = {
    "instructions": TOLD[0],
    "input": [said("developer", TOLD[1]), said("user", "Go."), said("system", TOLD[2]), said("user", "Now.")],
}
CHAT_INSTRUCTED: Json = {
    "messages": [
        {"role": "system", "content": TOLD[0]},
        {"role": "developer", "content": TOLD[1]},
        {"role": "user", "content": "Go."},
        {"role": "developer", "content": TOLD[2]},
        {"role": "user", "content": "Now."},
    ]
}


@pytest.mark.parametrize("is_chat_client", [True, False])
@pytest.mark.parametrize("format", FORMATS)
def test_wire_06_developer_and_several_system_messages_are_what_the_provider_knows(
    format: ProviderFormat, is_chat_client: bool
) -> None:
    # The provider refuses a `developer` role in chat, and any instructions but one message at the beginning.
    told = Wires(format).stream(CHAT_INSTRUCTED if is_chat_client else INSTRUCTED, chat=is_chat_client)
    words = "\n".join(strings({"instructions": "", **told.asked}))
    assert [words.count(text) for text in (*TOLD, "Go.", "Now.")] == [1] * 5
    assert [words.index(text) for text in TOLD] == sorted(words.index(text) for text in TOLD)


@pytest.mark.parametrize("is_chat_client", [True, False])
def test_wire_06_a_template_that_knows_no_instructions_gets_them_as_the_users(is_chat_client: bool) -> None:
    wires = Wires("chat", quirks=Quirks(system_role="user"))
    told = wires.stream(CHAT_INSTRUCTED if is_chat_client else INSTRUCTED, chat=is_chat_client)
    assert {message["role"] for message in told.asked["messages"]} == {"user"}
    assert [list(strings(told.asked["messages"])).count("\n\n".join(TOLD))] == [1]


THOUGHT = "First the file has to be found."
THINKING: Json = {
    "tools": [LOOK],
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "store": False,
}


def thoughts_of(format: ProviderFormat, asked: Json) -> list[str]:
    """The thoughts, or their state, that a provider gets back."""
    if format == "chat":
        return [message["reasoning_content"] for message in asked["messages"] if "reasoning_content" in message]
    if format == "responses":
        return [item["encrypted_content"] for item in asked["input"] if item["type"] == "reasoning"]
    blocks = [block for message in asked["messages"] for block in message["content"]]
    return [block["signature"] for block in blocks if block["type"] == "thinking"]


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_07_thoughts_are_passed_back_with_the_calls_that_they_led_to(format: ProviderFormat) -> None:
    wires = Wires(format, wants_reasoning=True)
    first = wires.stream({**THINKING, "input": [said("user", "Go.")]}, thinking())
    reasoning, *calls = first.output
    assert reasoning["summary"][0]["text"] == THOUGHT
    assert reasoning["encrypted_content"]
    back = [*first.output, *(result(one["call_id"]) for one in calls)]
    again = wires.stream({**THINKING, "input": [said("user", "Go."), *back]})
    assert thoughts_of(format, again.asked) == [THOUGHT if format == "chat" else "Zephyr-thoughts"]


def thinking() -> Answer:
    return Answer(text=None, reasoning=THOUGHT, tool_calls=(ToolCall("look"), ToolCall("look")))


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_07_thoughts_of_another_target_are_left_out_and_refuse_nothing(format: ProviderFormat) -> None:
    first = Wires(format, name="other").stream({**THINKING, "input": [said("user", "Go.")]}, thinking())
    back = [*first.output, *(result(one["call_id"]) for one in first.output[1:])]
    again = Wires(format).stream({**THINKING, "input": [said("user", "Go."), *back]})
    assert len(past_calls(format, again.asked)) == 2
    # What can be read of them is no secret of the other one: a chat provider may have it.
    assert thoughts_of(format, again.asked) == ([THOUGHT] if format == "chat" else [])


def test_wire_07_a_chat_client_that_sends_thoughts_back_is_heard() -> None:
    wires = Wires("chat", wants_reasoning=True)
    body: Json = {"messages": [{"role": "user", "content": "Go."}], "tools": [CHAT_LOOK]}
    message = wires.whole(body, thinking(), chat=True)["choices"][0]["message"]
    assert message["reasoning_content"] == THOUGHT
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "x"} for one in message["tool_calls"]]
    again = wires.stream({**body, "messages": [*body["messages"], message, *results]}, chat=True)
    assert thoughts_of("chat", again.asked) == [THOUGHT]


ORDERS = [
    [call("a"), call("b"), call("c"), result("c"), result("a"), result("b")],
    [call("a"), result("a"), call("b"), call("c"), result("c"), result("b")],
    [call("a"), call("b"), result("b"), call("c"), result("c"), result("a")],
    [call("a"), said("assistant", "And two more."), call("b"), call("c"), result("b"), result("c"), result("a")],
    [call("a"), call("b"), call("c"), said("user", "Wait."), result("a"), result("b"), result("c")],
]


@pytest.mark.parametrize("items", ORDERS)
@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_08_results_follow_their_calls_in_whatever_order_they_come(
    format: ProviderFormat, items: list[Json]
) -> None:
    sent = [{**item, "content": item["content"][0]["text"]} if item["type"] == "message" else item for item in items]
    told = Wires(format).stream({"input": [said("user", "Go."), *sent], "tools": [LOOK]})
    assert [given for _, _, given in past_calls(format, told.asked)] == [{"at": one} for one in "abc"]
    assert results_of(format, told.asked) == {one: f"seen {one}" for one in "abc"}


def results_of(format: ProviderFormat, asked: Json) -> dict[str, str]:
    """What the tools answered, by the call that it answers."""
    if format == "chat":
        messages = [message for message in asked["messages"] if message["role"] == "tool"]
        return {message["tool_call_id"]: message["content"] for message in messages}
    if format == "responses":
        return {item["call_id"]: item["output"] for item in asked["input"] if item["type"] == "function_call_output"}
    blocks = [block for message in asked["messages"] for block in message["content"]]
    results = [block for block in blocks if block["type"] == "tool_result"]
    return {block["tool_use_id"]: block["content"][0]["text"] for block in results}


def test_wire_08_parallel_calls_are_one_message_of_the_assistant() -> None:
    body = {"input": [said("user", "Go."), *ORDERS[0]], "tools": [LOOK]}
    chat = Wires("chat").stream(body).asked["messages"]
    assert [message["role"] for message in chat] == ["user", "assistant", "tool", "tool", "tool"]
    messages = Wires("anthropic").stream(body).asked["messages"]
    assert [(message["role"], len(message["content"])) for message in messages] == [
        ("user", 1),
        ("assistant", 3),
        ("user", 3),
    ]


def test_wire_08_a_provider_without_parallel_calls_gets_one_after_the_other() -> None:
    wires = Wires("chat", quirks=Quirks(takes_parallel_calls=False))
    chat = wires.stream({"input": [said("user", "Go."), *ORDERS[0]], "tools": [LOOK]}).asked["messages"]
    assert [message["role"] for message in chat] == ["user", *["assistant", "tool"] * 3]


@pytest.mark.parametrize("format", ["responses", "anthropic"])
@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("abc")])
def test_wire_08_results_of_a_chat_client_find_their_calls_in_other_formats(format: ProviderFormat, order: str) -> None:
    calls = [{"id": one, "type": "function", "function": {"name": "look", "arguments": "{}"}} for one in "abc"]
    results = [{"role": "tool", "tool_call_id": one, "content": f"seen {one}"} for one in order]
    messages = [{"role": "user", "content": "Go."}, {"role": "assistant", "tool_calls": calls}, *results]
    told = Wires(format).stream({"messages": messages, "tools": [CHAT_LOOK]}, chat=True)
    assert results_of(format, told.asked) == {one: f"seen {one}" for one in "abc"}


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_09_a_picture_in_a_tools_output_stays_a_picture(format: ProviderFormat) -> None:
    shown = [
        {"type": "input_text", "text": "the screen"},
        {"type": "input_image", "image_url": PICTURE, "detail": "high"},
    ]
    output = {**result("a"), "output": shown}
    told = Wires(format).stream({"input": [said("user", "Go."), call("a"), output], "tools": [LOOK]})
    assert [text for text in strings(told.asked) if PIXELS in text] == [PIXELS if format == "anthropic" else PICTURE]
    assert pictures_of(format, told.asked) == 1
    assert "the screen" in list(strings(told.asked))


def pictures_of(format: ProviderFormat, asked: Json) -> int:
    """How many pictures the model is shown as such."""
    if format == "chat":
        contents = [message["content"] for message in asked["messages"] if isinstance(message["content"], list)]
        return sum(part["type"] == "image_url" and part["image_url"]["url"] == PICTURE for c in contents for part in c)
    if format == "responses":
        parts = [part for item in asked["input"] if item["type"].endswith("output") for part in item["output"]]
        return sum(part["type"] == "input_image" and part["image_url"] == PICTURE for part in parts)
    blocks = [block for message in asked["messages"] for block in message["content"]]
    shown = [part for block in blocks if block["type"] == "tool_result" for part in block["content"]]
    return sum(part["type"] == "image" and part["source"]["data"] == PIXELS for part in shown)
