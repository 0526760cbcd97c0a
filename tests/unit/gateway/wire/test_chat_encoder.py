"""Deltas as chat answers: what clients of other providers are sent, and read again from there."""

import itertools
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
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
    Tool,
)
from gateway.wire.chat.deltas import ChatDecoder, from_completion
from gateway.wire.chat.encoder import ChatEncoder, to_chat_completion
from gateway.wire.lane import Identity
from gateway.wire.tools import ToolBox, text_arguments
from gateway.wire.usage import Usage

IDENTITY = Identity(UUID(int=1), "smart-route-mini", 7)
USAGE = Usage(5, 1, 3, 2, is_plausible=True)
TOOLS = ToolBox.of([Tool("f"), Tool("my.tool"), Tool("patch", kind="custom")])


def mint(place: int) -> str:
    return f"call_{place}"


def encoder(*, wants_usage: bool = False, tools: ToolBox = TOOLS) -> ChatEncoder:
    return ChatEncoder(IDENTITY, mint, tools=tools, wants_usage=wants_usage)


def read(raw: bytes) -> list[Any]:
    payloads = [part.removeprefix("data: ") for part in raw.decode().split("\n\n") if part]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def sent(*deltas: Delta, wants_usage: bool = False) -> list[Any]:
    stream = encoder(wants_usage=wants_usage)
    return read(b"".join([*(stream.feed(delta) for delta in deltas), stream.finish()]))


def said(*deltas: Delta) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in sent(*deltas)[:-2]]


def test_words_leave_at_once_in_openais_shape() -> None:
    stream = encoder()
    frame = {
        "id": f"chatcmpl-{UUID(int=1)}",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "smart-route-mini",
    }
    assert read(stream.feed(TextDelta("Hi"))) == [
        {
            **frame,
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": "Hi"},
                    "logprobs": None,
                    "finish_reason": None,
                }
            ],
        }
    ]
    assert stream.feed(Finished("length")) == b""
    assert stream.feed(Counted(USAGE)) == b""
    assert read(stream.finish()) == [
        {**frame, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]},
        "[DONE]",
    ]


def test_thoughts_refusals_and_words_have_fields_of_their_own() -> None:
    assert said(ReasoningDelta("Hm"), ReasoningState("secret"), TextDelta(""), TextDelta("Hi"), RefusalDelta("No")) == [
        {"role": "assistant", "reasoning_content": "Hm"},
        {"content": "Hi"},
        {"refusal": "No"},
    ]


def test_calls_have_our_ids_the_clients_names_and_positions_in_the_order_in_which_they_began() -> None:
    assert said(
        CallBegun(3, "f"), CallBegun(1, "my_tool"), CallDelta(1, "{"), CallDelta(3, "{}"), CallDelta(1, "}")
    ) == [
        {
            "role": "assistant",
            "tool_calls": [
                {"index": 0, "id": "call_3", "type": "function", "function": {"name": "f", "arguments": ""}}
            ],
        },
        {
            "tool_calls": [
                {"index": 1, "id": "call_1", "type": "function", "function": {"name": "my.tool", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]},
    ]


def test_the_text_of_a_custom_tool_leaves_with_the_end() -> None:
    stream = encoder()
    raw = text_arguments("*** Begin\n")
    begun = read(stream.feed(CallBegun(0, "patch")))[0]["choices"][0]["delta"]["tool_calls"]
    assert begun == [{"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "patch", "input": ""}}]
    assert [stream.feed(CallDelta(0, part)) for part in (raw[:5], raw[5:])] == [b"", b""]
    assert stream.feed(Finished("tool_calls")) == b""
    given, finished, done = read(stream.finish())
    assert given["choices"][0]["delta"] == {"tool_calls": [{"index": 0, "custom": {"input": "*** Begin\n"}}]}
    assert (finished["choices"][0]["finish_reason"], done) == ("tool_calls", "[DONE]")


def test_what_belongs_to_no_call_and_what_comes_after_the_finish_is_left_out() -> None:
    assert said(CallDelta(0, "x"), Finished("stop"), TextDelta("ghost"), CallBegun(0, "f")) == []
    assert len(said(CallBegun(0, "f"), CallBegun(0, "g"))) == 1


def test_usage_is_told_only_if_it_was_asked_for() -> None:
    first, finished, usage, _ = sent(TextDelta("Hi"), Finished("stop"), Counted(USAGE), wants_usage=True)
    assert (first["usage"], finished["usage"], usage["choices"]) == (None, None, [])
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert len(sent(TextDelta("Hi"), Finished("stop"), Counted(USAGE))) == 3


@pytest.mark.parametrize(("deltas", "reason"), [((), "stop"), ((CallBegun(0, "f"),), "tool_calls")])
def test_an_answer_without_a_reason_gets_one(deltas: Sequence[Delta], reason: str) -> None:
    assert sent(*deltas)[-2]["choices"][0]["finish_reason"] == reason
    whole = json.loads(to_chat_completion(deltas, IDENTITY, mint, tools=TOOLS))
    assert whole["choices"][0]["finish_reason"] == reason


def test_an_answer_of_nothing_has_a_role() -> None:
    assert sent(Finished("stop"))[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_a_stream_that_broke_off_ends_with_an_error() -> None:
    assert read(encoder().fail("upstream_broken", "It broke.")) == [
        {"error": {"message": "It broke.", "type": "server_error", "param": None, "code": "upstream_broken"}}
    ]
    assert encoder().heartbeat() == b": keep-alive\n\n"


def test_a_whole_answer_has_all_of_it() -> None:
    deltas: list[Delta] = [
        ReasoningDelta("H"),
        ReasoningDelta("m"),
        ReasoningState("secret"),
        TextDelta("Hi"),
        CallBegun(0, "f"),
        CallDelta(0, "{}"),
        CallBegun(1, "patch"),
        CallDelta(1, text_arguments("go")),
        Finished("tool_calls"),
        Counted(USAGE),
    ]
    assert json.loads(to_chat_completion(deltas, IDENTITY, mint, tools=TOOLS)) == {
        "id": f"chatcmpl-{UUID(int=1)}",
        "object": "chat.completion",
        "created": 7,
        "model": "smart-route-mini",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "refusal": None,
                    "reasoning_content": "Hm",
                    "tool_calls": [
                        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "go"}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


# --- there and back

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
places = st.integers(0, 3)
deltas: st.SearchStrategy[list[Delta]] = st.lists(
    st.one_of(
        st.builds(TextDelta, texts),
        st.builds(RefusalDelta, texts),
        st.builds(ReasoningDelta, texts),
        st.builds(ReasoningState, texts),
        st.builds(CallBegun, places, st.sampled_from(["f", "patch", "other"])),
        st.builds(CallDelta, places, texts),
        st.builds(Counted, st.builds(Usage, places, st.just(0), places, st.just(0), st.just(True))),
        st.builds(Finished, st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
    ),
    max_size=14,
)


def content(deltas: Sequence[Delta]) -> dict[str, Any]:
    """What deltas say, however they are cut; calls by the order in which they began."""
    ends = [place for place, delta in enumerate(deltas) if isinstance(delta, Finished)]
    spoken = deltas[: ends[0]] if ends else deltas
    calls: dict[int, list[str]] = {}
    for delta in spoken:
        if isinstance(delta, CallBegun):
            calls.setdefault(delta.place, [delta.name, ""])
        elif isinstance(delta, CallDelta) and delta.place in calls:
            calls[delta.place][1] += delta.arguments
    told = deltas[ends[0]] if ends else None
    finish = told.reason if isinstance(told, Finished) else "stop"
    counts = [delta.usage for delta in deltas if isinstance(delta, Counted)]
    return {
        "text": "".join(delta.text for delta in spoken if isinstance(delta, TextDelta)),
        "refusal": "".join(delta.text for delta in spoken if isinstance(delta, RefusalDelta)),
        "thoughts": "".join(delta.text for delta in spoken if isinstance(delta, ReasoningDelta)),
        "calls": [(name, arguments or "{}") for name, arguments in calls.values()],
        "finish": ("tool_calls" if calls else "stop") if finish in ("stop", "tool_calls") else finish,
        "usage": counts[-1] if counts else None,
    }


def read_again(raw: bytes, cuts: list[int]) -> list[Delta]:
    splitter, decoder = sse.Splitter(), ChatDecoder()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    payloads = [payload for begin, end in itertools.pairwise(edges) for payload in splitter.feed(raw[begin:end])]
    assert payloads[-1] == sse.DONE
    assert payloads.count(sse.DONE) == 1
    read = [delta for payload in payloads[:-1] for delta in decoder.feed(payload)]
    assert decoder.failure is None
    return read


@given(deltas, st.lists(st.integers(0, 2000), max_size=20))
def test_any_answer_written_and_read_again_says_the_same_however_it_is_cut(
    deltas: list[Delta], cuts: list[int]
) -> None:
    stream = encoder(wants_usage=True, tools=ToolBox())
    raw = b"".join([*(stream.feed(delta) for delta in deltas), stream.finish()])
    read = read_again(raw, cuts)
    assert content(read) == content(deltas)
    thoughts = [delta.state for delta in read if isinstance(delta, ReasoningState)]
    assert "".join(thoughts) == content(deltas)["thoughts"]


@given(deltas)
def test_any_whole_answer_written_and_read_again_says_the_same(deltas: list[Delta]) -> None:
    body = to_chat_completion(deltas, IDENTITY, mint, tools=ToolBox())
    assert content(from_completion(body)) == content(deltas)


@given(deltas)
def test_a_stream_and_a_whole_answer_say_the_same_to_a_client_with_custom_tools(deltas: list[Delta]) -> None:
    stream = encoder(wants_usage=True)
    raw = b"".join([*(stream.feed(delta) for delta in deltas), stream.finish()])
    assert content(read_again(raw, [])) == content(
        from_completion(to_chat_completion(deltas, IDENTITY, mint, tools=TOOLS))
    )


@given(deltas)
def test_nothing_that_finishes_an_answer_leaves_before_the_end(deltas: list[Delta]) -> None:
    stream = encoder(wants_usage=True)
    before = b"".join(stream.feed(delta) for delta in deltas)
    assert all(chunk["choices"][0]["finish_reason"] is None and chunk["usage"] is None for chunk in read(before))
    assert all(chunk["choices"] for chunk in read(before))
