"""Answers of a Responses provider as deltas, streamed and whole."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire import sse
from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    ReasoningDelta,
    ReasoningState,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS
from gateway.wire.lane import UnusableAnswer
from gateway.wire.responses.provider.dialect import DIALECT
from gateway.wire.responses.provider.stream import ResponsesDecoder
from gateway.wire.usage import Usage
from tests.unit.gateway.wire.responses_provider_events import (
    BRAND,
    Event,
    about,
    added,
    call,
    call_events,
    completed,
    created,
    done,
    ended,
    message,
    raw,
    reasoning,
    reasoning_events,
    response,
    text_events,
)

COUNTED = Counted(Usage(7, 0, 5, 2, is_plausible=True))


def decoded(events: Sequence[Event]) -> list[Delta]:
    decoder = ResponsesDecoder()
    deltas = [delta for event in events for delta in decoder.feed(json.dumps(event).encode())]
    assert decoder.failure is None, decoder.failure
    assert (decoder.is_done, decoder.events) == (True, len(events))
    return deltas


def whole(output: Sequence[Event], **more: Any) -> list[Delta]:
    return list(DIALECT.read_whole(json.dumps(response(output, **more)).encode()))


def joined(deltas: Sequence[Delta]) -> dict[str, Any]:
    """What was said, however it was cut."""
    texts = {
        kind.__name__: "".join(delta.text for delta in deltas if isinstance(delta, kind))
        for kind in (TextDelta, RefusalDelta, ReasoningDelta)
    }
    calls = {delta.place: [delta.name, ""] for delta in deltas if isinstance(delta, CallBegun)}
    for delta in deltas:
        if isinstance(delta, CallDelta):
            calls[delta.place][1] += delta.arguments
    states = [delta.state for delta in deltas if isinstance(delta, ReasoningState)]
    return {**texts, "calls": calls, "states": states, "end": deltas[-1]}


def test_a_stream_is_read_piece_by_piece_and_nothing_twice() -> None:
    events = [*reasoning_events(["H", "m"]), *text_events(["Hel", "lo"], 1), *call_events(["{", "}"], 2)]
    assert decoded(ended(events)) == [
        ReasoningDelta("H"),
        ReasoningDelta("m"),
        ReasoningState(BRAND),
        TextDelta("Hel"),
        TextDelta("lo"),
        CallBegun(0, "f"),
        CallDelta(0, "{"),
        CallDelta(0, "}"),
        COUNTED,
        Finished("tool_calls"),
    ]


def test_a_whole_answer_says_the_same() -> None:
    assert whole([reasoning("Hm"), message("Hello"), call("{}")]) == [
        ReasoningDelta("Hm"),
        ReasoningState(BRAND),
        TextDelta("Hello"),
        CallBegun(0, "f"),
        CallDelta(0, "{}"),
        COUNTED,
        Finished("tool_calls"),
    ]


EVERYTHING = [*reasoning_events(["H", "m"]), *text_events(["Hel", "lo"], 1), *call_events(["{", "}"], 2)]


@given(st.sets(st.integers(0, len(EVERYTHING) - 1)))
@settings(max_examples=100, deadline=None)
def test_whatever_events_a_provider_leaves_out_nothing_is_lost_and_nothing_said_twice(missing: set[int]) -> None:
    # A text whose middle is missing cannot be told from one that was tidied up: all deltas of a kind, or none.
    deltas = [place for place, event in enumerate(EVERYTHING) if event["type"].endswith(".delta")]
    kinds = {EVERYTHING[place]["type"] for place in missing if place in deltas}
    gone = missing | {place for place in deltas if EVERYTHING[place]["type"] in kinds}
    left = [event for place, event in enumerate(EVERYTHING) if place not in gone]
    last = completed(reasoning("Hm"), message("Hello", place=1), call("{}", place=2))
    assert joined(decoded([*created(), *left, last])) == joined(decoded(ended(EVERYTHING)))


@given(st.permutations([0] * 4 + [1] * 4 + [2] * 6))
@settings(max_examples=50, deadline=None)
def test_interleaved_items_keep_their_own(order: list[int]) -> None:
    streams = [call_events(["1"], 0, "f"), call_events(["2"], 1, "g"), text_events(["Hi"], 2)]
    items = [events[-1]["item"] for events in streams]
    rest = [iter(events) for events in streams]
    read = joined(decoded([*created(), *(next(rest[index]) for index in order), completed(*items)]))
    assert sorted(map(tuple, read["calls"].values())) == [("f", "1"), ("g", "2")]
    assert read["TextDelta"] == "Hi"


def test_arguments_that_come_only_at_the_end_are_not_lost() -> None:
    opened = added(call(status="in_progress"))
    for end in (
        [about(call(), "function_call_arguments.done", arguments="{}")],
        [done(call("{}"))],
        [],
    ):
        expected = [CallBegun(0, "f"), CallDelta(0, "{}"), COUNTED, Finished("tool_calls")]
        assert decoded([opened, *end, completed(call("{}"))]) == expected


def test_arguments_that_come_before_the_name_wait_for_it() -> None:
    events = [event for event in call_events(["{", "}"]) if event["type"] != "response.output_item.added"]
    assert decoded([*events, completed()])[:2] == [CallBegun(0, "f"), CallDelta(0, "{}")]


def test_arguments_as_an_object_are_read_as_their_text() -> None:
    assert whole([call({"a": "ü"})])[1] == CallDelta(0, '{"a": "ü"}')  # type: ignore[arg-type]


def test_a_custom_call_from_a_provider_that_was_given_functions_is_a_call_of_that_name() -> None:
    item = {"id": "x", "type": "custom_tool_call", "call_id": "c", "name": "patch", "input": ""}
    events = [
        added(item),
        about(item, "custom_tool_call_input.delta", delta="a\n"),
        about(item, "custom_tool_call_input.delta", delta="b"),
        about(item, "custom_tool_call_input.done", input="a\nb"),
        done({**item, "input": "a\nb"}),
        completed({**item, "input": "a\nb"}),
    ]
    expected = [CallBegun(0, "patch"), CallDelta(0, '{"input": "a\\nb"}'), COUNTED, Finished("tool_calls")]
    assert decoded(events) == expected
    assert decoded([*events[:2], completed({**item, "input": "a\nb"})]) == expected
    assert whole([{**item, "input": "a\nb"}]) == expected


def test_a_namespace_that_a_provider_makes_up_is_part_of_the_name_again() -> None:
    assert whole([{**call("{}"), "name": "g", "namespace": "mcp"}])[0] == CallBegun(0, "mcp__g")


def test_refusals_are_no_text() -> None:
    item = {**message(), "content": [{"type": "refusal", "refusal": "No."}]}
    events = [added(message()), about(item, "refusal.delta", content_index=0, delta="No."), done(item)]
    assert decoded([*events, completed(item)])[0] == RefusalDelta("No.")
    assert whole([item])[0] == RefusalDelta("No.")


def test_thoughts_are_read_once_and_paragraphs_of_a_summary_stay_apart() -> None:
    parts = [{"type": "summary_text", "text": text} for text in ("One", "Two")]
    both = {**reasoning(), "summary": parts, "content": [{"type": "reasoning_text", "text": "Thought"}]}
    assert whole([{**reasoning(), "summary": parts}])[:2] == [ReasoningDelta("One"), ReasoningDelta("\n\nTwo")]
    assert whole([both])[:2] == [ReasoningDelta("Thought"), ReasoningState(BRAND)]
    thought = about(both, "reasoning_text.delta", content_index=0, delta="Thought")
    assert decoded([added(both), thought, done(both), completed(both)])[:2] == whole([both])[:2]


@pytest.mark.parametrize(
    ("status", "reason", "finish"),
    [
        ("incomplete", "max_output_tokens", "length"),
        ("incomplete", "content_filter", "content_filter"),
        ("incomplete", BRAND, "length"),
        ("completed", None, "stop"),
        (None, None, "stop"),
    ],
)
def test_the_reason_of_the_end_is_one_of_ours(status: str, reason: str | None, finish: str) -> None:
    details = {"reason": reason} if reason else None
    assert whole([message("Hi")], status=status, incomplete_details=details)[-1] == Finished(finish)  # type: ignore[arg-type]
    ending = "incomplete" if status == "incomplete" else "completed"
    last = {"type": f"response.{ending}", "response": response([message("Hi")], status, incomplete_details=details)}
    assert decoded([last])[-1] == Finished(finish)  # type: ignore[arg-type]


def test_an_end_without_its_response_still_ends() -> None:
    assert decoded([*text_events(["Hi"]), {"type": "response.completed"}]) == [TextDelta("Hi"), Finished("stop")]


def test_events_and_items_that_nobody_knows_are_counted_and_say_nothing() -> None:
    odd = {"id": 7, "type": "vendor_call", "arguments": 7, "content": "x"}
    known = {"id": "x", "type": "tool_search_call", "arguments": {"query": "a"}, "content": 7}
    events: list[Event] = [added(known), done(known), {"type": "response.vendor", "delta": {"a": 1}}, {"type": ""}]
    assert decoded([*events, completed(known)]) == [COUNTED, Finished("stop")]
    with pytest.raises(UnusableAnswer, match="malformed"):
        whole([odd])


TOO_LONG = {"code": "context_length_exceeded", "message": BRAND}
VLLM = {"code": 400, "message": "This model's maximum context length is 8192 tokens."}


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (b"[]", "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"type": "response.output_text.delta", "delta": 7}', "malformed"),
        (b'{"type": "response.completed", "response": {"output": 7}}', "malformed"),
        (sse.ERROR_PAYLOAD, "error_event"),
        (json.dumps({"type": "error", "code": "x", "message": BRAND}).encode(), "error_event"),
        (json.dumps({"type": "error", **TOO_LONG}).encode(), "context_length_exceeded"),
        (json.dumps({"type": "error", "error": VLLM}).encode(), "context_length_exceeded"),
        (b'{"type": "response.failed"}', "failed_finish"),
        (
            json.dumps({"type": "response.failed", "response": {"error": {"code": "server_error"}}}).encode(),
            "failed_finish",
        ),
        (json.dumps({"type": "response.failed", "response": {"error": TOO_LONG}}).encode(), "context_length_exceeded"),
        (b'{"type": "response.completed", "response": {"status": "failed"}}', "failed_finish"),
    ],
)
def test_a_provider_that_fails_is_noticed(payload: bytes, failure: str) -> None:
    decoder = ResponsesDecoder()
    assert decoder.feed(payload) == []
    assert (decoder.failure, decoder.is_done) == (failure, False)
    assert decoder.feed(json.dumps(completed(message("Hi"))).encode()) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b"[" * 5000, "malformed"),
        (b"{}", "no_output"),
        (b'{"error": {"message": "x"}}', "error_body"),
        (b'{"error": "x", "output": []}', "error_body"),
        (json.dumps({"error": TOO_LONG}).encode(), "context_length_exceeded"),
        (json.dumps(response((), "failed", error=None)).encode(), "failed_finish"),
        (json.dumps(response((), "failed", error=TOO_LONG)).encode(), "context_length_exceeded"),
        (json.dumps(response((), "in_progress")).encode(), "not_finished"),
        (json.dumps(response([call(place=n) for n in range(MAX_TOOL_CALLS + 1)])).encode(), "too_many_tool_calls"),
    ],
)
def test_what_is_no_answer_is_unusable(body: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        DIALECT.read_whole(body)
    assert caught.value.reason == reason


def test_more_calls_than_any_client_could_carry_out_are_a_failure() -> None:
    decoder = ResponsesDecoder()
    for place in range(MAX_TOOL_CALLS + 1):
        decoder.feed(json.dumps(added(call(place=place), place)).encode())
    assert decoder.failure == "too_many_tool_calls"


def test_ids_that_change_and_indexes_that_are_all_alike_do_not_mix_items_up() -> None:
    expected = joined(decoded(ended(EVERYTHING)))
    changing = json.loads(json.dumps(ended(EVERYTHING)))
    for number, event in enumerate(changing):
        if "item_id" in event:
            event["item_id"] += str(number)
        if "item" in event:
            event["item"]["id"] += str(number)
    assert joined(decoded(changing)) == expected
    alike = [{**event, "output_index": 0} if "output_index" in event else event for event in ended(EVERYTHING)]
    assert joined(decoded(alike)) == expected


names = st.sampled_from([event["type"] for event in ended(EVERYTHING)] + ["error", "", "response.failed", "response.x"])
fields = st.sampled_from(
    ["item", "response", "delta", "text", "output", "content", "id", "output_index", "name", "type"]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.sampled_from(["message", "reasoning"])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=4))


@given(st.lists(st.tuples(names, st.dictionaries(fields, values, max_size=5)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_event_whatever_is_in_it_raises(events: list[tuple[str, dict[str, Any]]]) -> None:
    decoder = ResponsesDecoder()
    for name, event in events:
        decoder.feed(json.dumps({**event, "type": name}).encode())


@given(st.lists(st.integers(0, len(raw(ended(EVERYTHING)))), max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_split_of_the_bytes_gives_the_same_deltas(cuts: list[int]) -> None:
    stream = raw(ended(EVERYTHING))
    splitter, decoder = sse.Splitter(), ResponsesDecoder()
    pieces = [stream[begin:end] for begin, end in itertools.pairwise([0, *sorted(cuts), len(stream)])]
    read = [delta for piece in pieces for payload in splitter.feed(piece) for delta in decoder.feed(payload)]
    assert read == decoded(ended(EVERYTHING))
