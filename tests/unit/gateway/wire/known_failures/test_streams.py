"""Known failures of streams: items, ends, errors, figures, compaction, signs of life. See docs/known-failures.md."""

import json
from typing import Any

import pytest

from devstack.provider import Answer, ToolCall, Usage
from devstack.provider.formats import WRITERS
from devstack.provider.identity import Identity
from gateway.wire.lane import ProviderFormat, UnusableAnswer
from tests.unit.gateway.wire.known_failures.wires import (
    AGENT_FORMATS,
    BRAND,
    FORMATS,
    Json,
    Told,
    Wires,
    payload,
    without,
)

LOOK: Json = {"type": "function", "name": "look", "strict": False, "parameters": {"type": "object", "properties": {}}}
QUESTION: Json = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}
BODY: Json = {"input": [QUESTION], "tools": [LOOK], "store": False}
PLAIN: Json = {"input": [QUESTION], "store": False}
CHAT: Json = {"messages": [{"role": "user", "content": "Go."}], "stream_options": {"include_usage": True}}
CALLED = Answer(text="I look.", tool_calls=(ToolCall("look", '{"at": "a"}'), ToolCall("look", '{"at": "b"}')))


def types(told: Told) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told.events]


def text_of(told: Told) -> str:
    return "".join(event["delta"] for event in told.events if event["type"] == "response.output_text.delta")


# --- the end, and what has to be in it


@pytest.mark.parametrize("format", FORMATS)
def test_wire_04_the_end_is_there_with_its_id_and_all_output(format: ProviderFormat) -> None:
    body, answer = (PLAIN, Answer(text="Done.")) if format == "completions" else (BODY, CALLED)
    told = Wires(format).stream(body, answer)
    assert types(told)[-1] == "completed"
    assert told.response["id"] == told.events[0]["response"]["id"] != ""
    kinds = ["message"] if format == "completions" else ["message", "function_call", "function_call"]
    assert [item["type"] for item in told.output] == kinds
    assert [event["item"] for event in told.events if event["type"] == "response.output_item.done"] == told.output


@pytest.mark.parametrize("format", ["chat", "completions", "anthropic"])
def test_wire_04_a_provider_that_closes_without_its_end_mark_has_ended_all_the_same(format: ProviderFormat) -> None:
    told = Wires(format).stream(PLAIN, Answer(text="Done."), spoil=lambda events: events[:-1])
    assert (types(told)[-1], text_of(told)) == ("completed", "Done.")


@pytest.mark.parametrize("format", FORMATS)
def test_wire_04_a_stream_that_stops_in_the_middle_is_never_completed(format: ProviderFormat) -> None:
    told = Wires(format).stream(PLAIN, Answer(text="one two three"), spoil=lambda events: events[:-3])
    assert types(told)[-1] == "failed"
    assert told.lane.answer.failure == "truncated"


def test_wire_04_deltas_of_an_item_that_was_never_opened_open_one() -> None:
    def only_deltas(events: list[bytes]) -> list[bytes]:
        names = ("response.output_text.delta", "response.completed")
        return [event for event in events if payload(event)["type"] in names]

    told = Wires("responses").stream(PLAIN, Answer(text="one two three"), spoil=only_deltas)
    assert types(told)[2:4] == ["output_item.added", "content_part.added"]
    assert types(told)[-4:-1] == ["output_text.done", "content_part.done", "output_item.done"]
    assert told.output[0]["content"][0]["text"] == "one two three"


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_05_only_items_that_were_opened_are_closed(format: ProviderFormat) -> None:
    told = Wires(format).stream(BODY, Answer(text="", tool_calls=CALLED.tool_calls))
    opened = [event["item"]["type"] for event in told.events if event["type"] == "response.output_item.added"]
    closed = [event["item"]["type"] for event in told.events if event["type"] == "response.output_item.done"]
    assert opened == closed == ["function_call", "function_call"]


SPARSE = {
    "arguments.done": ("response.function_call_arguments.delta",),
    "item.done": ("response.function_call_arguments.delta", "response.function_call_arguments.done"),
    "completed": (
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ),
}


@pytest.mark.parametrize("is_chat_client", [True, False])
@pytest.mark.parametrize("said_in", SPARSE)
def test_wire_05_arguments_that_a_provider_says_only_at_the_end_are_not_lost(
    said_in: str, is_chat_client: bool
) -> None:
    answer = Answer(text=None, tool_calls=CALLED.tool_calls)
    tools = [{"type": "function", "function": {"name": "look", "parameters": LOOK["parameters"]}}]
    body = {**CHAT, "tools": tools} if is_chat_client else BODY
    told = Wires("responses").stream(
        body, answer, chat=is_chat_client, spoil=lambda events: without(events, *SPARSE[said_in])
    )
    if is_chat_client:
        pieces = [piece for delta in told.deltas for piece in delta.get("tool_calls") or ()]
        said = ["".join(p["function"].get("arguments") or "" for p in pieces if p["index"] == i) for i in range(2)]
    else:
        said = [call["arguments"] for call in told.output]
    assert said == ['{"at": "a"}', '{"at": "b"}']


def test_wire_05_the_output_of_the_final_event_is_full_although_the_providers_is_empty() -> None:
    def emptied(events: list[bytes]) -> list[bytes]:
        last = payload(events[-1])
        last["response"]["output"] = []
        return [*events[:-1], f"data: {json.dumps(last)}\n\n".encode()]

    told = Wires("responses").stream(BODY, CALLED, spoil=emptied)
    assert [item["type"] for item in told.output] == ["message", "function_call", "function_call"]
    assert told.output[1]["arguments"] == '{"at": "a"}'


@pytest.mark.parametrize("format", FORMATS)
def test_wire_13_nothing_follows_a_failed_response(format: ProviderFormat) -> None:
    told = Wires(format).stream(PLAIN, Answer(text="one two three"), spoil=lambda events: events[:-3])
    answer = told.lane.answer
    assert types(told)[-1] == "failed"
    assert (answer.heartbeat(), answer.finish(), answer.fail("upstream_broken", "x")) == (b"", b"", b"")


# --- what strict clients stumble over


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_c20_reasoning_text_and_parallel_calls_are_opened_filled_and_closed_in_order(format: ProviderFormat) -> None:
    answer = Answer(text="I look.", reasoning="Hm, well.", tool_calls=CALLED.tool_calls)
    told = Wires(format).stream({**BODY, "include": ["reasoning.encrypted_content"]}, answer)
    assert [item["type"] for item in told.output] == ["reasoning", "message", "function_call", "function_call"]
    names = types(told)
    assert names.index("reasoning_summary_text.delta") < names.index("output_text.delta")
    assert names.index("output_text.delta") < names.index("function_call_arguments.delta")
    # A client runs a tool when its call is done: none is before all are.
    calls = [place for place, name in enumerate(names) if name == "function_call_arguments.delta"]
    done = [
        place
        for place, event in enumerate(told.events)
        if event["type"] == "response.output_item.done" and event["item"]["type"] == "function_call"
    ]
    assert max(calls) < min(done)


FULL = {"input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens"}


@pytest.mark.parametrize("reports", [0, 1, 2])
@pytest.mark.parametrize("format", FORMATS)
def test_c20_usage_is_there_with_all_details_whatever_the_provider_counts(format: ProviderFormat, reports: int) -> None:
    told = Wires(format).stream(PLAIN, Answer(text="Done.", usage_reports=reports))
    usage = told.response["usage"]
    assert usage.keys() == FULL
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}
    assert usage["input_tokens_details"]["cached_tokens"] == 0
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (
        (12, 7, 19) if reports else (0, 0, 0)
    )
    if reports:
        chat = Wires(format).stream(CHAT, Answer(text="Done.", usage_reports=reports), chat=True)
        assert chat.payloads[-2]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.parametrize("format", FORMATS)
def test_c20_figures_that_cannot_be_are_made_plausible(format: ProviderFormat) -> None:
    usage = Usage(prompt_tokens=-5, completion_tokens=2**70, total_tokens=1)
    counted = Wires(format).stream(PLAIN, Answer(text="Done.", usage=usage)).response["usage"]
    assert (counted["input_tokens"], counted["output_tokens"]) == (0, 100_000_000)


# --- errors inside of a stream


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("format", FORMATS)
def test_c24_an_error_inside_a_stream_is_a_failure_and_no_end(format: ProviderFormat, is_named: bool) -> None:
    def failing(events: list[bytes]) -> list[bytes]:
        errors = WRITERS[format].error_events(Identity(BRAND), "The engine is overloaded.", is_named=is_named)
        return [*events[:5], *errors]

    told = Wires(format).stream(PLAIN, Answer(text="one two three four five six"), spoil=failing)
    assert told.lane.answer.failure is not None
    assert (types(told)[-1], told.response["error"]["code"]) == ("failed", "server_error")
    chat = Wires(format).stream(CHAT, Answer(text="one two three four five six"), chat=True, spoil=failing)
    assert chat.payloads[-1]["error"]["code"] == "upstream_broken"
    assert "[DONE]" not in chat.payloads
    assert not any(choice["finish_reason"] for one in chat.payloads[:-1] for choice in one["choices"])


@pytest.mark.parametrize("is_chat_client", [True, False])
@pytest.mark.parametrize("format", ["chat", "completions"])
def test_c24_an_answer_that_finishes_with_error_has_failed(format: ProviderFormat, is_chat_client: bool) -> None:
    answer = Answer(text="Half of", finish_reason="error")
    told = Wires(format).stream(CHAT if is_chat_client else PLAIN, answer, chat=is_chat_client)
    assert told.lane.answer.failure == "failed_finish"
    if is_chat_client:
        assert "[DONE]" not in told.payloads
    else:
        assert types(told)[-1] == "failed"


@pytest.mark.parametrize("is_chat_client", [True, False])
@pytest.mark.parametrize("format", FORMATS)
def test_c24_an_error_with_status_200_is_no_empty_answer(format: ProviderFormat, is_chat_client: bool) -> None:
    error: dict[str, Any] = {"type": "overloaded_error", "message": "Overloaded", "code": None}
    body = {"type": "error", "error": error} if format == "anthropic" else {"error": error}
    lane = Wires(format).lane(CHAT if is_chat_client else PLAIN, chat=is_chat_client)
    with pytest.raises(UnusableAnswer):
        lane.answer.take(json.dumps(body).encode())


# --- signs of life


@pytest.mark.parametrize("format", FORMATS)
def test_wire_10_a_heartbeat_is_an_event_that_idle_timers_count(format: ProviderFormat) -> None:
    wires = Wires(format)
    lane = wires.lane({**PLAIN, "stream": True})
    told = wires.stream(PLAIN, Answer(text="one two"))
    # Before the first word nothing leaves: another provider could still be asked.
    assert lane.answer.heartbeat() == b""
    beats = with_heartbeats(format)
    names = [event["type"] for event in beats.events]
    assert names.count("response.in_progress") > 2
    assert names[-1] == "response.completed"
    assert [n for n in names if n != "response.in_progress"] == [
        event["type"] for event in told.events if event["type"] != "response.in_progress"
    ]


def with_heartbeats(format: ProviderFormat) -> Told:
    """A stream with a heartbeat after every read of it: wherever it is cut, the whole keeps the rules."""
    wires = Wires(format)
    written: list[bytes] = []

    def noted(events: list[bytes]) -> list[bytes]:
        written[:] = events
        return events

    wires.stream(PLAIN, Answer(text="one two"), spoil=noted)
    raw = b"".join(written)
    lane = wires.lane({**PLAIN, "stream": True})
    sent = []
    for start in range(0, len(raw), 40):
        sent += [lane.answer.feed(raw[start : start + 40]), lane.answer.heartbeat()]
    sent += [lane.answer.end(), lane.answer.heartbeat(), lane.answer.finish()]
    return Told({}, b"".join(sent), lane)


@pytest.mark.parametrize("format", FORMATS)
def test_wire_10_a_heartbeat_of_chat_is_a_comment_at_the_border_of_events(format: ProviderFormat) -> None:
    beat = Wires(format).lane({**CHAT, "stream": True}, chat=True).answer.heartbeat()
    assert beat.startswith(b":")
    assert beat.endswith(b"\n\n")


# --- compaction


@pytest.mark.parametrize("format", FORMATS)
def test_wire_12_a_compaction_is_exactly_one_item_that_any_target_can_go_on_from(format: ProviderFormat) -> None:
    asked = {**PLAIN, "input": [QUESTION, {"type": "compaction_trigger"}]}
    told = Wires(format).stream(asked, Answer(text="The user wants a bridge."))
    (item,) = told.output
    assert item["type"] == "compaction"
    assert "bridge" not in item["encrypted_content"]
    assert types(told).count("output_item.done") == types(told).count("output_item.added") == 1
    for other in FORMATS:
        again = Wires(other, name="another").stream({**PLAIN, "input": [item, QUESTION]})
        assert "The user wants a bridge." in json.dumps(again.asked)


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_12_thoughts_and_calls_beside_the_summary_are_no_items(format: ProviderFormat) -> None:
    asked = {**BODY, "input": [QUESTION, {"type": "compaction_trigger"}]}
    answer = Answer(text="A bridge.", reasoning="Hm.", tool_calls=(ToolCall("look"),))
    assert [item["type"] for item in Wires(format).stream(asked, answer).output] == ["compaction"]


@pytest.mark.parametrize("format", AGENT_FORMATS)
def test_wire_12_a_hand_over_summary_without_tools_is_an_ordinary_answer(format: ProviderFormat) -> None:
    call = {"type": "function_call", "call_id": "call_a", "name": "look", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "call_a", "output": "seen"}
    body = {"input": [QUESTION, call, result, QUESTION], "parallel_tool_calls": False, "tool_choice": "auto"}
    told = Wires(format).stream(body, Answer(text="Hand over this.", usage=Usage(120_000, 7, 120_007)))
    assert (types(told)[-1], text_of(told)) == ("completed", "Hand over this.")
    # Codex compacts by these figures.
    assert told.response["usage"]["input_tokens"] == 120_000
