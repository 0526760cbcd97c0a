"""Chat answers as deltas: what providers do to calls and thoughts."""

import json
from typing import Any
from uuid import UUID

import pytest

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
    Tool,
)
from gateway.wire.chat.deltas import ChatDecoder, from_completion
from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS
from gateway.wire.lane import Identity, UnusableAnswer
from gateway.wire.tools import ToolBox
from gateway.wire.usage import Usage

IDENTITY = Identity(UUID(int=1), "smart-route-mini", 7)
USAGE = Usage(5, 1, 3, 2, is_plausible=True)
TOOLS = ToolBox.of([Tool("f"), Tool("my.tool"), Tool("patch", kind="custom")])


def mint(place: int) -> str:
    return f"call_{place}"


# --- from a provider


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}).encode()


def piece(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: str | None = None
) -> Any:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def calls(*pieces: Any) -> bytes:
    return chunk({"tool_calls": list(pieces)})


def decoded(*payloads: bytes) -> list[Delta]:
    decoder = ChatDecoder()
    deltas = [delta for payload in payloads for delta in decoder.feed(payload)]
    assert decoder.failure is None
    assert decoder.events == len(payloads)
    return deltas


def test_an_answer_is_read_as_it_comes() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert decoded(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}, usage={"prompt_tokens": 5}),
        chunk({"content": "lo", "refusal": "No"}, finish="length"),
        json.dumps({"choices": [], "usage": usage}).encode(),
    ) == [
        TextDelta("Hel"),
        Counted(Usage(5, 0, 0, 0, is_plausible=True)),
        TextDelta("lo"),
        RefusalDelta("No"),
        Finished("length"),
        Counted(USAGE),
    ]


def test_thoughts_are_told_as_a_state_when_they_end() -> None:
    assert decoded(
        chunk({"reasoning_content": "Hm"}),
        chunk({"reasoning": ", so"}),
        chunk({"content": "Hi"}),
        chunk({"reasoning_content": "More"}),
        calls(piece(0, "a", "f", "{}")),
        chunk({}, finish="tool_calls"),
    ) == [
        ReasoningDelta("Hm"),
        ReasoningDelta(", so"),
        ReasoningState("Hm, so"),
        TextDelta("Hi"),
        ReasoningDelta("More"),
        ReasoningState("More"),
        CallBegun(0, "f"),
        CallDelta(0, "{}"),
        Finished("tool_calls"),
    ]
    assert decoded(chunk({"reasoning_content": "Hm"}, finish="length")) == [
        ReasoningDelta("Hm"),
        ReasoningState("Hm"),
        Finished("length"),
    ]


@pytest.mark.parametrize(
    ("payloads", "expected"),
    [
        (
            [calls(piece(0, "a", "f", "")), calls(piece(1, "b", "g", "")), calls(piece(0, None, None, "1"))],
            [CallBegun(0, "f"), CallBegun(1, "g"), CallDelta(0, "1"), CallDelta(1, "{}")],
        ),
        (
            [calls(piece(0, "a", "f", "1"), piece(0, "b", "f", "2")), calls(piece(0, "b", "f", "3"))],
            [CallBegun(0, "f"), CallDelta(0, "1"), CallBegun(1, "f"), CallDelta(1, "2"), CallDelta(1, "3")],
        ),
        (
            [calls(piece(None, "a", "f", "1")), calls(piece(None, None, None, "2")), calls(piece(None, "b", "g", "3"))],
            [CallBegun(0, "f"), CallDelta(0, "1"), CallDelta(0, "2"), CallBegun(1, "g"), CallDelta(1, "3")],
        ),
        (
            [calls(piece(0, "a", None, "1")), calls(piece(0, None, "f", "2")), calls(piece(0, None, "f", "3"))],
            [CallBegun(0, "f"), CallDelta(0, "12"), CallDelta(0, "3")],
        ),
        ([calls(piece(0, "a", None, "1"))], [CallBegun(0, ""), CallDelta(0, "1")]),
        ([calls({"index": 0, "custom": {"name": "p", "input": "x"}})], [CallBegun(0, "p"), CallDelta(0, "x")]),
        ([calls({"index": 0, "id": "a"}), calls(piece(0, "a", "f"))], [CallBegun(0, "f"), CallDelta(0, "{}")]),
    ],
)
def test_calls_are_read_as_they_are_meant(payloads: list[bytes], expected: list[Delta]) -> None:
    assert decoded(*payloads, chunk({}, finish="stop")) == [*expected, Finished("tool_calls")]


@pytest.mark.parametrize(
    ("reason", "finished"),
    [("stop", "stop"), ("eos", "stop"), ("tool_calls", "stop"), ("content_filter", "content_filter")],
)
def test_an_answer_without_calls_does_not_finish_with_them(reason: str, finished: Any) -> None:
    assert decoded(chunk({"content": "Hi"}, finish=reason))[-1] == Finished(finished)


def test_after_the_finish_only_counts_are_read() -> None:
    assert decoded(
        chunk({}, finish="stop"),
        chunk({"content": "ghost"}, finish="length", usage={"prompt_tokens": 5, "completion_tokens": 3}),
    ) == [Finished("stop"), Counted(Usage(5, 0, 3, 0, is_plausible=True))]


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"error": {"message": "x"}}', "error_event"),
        (sse.ERROR_PAYLOAD, "error_event"),
        (b'{"error": {"message": "prompt is too long"}}', "context_length_exceeded"),
        (chunk({"content": "x"}, finish="error"), "failed_finish"),
        (calls(*(piece(n, str(n)) for n in range(MAX_TOOL_CALLS + 1))), "too_many_tool_calls"),
    ],
)
def test_a_provider_that_fails_is_noticed(payload: bytes, failure: str) -> None:
    decoder = ChatDecoder()
    assert list(decoder.feed(payload)) == []
    assert decoder.failure == failure


def test_a_whole_answer_is_read_in_the_order_of_a_stream() -> None:
    message = {
        "content": "Hi",
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "1"}}, {"function": {"name": "g"}}],
    }
    answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5}}
    assert from_completion(json.dumps(answer).encode()) == [
        ReasoningDelta("Hm"),
        ReasoningState("Hm"),
        TextDelta("Hi"),
        CallBegun(0, "f"),
        CallDelta(0, "1"),
        CallBegun(1, "g"),
        CallDelta(1, "{}"),
        Finished("tool_calls"),
        Counted(Usage(5, 0, 0, 0, is_plausible=True)),
    ]
    assert from_completion(b'{"choices": [{"message": {"refusal": "No"}}]}') == [RefusalDelta("No"), Finished("stop")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "malformed"),
        (b"{}", "no_choice"),
        (b'{"error": {"message": "x"}}', "error_body"),
        (b'{"error": {"code": "context_length_exceeded"}}', "context_length_exceeded"),
        (b'{"choices": [{"message": {}, "finish_reason": "error"}]}', "failed_finish"),
        (
            json.dumps({"choices": [{"message": {"tool_calls": [piece()] * (MAX_TOOL_CALLS + 1)}}]}).encode(),
            "too_many_tool_calls",
        ),
    ],
)
def test_a_body_that_is_no_answer_is_a_failure(body: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        from_completion(body)
    assert caught.value.reason == reason


# --- to a client
