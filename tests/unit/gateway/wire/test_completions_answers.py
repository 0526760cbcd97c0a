"""Completion answers on their way to the client, from a provider of the same format and of others."""

import itertools
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from gateway.wire.completions.encode import to_completion_of_deltas
from gateway.wire.completions.passthrough import CompletionsPassage
from gateway.wire.completions.stream import CompletionsEncoder
from gateway.wire.lane import Answer, Identity, UnusableAnswer
from gateway.wire.usage import Usage

BRAND = "AcmeAI"
ID = UUID("01890000-0000-7000-8000-000000000001")
IDENTITY = Identity(ID, "smart-route-mini", 7)
HEAD = {"id": f"cmpl-{ID}", "object": "text_completion", "created": 7, "model": "smart-route-mini"}
COUNTED = Usage(3, 0, 2, 0, is_plausible=True)
WIRE_USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
LOGPROBS = {
    "tokens": ["Hi", "!"],
    "token_logprobs": [None, -0.5],
    "top_logprobs": [None, {"!": -0.5}],
    "text_offset": [0, 2],
}


def passage(*, wants_usage: bool = False, echo: str = "") -> CompletionsPassage:
    return CompletionsPassage(IDENTITY, wants_usage=wants_usage, echo=echo)


def event(text: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": more.pop("finish_reason", None), **more.pop("choice", {})}
    payload = {"id": BRAND, "model": BRAND, "system_fingerprint": BRAND, "choices": [choice], **more}
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STOP = event("", finish_reason="stop")
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "acme_credits": 1}}\n\n'


def read(raw: bytes) -> list[Any]:
    payloads = [part[6:] for part in raw.decode().split("\n\n") if part]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def choice(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": None, **more}


def test_text_leaves_at_once_with_our_identity_and_in_openais_shape() -> None:
    stream: Answer = passage()
    assert read(stream.feed(event("Hel") + event("lo"))) == [
        {**HEAD, "choices": [choice("Hel")]},
        {**HEAD, "choices": [choice("lo")]},
    ]
    assert stream.has_content
    assert (stream.has_finished, stream.events) == (False, 2)


def test_what_says_nothing_is_held_back() -> None:
    stream = passage()
    assert stream.feed(event("") + event(None) + USAGE + b"data: {}\n\n" + event("x", choice={"index": 1})) == b""
    assert not stream.has_content


def test_the_end_is_held_back_until_it_is_asked_for() -> None:
    stream = passage(wants_usage=True)
    assert read(stream.feed(event("Hi", finish_reason="length")))[0]["choices"] == [choice("Hi")]
    assert stream.feed(USAGE + DONE) == b""
    assert (stream.is_done, stream.failure, stream.finish_reason) == (True, None, "length")
    assert read(stream.finish()) == [
        {**HEAD, "choices": [choice("", finish_reason="length")], "usage": None},
        {**HEAD, "choices": [], "usage": WIRE_USAGE},
        "[DONE]",
    ]


def test_a_reason_to_finish_of_the_providers_own_is_stop() -> None:
    stream = passage()
    stream.feed(event("Hi", finish_reason=BRAND) + DONE)
    assert stream.finish_reason == "stop"
    assert read(stream.finish())[0]["choices"] == [choice("", finish_reason="stop")]


def test_usage_is_passed_on_only_if_it_was_asked_for_and_told() -> None:
    stream = passage()
    assert "usage" not in read(stream.feed(event("Hi") + STOP + USAGE + DONE))[0]
    assert len(read(stream.finish())) == 2
    assert stream.usage == COUNTED
    untold = passage(wants_usage=True)
    untold.feed(event("Hi") + STOP + DONE)
    assert len(read(untold.finish())) == 2


def test_probabilities_are_passed_on_in_openais_shape_only() -> None:
    told = {**LOGPROBS, BRAND: BRAND}
    stream = passage()
    (chunk,) = read(stream.feed(event("Hi!", choice={"logprobs": told})))
    assert chunk["choices"][0]["logprobs"] == LOGPROBS
    (chunk,) = read(stream.feed(event("Hi!", choice={"logprobs": {"content": [{"token": BRAND}]}})))
    assert chunk["choices"][0]["logprobs"] is None


def test_an_echoed_prompt_alone_is_no_content() -> None:
    stream = passage(echo="Once")
    assert read(stream.feed(event("Once")))[0]["choices"] == [choice("Once")]
    assert not stream.has_content
    stream.feed(event(" upon"))
    assert stream.has_content
    together = passage(echo="Once")
    together.feed(event("On") + event("ce upon"))
    assert together.has_content


def test_a_provider_that_echoes_nothing_has_still_answered() -> None:
    stream = passage(echo="A long prompt that is longer than its answer")
    stream.feed(event("Yes"))
    assert stream.has_content
    assert passed(completion("Yes"), echo="A long prompt")[1].has_content


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (b"data: {\n\n", "malformed"),
        (b"data: \xff\n\n", "malformed"),
        (b"data: " + b"[" * 5000 + b"\n\n", "malformed"),
        (b'data: {"choices": [{"text": 7}]}\n\n', "malformed"),
        (b'data: {"error": {"message": "x"}}\n\n', "error_event"),
        (b'event: error\ndata: {"message": "x"}\n\n', "error_event"),
        (event("ghost", finish_reason="error"), "failed_finish"),
        (b"data: " + b"x" * (1024 * 1024 + 10), "event_too_large"),
    ],
)
def test_a_provider_that_fails_is_noticed_and_what_came_before_is_kept(raw: bytes, failure: str) -> None:
    stream = passage()
    assert len(read(stream.feed(event("Hi")))) == 1
    assert stream.feed(raw) == b""
    assert stream.failure == failure
    assert stream.feed(event("more")) == stream.end() == b""


def test_a_stream_that_ends_without_done_is_complete_if_the_model_had_finished() -> None:
    stream = passage()
    stream.feed(event("Hi") + STOP)
    assert (stream.end(), stream.failure) == (b"", None)
    cut = passage()
    assert cut.feed(event("Hi").rstrip()) == b""
    assert len(read(cut.end())) == 1
    assert cut.failure == "truncated"


def whole_stream() -> bytes:
    smile = "data: " + json.dumps({"choices": [{"text": "Grüße 🙂"}]}, ensure_ascii=False) + "\r\n\r\n"
    return b": hello\n\n" + event("Hi", choice={"logprobs": LOGPROBS}) + smile.encode() + USAGE + STOP + DONE


@given(st.lists(st.integers(0, len(whole_stream())), max_size=30))
def test_any_split_of_the_providers_bytes_gives_the_client_the_same_stream(cuts: list[int]) -> None:
    raw = whole_stream()
    expected, stream = passage(wants_usage=True), passage(wants_usage=True)
    whole = expected.feed(raw) + expected.finish()
    places = [0, *sorted(cuts), len(raw)]
    pieces = [stream.feed(raw[begin:end]) for begin, end in itertools.pairwise(places)]
    assert b"".join(pieces) + stream.finish() == whole
    assert BRAND.encode() not in whole


def completion(text: str | None, **more: Any) -> bytes:
    told = {"index": 0, "text": text, "finish_reason": more.pop("finish_reason", "stop"), **more.pop("choice", {})}
    return json.dumps({"id": BRAND, "object": BRAND, "model": BRAND, "choices": [told], **more}).encode()


def passed(raw: bytes, **options: Any) -> tuple[dict[str, Any], CompletionsPassage]:
    answer = passage(**options)
    answer.take(raw)
    return json.loads(answer.finish()), answer


def test_a_whole_completion_leaves_with_our_identity_and_the_models_words() -> None:
    raw = completion(
        "Hi!",
        choice={"logprobs": {**LOGPROBS, BRAND: 1}, "stop_reason": BRAND, "prompt_logprobs": BRAND},
        usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 99, BRAND: 1},
        system_fingerprint=BRAND,
        provider=BRAND,
    )
    sent, answer = passed(raw)
    assert sent == {**HEAD, "choices": [choice("Hi!", finish_reason="stop", logprobs=LOGPROBS)], "usage": WIRE_USAGE}
    assert (answer.has_content, answer.finish_reason, answer.usage) == (True, "stop", COUNTED)


@pytest.mark.parametrize(
    ("told", "reason"),
    [("length", "length"), ("content_filter", "content_filter"), (f"{BRAND}_end", "stop"), (None, "stop")],
)
def test_an_unknown_reason_to_finish_becomes_stop(told: str | None, reason: str) -> None:
    assert passed(completion("Hi", finish_reason=told))[0]["choices"][0]["finish_reason"] == reason


def test_an_answer_without_text_is_empty() -> None:
    sent, answer = passed(completion(None))
    assert (sent["choices"][0]["text"], answer.has_content, "usage" in sent) == ("", False, False)
    assert not passed(completion("Once"), echo="Once")[1].has_content


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"<html>", "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"choices": "x"}', "malformed"),
        (b"{}", "no_choice"),
        (completion("x", choice={"index": 1}), "no_choice"),
        (completion("x", error={"message": "x"}), "error_body"),
        (completion("x", finish_reason="abort"), "failed_finish"),
    ],
)
def test_what_is_no_answer_is_a_failure(raw: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        passed(raw)
    assert caught.value.reason == reason


# --- what providers of other formats say


def encoded(deltas: Sequence[Delta], *, wants_usage: bool = False, echo: str = "") -> bytes:
    encoder = CompletionsEncoder(IDENTITY, wants_usage=wants_usage, echo=echo)
    return b"".join(encoder.feed(delta) for delta in deltas) + encoder.finish()


SAID: list[Delta] = [
    ReasoningDelta("hm"),
    ReasoningState("state"),
    TextDelta("Hel"),
    TextDelta(""),
    TextDelta("lo"),
    CallBegun(0, "f"),
    CallDelta(0, "{}"),
    Finished("length"),
    Counted(COUNTED),
]


def test_text_is_all_that_leaves_and_the_end_is_held_back() -> None:
    encoder = CompletionsEncoder(IDENTITY, wants_usage=True, echo="")
    sent = [encoder.feed(delta) for delta in SAID]
    assert [bool(piece) for piece in sent] == [False, False, True, False, True, False, False, False, False]
    assert read(b"".join(sent)) == [{**HEAD, "choices": [choice(text)], "usage": None} for text in ("Hel", "lo")]
    assert read(encoder.finish()) == [
        {**HEAD, "choices": [choice("", finish_reason="length")], "usage": None},
        {**HEAD, "choices": [], "usage": WIRE_USAGE},
        "[DONE]",
    ]


def test_the_prompt_is_put_before_the_text_if_the_client_wants_it() -> None:
    texts = [chunk["choices"][0]["text"] for chunk in read(encoded(SAID, echo="Once "))[:-1]]
    assert texts == ["Once ", "Hel", "lo", ""]
    nothing = [chunk["choices"][0]["text"] for chunk in read(encoded([Finished("stop")], echo="Once "))[:-1]]
    assert nothing == ["Once ", ""]
    assert json.loads(to_completion_of_deltas(SAID, IDENTITY, echo="Once "))["choices"][0]["text"] == "Once Hello"


def test_a_whole_answer_is_the_text_of_all_deltas() -> None:
    assert json.loads(to_completion_of_deltas(SAID, IDENTITY, echo="")) == {
        **HEAD,
        "choices": [choice("Hello", finish_reason="length")],
        "usage": WIRE_USAGE,
    }
    refused = json.loads(to_completion_of_deltas([RefusalDelta("No."), Finished("tool_calls")], IDENTITY, echo=""))
    assert refused == {**HEAD, "choices": [choice("No.", finish_reason="stop")]}


@given(
    st.lists(
        st.one_of(st.text().map(TextDelta), st.text().map(RefusalDelta), st.text().map(ReasoningDelta)), max_size=8
    ),
    st.sampled_from(["stop", "length", "content_filter", "tool_calls"]),
    st.text(max_size=5),
)
def test_a_stream_and_a_whole_answer_say_the_same(said: list[Delta], reason: Any, echo: str) -> None:
    deltas = [*said, Finished(reason), Counted(COUNTED)]
    whole = json.loads(to_completion_of_deltas(deltas, IDENTITY, echo=echo))
    *chunks, usage, done = read(encoded(deltas, wants_usage=True, echo=echo))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    assert (usage["usage"], done) == (whole["usage"], "[DONE]")


def test_an_answer_that_broke_off_ends_with_an_error_and_without_done() -> None:
    error = {"error": {"message": "Broken.", "type": "server_error", "param": None, "code": "upstream_broken"}}
    encoder = CompletionsEncoder(IDENTITY, wants_usage=True, echo="Once")
    for fails in (encoder, passage()):
        assert read(fails.fail("upstream_broken", "Broken.")) == [error]
        assert fails.heartbeat() == b": keep-alive\n\n"
