"""Streams on their way through: what leaves, what is held back, what counts as broken."""

import itertools
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.chat.stream import ChatAnswer
from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS
from gateway.wire.lane import Identity, UnusableAnswer

BRAND = "AcmeAI"


def mint(place: int) -> str:
    return f"call_{place}"


def new_stream(*, wants_usage: bool = False) -> ChatAnswer:
    return ChatAnswer(Identity(UUID(int=1), "smart-route-mini", 7), mint, wants_usage=wants_usage)


def event(delta: dict[str, Any] | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None), **more.pop("choice", {})}]
    payload = {"id": BRAND, "model": BRAND, "system_fingerprint": BRAND, "choices": choices, **more}
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def text(content: str) -> bytes:
    return event({"content": content, f"{BRAND}_signature": BRAND})


DONE = b"data: [DONE]\n\n"
STOP = event({}, finish_reason="stop")
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'


def read(raw: bytes) -> list[Any]:
    payloads = [part[6:] for part in raw.decode().split("\n\n") if part]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def deltas(raw: bytes) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in read(raw)]


def test_content_leaves_at_once_with_our_identity_and_in_openais_shape() -> None:
    stream = new_stream()
    assert read(stream.feed(event({"role": "assistant", "content": ""}) + text("Hel") + text("lo"))) == [
        {
            "id": f"chatcmpl-{UUID(int=1)}",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "smart-route-mini",
            "choices": [
                {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None},
            ],
        }
        for delta in ({"role": "assistant", "content": "Hel"}, {"content": "lo"})
    ]
    assert stream.has_content
    assert not stream.has_finished


def test_what_says_nothing_is_held_back() -> None:
    stream = new_stream()
    assert stream.feed(event({"role": "assistant"}) + event({"content": None}) + event(None) + USAGE) == b""
    assert stream.feed(b'data: {}\n\ndata: {"choices": [{"index": 1, "delta": {"content": "x"}}]}\n\n') == b""
    assert not stream.has_content


def test_the_end_is_held_back_until_it_is_asked_for() -> None:
    stream = new_stream()
    stream.feed(text("Hi"))
    assert stream.feed(STOP + USAGE + DONE) == b""
    assert (stream.is_done, stream.failure, stream.finish_reason) == (True, None, "stop")
    last, done = read(stream.finish())
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert done == "[DONE]"


def test_usage_is_passed_on_only_if_it_was_asked_for() -> None:
    stream = new_stream(wants_usage=True)
    assert read(stream.feed(text("Hi")))[0]["usage"] is None
    stream.feed(STOP + USAGE + DONE)
    finished, usage, _ = read(stream.finish())
    assert finished["usage"] is None
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["total_tokens"]) == (3, 5)


def test_usage_that_nobody_told_is_not_made_up() -> None:
    stream = new_stream(wants_usage=True)
    stream.feed(text("Hi") + STOP + DONE)
    assert len(read(stream.finish())) == 2


def test_of_several_usages_the_last_one_counts() -> None:
    stream = new_stream()
    stream.feed(event({"content": "a"}, usage={"prompt_tokens": 1}) + STOP + USAGE + USAGE + DONE)
    assert stream.usage is not None
    assert stream.usage.input == 3


def test_an_answer_of_nothing_still_has_a_proper_first_and_last_chunk() -> None:
    stream = new_stream()
    assert stream.feed(STOP + DONE) == b""
    finished, _ = read(stream.finish())
    assert finished["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert not stream.has_content


def test_a_finish_with_content_in_the_same_chunk_lets_the_content_go() -> None:
    stream = new_stream()
    (chunk,) = read(stream.feed(event({"content": "Hi"}, finish_reason="length")))
    assert chunk["choices"][0]["finish_reason"] is None
    assert read(stream.finish())[0]["choices"][0]["finish_reason"] == "length"


def test_reasoning_and_refusals_are_passed_on_and_reasoning_alone_is_no_content() -> None:
    stream = new_stream()
    sent = stream.feed(event({"reasoning_content": "hm"}) + event({"reasoning": "so"}))
    assert deltas(sent) == [{"role": "assistant", "reasoning_content": "hm"}, {"reasoning_content": "so"}]
    assert not stream.has_content
    assert deltas(stream.feed(event({"refusal": "No."}))) == [{"refusal": "No."}]
    assert stream.has_content


def test_probabilities_are_passed_on_with_their_content() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]}
    (chunk,) = read(new_stream().feed(event({"content": "a"}, choice={"logprobs": logprobs})))
    assert chunk["choices"][0]["logprobs"]["content"] == logprobs["content"]


def call(index: int | None = None, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Any:
    piece: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return piece | ({"index": index} if index is not None else {}) | ({"id": id} if id else {})


def tool_deltas(*reads: list[Any]) -> list[Any]:
    stream = new_stream()
    sent = b"".join(stream.feed(event({"tool_calls": pieces})) for pieces in reads)
    return [piece for delta in deltas(sent) for piece in delta["tool_calls"]]


def test_parallel_tool_calls_interleaved_keep_their_own_ids() -> None:
    assert tool_deltas(
        [call(0, f"{BRAND}1", "f", "")],
        [call(1, f"{BRAND}2", "g", "")],
        [call(0, arguments="{")],
        [call(1, arguments="[")],
    ) == [
        {"index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "call_1", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{"}},
        {"index": 1, "function": {"arguments": "["}},
    ]


def test_a_name_and_id_that_the_provider_repeats_are_sent_once() -> None:
    assert tool_deltas([call(0, "a", "f", "{")], [call(0, "a", "f", "}")]) == [
        {"index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{"}},
        {"index": 0, "function": {"arguments": "}"}},
    ]


def test_a_name_that_comes_late_is_still_sent() -> None:
    assert tool_deltas([call(0, "a")], [call(0, name="f", arguments="{}")]) == [
        {"index": 0, "id": "call_0", "type": "function", "function": {"name": "", "arguments": ""}},
        {"index": 0, "function": {"name": "f", "arguments": "{}"}},
    ]


def test_calls_that_all_claim_index_zero_are_told_apart_by_their_ids() -> None:
    assert [piece["index"] for piece in tool_deltas([call(0, "a", "f", "{}")], [call(0, "b", "g", "{}")])] == [0, 1]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    pieces = tool_deltas(
        [call(None, "a", "f", "1")], [call(arguments="2")], [call(None, "b", "g", "3")], [call(None, "a", None, "4")]
    )
    assert [piece["index"] for piece in pieces] == [0, 0, 1, 0]
    assert tool_deltas([call(arguments="{}")])[0]["id"] == "call_0"


def test_a_custom_tool_is_passed_on_as_one() -> None:
    pieces = tool_deltas(
        [{"index": 0, "id": "a", "custom": {"name": "patch"}}],
        [{"index": 0, "custom": {"input": "x"}}],
        [{"index": 1, "id": "b"}],
        [{"index": 1}],
    )
    assert pieces == [
        {"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "x"}},
        {"index": 1, "id": "call_1", "type": "function", "function": {"name": "", "arguments": ""}},
        {"index": 1},
    ]


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (b"data: {\n\n", "malformed"),
        (b"data: \xff\n\n", "malformed"),
        (b"data: " + b"[" * 5000 + b"\n\n", "malformed"),
        (b'data: {"choices": 7}\n\n', "malformed"),
        (b'data: {"error": {"message": "x"}}\n\n', "error_event"),
        (b'data: {"error": {"code": "context_length_exceeded"}}\n\n', "context_length_exceeded"),
        (b'event: error\ndata: {"message": "x"}\n\n', "error_event"),
        (event({}, finish_reason="error"), "failed_finish"),
        (event({"tool_calls": [call(n, str(n)) for n in range(MAX_TOOL_CALLS + 1)]}), "too_many_tool_calls"),
        (b"data: " + b"x" * (1024 * 1024 + 10), "event_too_large"),
    ],
)
def test_a_provider_that_fails_is_noticed_and_what_came_before_is_kept(raw: bytes, failure: str) -> None:
    stream = new_stream()
    first = stream.feed(text("Hi"))
    assert deltas(first) == [{"role": "assistant", "content": "Hi"}]
    assert stream.feed(raw) == b""
    assert stream.failure == failure
    assert stream.feed(text("more")) == b""
    assert stream.end() == b""
    together = new_stream()
    if failure != "event_too_large":
        assert together.feed(text("Hi") + raw) == first


def test_a_stream_that_ends_without_done_is_complete_if_the_model_had_finished() -> None:
    stream = new_stream()
    stream.feed(text("Hi") + STOP)
    assert stream.end() == b""
    assert (stream.failure, stream.is_done) == (None, False)
    cut = new_stream()
    cut.feed(text("Hi"))
    cut.end()
    assert cut.failure == "truncated"


def test_a_last_event_without_its_empty_line_still_counts() -> None:
    stream = new_stream()
    assert stream.feed(text("Hi").rstrip()) == b""
    assert deltas(stream.end()) == [{"role": "assistant", "content": "Hi"}]


def test_done_ends_an_answer_even_without_a_reason() -> None:
    stream = new_stream()
    stream.feed(text("Hi") + DONE + text("ghost"))
    assert stream.feed(text("ghost")) == b""
    stream.end()
    assert stream.failure is None
    assert read(stream.finish())[0]["choices"][0]["finish_reason"] == "stop"


def whole_stream() -> bytes:
    emoji = "data: " + json.dumps({"choices": [{"delta": {"content": "Grüße 🙂"}}]}, ensure_ascii=False) + "\r\n\r\n"
    calls = event({"tool_calls": [call(0, "a", "f", "{")]}) + event({"tool_calls": [call(0, "a", "f", "}")]})
    return b": hello\n\n" + text("Hi") + emoji.encode() + calls + USAGE + STOP + DONE


@given(st.lists(st.integers(0, len(whole_stream())), max_size=30))
def test_any_split_of_the_providers_bytes_gives_the_client_the_same_stream(cuts: list[int]) -> None:
    raw = whole_stream()
    expected = new_stream(wants_usage=True)
    whole = expected.feed(raw) + expected.finish()
    places = [0, *sorted(cuts), len(raw)]
    stream = new_stream(wants_usage=True)
    pieces = [stream.feed(raw[begin:end]) for begin, end in itertools.pairwise(places)]
    assert b"".join(pieces) + stream.finish() == whole
    assert BRAND.encode() not in whole


def test_a_whole_answer_leaves_when_it_is_asked_for() -> None:
    answer = new_stream()
    answer.take(
        b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}], "usage": {"completion_tokens": 2}}'
    )
    assert (answer.has_content, answer.finish_reason, answer.has_finished) == (True, "length", True)
    assert answer.usage is not None
    assert answer.usage.output == 2
    assert json.loads(answer.finish())["choices"][0]["message"]["content"] == "Hi"


def test_a_whole_answer_that_is_none_is_told_at_once() -> None:
    with pytest.raises(UnusableAnswer, match="no_choice"):
        new_stream().take(b"{}")


@pytest.mark.parametrize(
    ("code", "kind"),
    [("upstream_broken", "server_error"), ("context_length_exceeded", "invalid_request_error")],
)
def test_an_answer_that_broke_off_ends_with_an_error_and_without_done(code: str, kind: str) -> None:
    stream = new_stream()
    stream.feed(text("Hi"))
    assert read(stream.fail(code, "It broke.")) == [
        {"error": {"message": "It broke.", "type": kind, "param": None, "code": code}}
    ]


def test_a_heartbeat_is_a_comment() -> None:
    assert new_stream().heartbeat() == b": keep-alive\n\n"
