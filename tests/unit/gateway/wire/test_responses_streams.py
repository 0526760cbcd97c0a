"""Response streams out: what leaves, when, and what is held back."""

import json
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Delta,
    Finished,
    ReasoningDelta,
    ReasoningState,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.responses.encode import to_response
from gateway.wire.responses.stream import ResponsesEncoder
from gateway.wire.tools import ToolBox
from tests.unit.gateway.wire.responses_answers import (
    COUNTED,
    ECHO,
    HEX,
    IDENTITY,
    STOP,
    fed,
    fed_raw,
    new_encoder,
    output,
    streamed,
    types,
)
from tests.unit.gateway.wire.responses_rules import event_violations, read_events, response_violations


def test_a_text_answer_is_exactly_what_openai_sends() -> None:
    begun = {
        "id": f"resp_{HEX}",
        "object": "response",
        "created_at": 7,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        **ECHO,
        "model": "smart-route-mini",
        "store": False,
        "output": [],
        "usage": None,
    }
    item_id = f"msg_{HEX}0000"
    message = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    at = {"item_id": item_id, "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    part = {**empty, "text": "Hello"}
    done = {**message, "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 38,
    }
    final = {**begun, "status": "completed", "output": [done], "usage": usage}
    expected: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {"type": "response.content_part.added", **at, "part": empty},
        {"type": "response.output_text.delta", **at, "logprobs": [], "delta": "Hel"},
        {"type": "response.output_text.delta", **at, "logprobs": [], "delta": "lo"},
        {"type": "response.output_text.done", **at, "logprobs": [], "text": "Hello"},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": final},
    ]
    assert streamed([TextDelta("Hel"), TextDelta("lo"), STOP, COUNTED]) == [
        {**event, "sequence_number": number} for number, event in enumerate(expected)
    ]


def test_an_event_on_the_wire_is_its_name_and_its_data() -> None:
    encoder = new_encoder()
    encoder.feed(TextDelta("a"))
    name, data, *rest = encoder.feed(TextDelta('"é\n')).split(b"\n")
    assert (name, rest) == (b"event: response.output_text.delta", [b"", b""])
    assert json.loads(data.removeprefix(b"data: "))["delta"] == '"é\n'


@pytest.mark.parametrize(
    "silent",
    [TextDelta(""), RefusalDelta(""), ReasoningDelta(""), ReasoningState("x"), CallDelta(0, "{}"), COUNTED, STOP],
)
def test_nothing_leaves_before_something_is_said(silent: Delta) -> None:
    encoder = new_encoder()
    assert encoder.feed(silent) + encoder.heartbeat() == b""


@pytest.mark.parametrize(
    "telling", [TextDelta("a"), RefusalDelta("a"), ReasoningDelta("a"), CallBegun(0, "look"), CallBegun(0, "patch")]
)
def test_a_stream_begins_with_the_first_delta_that_says_something(telling: Delta) -> None:
    events = fed(new_encoder(), [telling])
    assert types(events)[:2] == ["created", "in_progress"]


def test_text_and_refusal_are_parts_of_one_message() -> None:
    events = streamed([TextDelta("a"), RefusalDelta("no"), TextDelta("b"), STOP])
    (message,) = output(events)
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal", "output_text"]
    assert [event["content_index"] for event in events if event["type"].endswith(".delta")] == [0, 1, 2]


def test_thoughts_are_a_summary_of_one_part_and_done_before_the_text() -> None:
    events = streamed([ReasoningDelta("hm"), ReasoningDelta("…"), TextDelta("a"), STOP])
    assert types(events)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert output(events)[0] == {
        "id": f"rs_{HEX}0000",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": "hm…"}],
    }


def test_a_state_is_sealed_into_its_thoughts_and_ends_them() -> None:
    said: list[Delta] = [
        ReasoningDelta("hm"),
        ReasoningState("s1"),
        ReasoningDelta("so"),
        ReasoningState("s2"),
        TextDelta("a"),
        STOP,
    ]
    first, second, _ = output(streamed(said, seal=lambda state: f"sealed {state}"))
    assert (first["encrypted_content"], second["encrypted_content"]) == ("sealed s1", "sealed s2")


def test_a_state_without_readable_thoughts_is_an_item_of_its_own() -> None:
    first, message = output(streamed([ReasoningState("s"), TextDelta("a"), STOP], seal=str.upper))
    assert (first["summary"], first["encrypted_content"]) == ([], "S")
    assert message["type"] == "message"


def test_a_state_that_the_client_has_no_use_for_is_left_out() -> None:
    reasoning, _ = output(streamed([ReasoningDelta("hm"), ReasoningState("s"), TextDelta("a"), STOP]))
    assert "encrypted_content" not in reasoning


def test_a_state_that_is_left_out_does_not_cut_a_message_in_two() -> None:
    (message,) = output(streamed([TextDelta("a"), ReasoningState("s"), TextDelta("b"), STOP]))
    assert message["content"][0]["text"] == "ab"


def test_half_characters_are_replaced_everywhere() -> None:
    deltas: list[Delta] = [TextDelta("a\ud800"), CallBegun(0, "look"), CallDelta(0, '"\udc00"'), CallBegun(1, "patch")]
    events = streamed([*deltas, CallDelta(1, '{"input":"\\ud800"}'), STOP])
    message, function, custom = output(events)
    assert message["content"][0]["text"] == "a\ufffd"
    assert (function["arguments"], custom["input"]) == ('"\ufffd"', "\ufffd")


def test_an_answer_of_nothing_still_has_a_beginning_and_an_end() -> None:
    events = streamed([STOP])
    assert types(events) == ["created", "in_progress", "completed"]
    assert events[-1]["response"]["usage"]["total_tokens"] == 0


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_cut_answer_is_incomplete_and_so_is_what_was_open(reason: Any, why: str) -> None:
    events = streamed([ReasoningDelta("hm"), TextDelta("a"), Finished(reason), COUNTED])
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": why}
    assert [item["status"] for item in output(events)] == ["completed", "incomplete"]
    assert events[-1]["response"]["usage"]["total_tokens"] == 38


def test_what_follows_the_finish_is_not_written() -> None:
    encoder = new_encoder()
    encoder.feed(TextDelta("a"))
    encoder.feed(STOP)
    assert encoder.feed(TextDelta("b")) + encoder.feed(CallBegun(0, "look")) + encoder.feed(COUNTED) == b""
    assert encoder.completed()["output"][0]["content"][0]["text"] == "a"


def test_nothing_counts_that_is_fed_after_the_final_object_was_asked_for() -> None:
    encoder = new_encoder()
    raw = encoder.feed(TextDelta("a"))
    final = encoder.completed()
    assert encoder.feed(TextDelta("b")) + encoder.feed(CallBegun(0, "look")) + encoder.feed(COUNTED) == b""
    assert read_events(raw + encoder.finish())[-1]["response"] == final


def test_what_is_open_at_the_end_is_done_in_the_order_of_the_output() -> None:
    events = streamed([CallBegun(0, "look"), TextDelta("a"), STOP])
    assert [event["output_index"] for event in events if event["type"].endswith("item.done")] == [0, 1]


def test_the_ids_of_items_count_in_hexadecimal() -> None:
    said: list[Delta] = [TextDelta("a"), ReasoningDelta("hm")] * 6
    assert output(streamed([*said, STOP]))[10]["id"] == f"msg_{HEX}000a"


def test_a_failed_answer_has_an_error_and_only_what_was_done() -> None:
    encoder = new_encoder()
    events = fed(
        encoder, [ReasoningDelta("hm"), TextDelta("a"), CallBegun(0, "look"), CallDelta(0, "{}"), TextDelta("b")]
    )
    events += read_events(encoder.fail("server_error", "It broke."))
    assert event_violations(events) == []
    response = events[-1]["response"]
    assert (events[-1]["type"], response["status"]) == ("response.failed", "failed")
    assert response["error"] == {"code": "server_error", "message": "It broke."}
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output"] == [event["item"] for event in events if event["type"].endswith("item.done")]


def test_an_answer_that_fails_at_once_is_begun_first() -> None:
    events = read_events(new_encoder().fail("server_error", "It broke."))
    assert types(events) == ["created", "in_progress", "failed"]
    assert event_violations(events) == []


def test_nothing_follows_the_end() -> None:
    for end in (ResponsesEncoder.finish, lambda encoder: encoder.fail("server_error", "It broke.")):
        encoder = new_encoder()
        encoder.feed(TextDelta("a"))
        assert end(encoder) != b""
        rest = encoder.feed(TextDelta("b")) + encoder.heartbeat() + encoder.finish() + encoder.fail("server_error", "x")
        assert rest == b""


def test_a_heartbeat_is_an_event_like_any_other_until_the_end() -> None:
    encoder = new_encoder()
    raw = encoder.feed(TextDelta("a")) + encoder.heartbeat() + encoder.feed(TextDelta("b")) + encoder.feed(STOP)
    encoder.completed()
    events = read_events(raw + encoder.heartbeat() + encoder.finish())
    assert event_violations(events) == []
    assert types(events).count("in_progress") == 3


def test_the_final_object_is_known_before_the_end_is_sent() -> None:
    encoder = new_encoder()
    raw = b"".join(
        [encoder.feed(delta) for delta in (TextDelta("a"), CallBegun(0, "patch"), CallBegun(1, "look"), STOP, COUNTED)]
    )
    final = encoder.completed()
    assert encoder.completed() == final
    events = read_events(raw + encoder.finish())
    assert events[-1]["response"] == final == encoder.completed()


def test_an_answer_can_still_fail_after_its_final_object_was_asked_for() -> None:
    encoder = new_encoder()
    raw = encoder.feed(TextDelta("a")) + encoder.feed(CallBegun(0, "patch")) + encoder.feed(STOP)
    encoder.completed()
    events = read_events(raw + encoder.fail("server_error", "It could not be recorded."))
    assert event_violations(events) == []
    assert [item["type"] for item in output(events)] == ["message"]


def test_a_whole_answer_is_the_object_that_the_stream_ends_with() -> None:
    deltas: list[Delta] = [
        ReasoningDelta("hm"),
        TextDelta("a"),
        CallBegun(0, "patch"),
        CallDelta(0, '{"input":"x"}'),
        STOP,
        COUNTED,
    ]
    encoder = new_encoder()
    whole = json.loads(to_response(deltas, encoder=encoder))
    assert response_violations(whole) == []
    assert whole == streamed(deltas)[-1]["response"] == encoder.completed()


def test_what_the_client_sends_changes_nothing_that_is_ours() -> None:
    echo = {
        **ECHO,
        "id": "resp_mine",
        "model": "theirs",
        "status": "failed",
        "usage": {},
        "tools": [{"type": "function"}],
    }
    encoder = ResponsesEncoder(IDENTITY, str, echo=echo, toolbox=ToolBox(), seal=None, stores=True)
    response = encoder.completed()
    assert (response["id"], response["model"], response["status"]) == (f"resp_{HEX}", "smart-route-mini", "completed")
    assert (response["store"], response["tools"]) == (True, [{"type": "function"}])


def test_the_client_of_openai_reads_the_bytes() -> None:
    deltas: list[Delta] = [ReasoningDelta("hm"), TextDelta("Hé"), CallBegun(0, "look"), CallDelta(0, '{"a":1}'), STOP]
    encoder = new_encoder(str.upper)
    raw = fed_raw(encoder, deltas) + encoder.finish()
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw)
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: answer))
    client = OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http)
    with client, client.responses.stream(model="smart-route-mini", input="Hi") as stream:
        response = stream.get_final_response()
    assert response.output_text == "Hé"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
