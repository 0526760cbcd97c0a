"""Answers of the Messages API, streamed and whole: what the model said, case by case."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.wire.anthropic.blocks import MAX_TOOL_CALLS
from gateway.wire.anthropic.decode import from_message
from gateway.wire.anthropic.stream import MessagesDecoder
from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    ReasoningDelta,
    ReasoningState,
    TextDelta,
)
from gateway.wire.chat.encode import from_provider_error
from gateway.wire.lane import UnusableAnswer
from gateway.wire.usage import Usage
from tests.unit.gateway.wire.anthropic_events import (
    BRAND,
    MESSAGE_START,
    PING,
    REDACTED,
    THINKING,
    USAGE,
    call,
    delta,
    ending,
    event,
    payloads,
    start,
    stop,
    text,
    thoughts,
)


def read(raw: bytes) -> list[Delta]:
    """What a decoder makes of a stream that it has no fault to find in."""
    decoder = MessagesDecoder()
    deltas = [told for payload in payloads(raw) for told in decoder.feed(payload)]
    assert decoder.failure is None
    return deltas


def without_figures(deltas: Sequence[Delta]) -> list[Delta]:
    return [told for told in deltas if not isinstance(told, Counted)]


def test_text_is_told_piece_by_piece_and_pings_are_nothing() -> None:
    deltas = read(MESSAGE_START + PING + text(0, "Hel", "", "lo") + ending("end_turn", output_tokens=2))
    assert without_figures(deltas) == [TextDelta("Hel"), TextDelta("lo"), Finished("stop")]


def test_all_input_counts_and_the_cached_part_is_known() -> None:
    details = {"thinking_tokens": 3}
    deltas = read(MESSAGE_START + ending("end_turn", output_tokens=7, output_tokens_details=details))
    figures = [told.usage for told in deltas if isinstance(told, Counted)]
    assert figures == [Usage(115, 100, 1, 0, is_plausible=True), Usage(115, 100, 7, 3, is_plausible=True)]


def test_input_that_is_told_only_at_the_end_counts() -> None:
    begun = event("message_start", message={"usage": {"input_tokens": 0, "output_tokens": 0}})
    assert read(begun + ending("end_turn", input_tokens=9, output_tokens=2))[-1] == Counted(
        Usage(9, 0, 2, 0, is_plausible=True)
    )


def test_a_figure_that_is_told_less_well_later_is_kept() -> None:
    assert read(MESSAGE_START + ending("end_turn", input_tokens=0, output_tokens=0))[-1] == Counted(
        Usage(115, 100, 1, 0, is_plausible=True)
    )


def test_figures_that_cannot_be_are_corrected() -> None:
    told = read(ending("end_turn", input_tokens=-5, output_tokens=1e300))[-1]
    assert isinstance(told, Counted)
    assert (told.usage.input, told.usage.is_plausible) == (0, False)


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("tool_use", "tool_calls"),
        (f"{BRAND}_reason", "stop"),
    ],
)
def test_the_reason_to_stop_is_told_in_the_words_of_all(stop_reason: str, reason: Any) -> None:
    assert without_figures(read(ending(stop_reason))) == [Finished(reason)]


def test_an_end_without_a_reason_is_an_end() -> None:
    assert read(text(0, "Hi") + ending(None)) == [TextDelta("Hi"), Counted(Usage(0, 0, 0, 0, True)), Finished("stop")]
    assert read(call(0, "f") + ending("end_turn"))[-2] == Finished("tool_calls")


def test_calls_are_told_with_their_arguments_interleaved_or_not() -> None:
    raw = (
        start(0, type="tool_use", name="f", input={})
        + start(1, type="tool_use", name="g", input={})
        + delta(0, "input_json_delta", partial_json='{"a":')
        + delta(1, "input_json_delta", partial_json="")
        + delta(0, "input_json_delta", partial_json="1}")
        + stop(0)
        + ending("tool_use")
    )
    assert without_figures(read(raw)) == [
        CallBegun(0, "f"),
        CallBegun(1, "g"),
        CallDelta(0, '{"a":'),
        CallDelta(0, "1}"),
        CallDelta(1, "{}"),
        Finished("tool_calls"),
    ]


def test_arguments_that_come_with_the_beginning_are_told_once() -> None:
    whole = start(0, type="tool_use", name="f", input={"a": 1}) + stop(0)
    assert read(whole) == [CallBegun(0, "f"), CallDelta(0, '{"a": 1}')]
    both = (
        start(0, type="tool_use", name="f", input={"a": 1}) + delta(0, "input_json_delta", partial_json="{}") + stop(0)
    )
    assert read(both) == [CallBegun(0, "f"), CallDelta(0, "{}")]


@pytest.mark.parametrize(
    ("raw", "after"),
    [(text(2, "Hi"), TextDelta("Hi")), (call(2, "f"), CallBegun(0, "f")), (b"", Finished("stop"))],
)
def test_thoughts_are_told_and_their_state_before_what_follows(raw: bytes, after: Delta) -> None:
    deltas = read(thoughts(0) + start(1, **REDACTED) + stop(1) + raw + ending("end_turn"))
    assert deltas[:2] == [ReasoningDelta("hm"), ReasoningDelta(" so")]
    assert isinstance(deltas[2], ReasoningState)
    assert json.loads(deltas[2].state) == [THINKING, REDACTED]
    assert deltas[3] == after
    assert sum(isinstance(told, ReasoningState) for told in deltas) == 1


def test_thoughts_after_text_have_a_state_of_their_own() -> None:
    deltas = read(thoughts(0) + text(1, "Hi") + start(2, **REDACTED) + call(3, "f"))
    states = [json.loads(told.state) for told in deltas if isinstance(told, ReasoningState)]
    assert states == [[THINKING], [REDACTED]]


def test_what_was_never_asked_for_says_nothing() -> None:
    raw = (
        start(0, type="server_tool_use", name="web_search", input={"q": BRAND})
        + delta(0, "input_json_delta", partial_json='{"q":1}')
        + stop(0)
        + delta(1, "citations_delta", citation={"title": BRAND})
        + delta(9, "thinking_delta", thinking="whose?")
        + event(f"{BRAND}_event")
    )
    assert read(raw) == []


def test_nothing_is_told_after_the_end_but_figures() -> None:
    finished = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
    deltas = read(finished + text(0, "ghost") + call(1, "ghost") + ending("max_tokens", output_tokens=4))
    assert [type(told) for told in deltas] == [Finished, Counted, Counted]


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"type": 7}', "malformed"),
        (b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": 7}}', "malformed"),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}', "error_event"),
        (b'{"type": "error"}', "error_event"),
        (b'{"error": {}}', "error_event"),
    ],
)
def test_a_provider_that_fails_is_noticed_and_heard_no_more(payload: bytes, failure: str) -> None:
    decoder = MessagesDecoder()
    assert decoder.feed(payload) == []
    assert decoder.failure == failure
    assert decoder.feed(payloads(text(0, "Hi"))[1]) == []


def test_more_calls_than_anybody_could_carry_out_are_a_failure() -> None:
    decoder = MessagesDecoder()
    for number in range(MAX_TOOL_CALLS + 1):
        for payload in payloads(call(number, "f")):
            decoder.feed(payload)
    assert decoder.failure == "too_many_tool_calls"


BLOCKS: list[dict[str, Any]] = [
    THINKING,
    REDACTED,
    {"type": "text", "text": "Hi", "citations": [BRAND]},
    {"type": "tool_use", "id": BRAND, "name": "f", "input": {"a": 123456789012345678901234567890}},
    {"type": f"{BRAND}_block", "text": BRAND},
]


def message(content: Any, stop_reason: str | None = "end_turn", **more: Any) -> bytes:
    return json.dumps(
        {"id": BRAND, "type": "message", "model": BRAND, "content": content, "stop_reason": stop_reason, **more}
    ).encode()


def test_a_whole_message_says_the_same_as_a_stream() -> None:
    raw = (
        MESSAGE_START
        + start(0, **THINKING)
        + start(1, **REDACTED)
        + text(2, "Hi")
        + call(3, "f", '{"a": 123456789012345678901234567890}')
        + ending("tool_use", output_tokens=1)
    )
    whole = from_message(message(BLOCKS, "tool_use", usage=USAGE))
    assert without_figures(whole) == without_figures(read(raw))
    assert whole[-1] == Counted(Usage(115, 100, 1, 0, is_plausible=True))
    assert BRAND not in repr(whole)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "malformed"),
        (b"<html>", "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"content": [{"type": "tool_use", "input": {"a": "\xff"}}]}', "malformed"),
        (b'{"content": "Hi"}', "malformed"),
        (b"{}", "no_content"),
        (b'{"type": "error", "error": {"type": "api_error", "message": "x"}}', "error_body"),
        (message([{"type": "tool_use", "name": "f"}] * (MAX_TOOL_CALLS + 1)), "too_many_tool_calls"),
    ],
)
def test_what_is_no_answer_is_a_failure(raw: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        from_message(raw)
    assert caught.value.reason == reason


def test_an_answer_of_nothing_is_an_answer() -> None:
    assert from_message(message([], None)) == [Finished("stop")]


@pytest.mark.parametrize(
    ("words", "is_too_long"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", True),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", True),
        ("max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens", False),
        ("messages.1.content.0: unexpected `tool_use_id`", False),
    ],
)
def test_an_error_that_says_that_the_prompt_is_too_long_is_understood(words: str, is_too_long: bool) -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": words}, "request_id": BRAND}
    assert from_provider_error(json.dumps(body).encode(), fields=()).is_context_too_long is is_too_long
