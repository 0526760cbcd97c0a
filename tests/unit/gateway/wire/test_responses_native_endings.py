"""How answers of a Responses provider end for a Responses client: well, cut, failed, broken off; and whole ones."""

import json
from typing import Any

import pytest

from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS
from gateway.wire.lane import UnusableAnswer
from tests.unit.gateway.wire.responses_provider_events import (
    BRAND,
    Event,
    added,
    call,
    call_events,
    completed,
    created,
    ended,
    fed,
    message,
    new_answer,
    passed,
    raw,
    reasoning,
    response,
    text_events,
    types,
)
from tests.unit.gateway.wire.responses_rules import read_events, response_violations

SEALED = {"include": ["reasoning.encrypted_content"]}


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (BRAND, "length")]
)
def test_a_cut_answer_says_why_in_words_that_are_known(reason: str, finish: str) -> None:
    cut = response([message("Hi", "incomplete")], "incomplete", incomplete_details={"reason": reason})
    answer = new_answer()
    answer.feed(raw([*created(), *text_events(["Hi"])[:-1], {"type": "response.incomplete", "response": cut}]))
    assert answer.finish_reason == finish
    last = read_events(answer.finish())[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"]["reason"] in ("max_output_tokens", "content_filter")


TOO_LONG = {"code": "context_length_exceeded", "message": BRAND}


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ({"type": "error", "code": "x", "message": BRAND}, "error_event"),
        ({"type": "error", "error": {"code": "x", "message": BRAND}}, "error_event"),
        ({"type": "x", "error": {"message": BRAND}}, "error_event"),
        ({"type": "error", **TOO_LONG}, "context_length_exceeded"),
        ({"type": "response.failed", "response": response((), "failed", error={"code": "x"})}, "failed_finish"),
        ({"type": "response.failed", "response": response((), "failed", error=TOO_LONG)}, "context_length_exceeded"),
        ({"type": "response.failed"}, "failed_finish"),
        (completed(status="failed"), "failed_finish"),
        ({"type": "response.output_text.delta", "delta": 7}, "malformed"),
        ({"type": 7}, "malformed"),
        (completed(usage=7), "malformed"),
    ],
)
def test_a_provider_that_fails_is_noticed_and_what_came_before_is_kept(event: Event, failure: str) -> None:
    payload = b"data: " + json.dumps(event).encode() + b"\n\n"
    answer = new_answer()
    first = answer.feed(raw([*created(), *text_events(["Hi"])[:3]]) + payload)
    assert types(read_events(first))[-1] == "output_text.delta"
    assert answer.failure == failure
    assert answer.feed(raw(text_events(["more"]))) == answer.end() == b""


@pytest.mark.parametrize(
    "noise", [b"data: {\n\n", b"data: \xff\n\n", b"data: []\n\n", b"data: " + b"[" * 5000 + b"\n\n"]
)
def test_noise_is_malformed(noise: bytes) -> None:
    answer = new_answer()
    assert answer.feed(noise) == b""
    assert answer.failure == "malformed"


def test_a_stream_that_is_cut_off_is_truncated_and_one_that_had_ended_is_not() -> None:
    cut = new_answer()
    cut.feed(raw([*created(), *text_events(["Hi"])]))
    cut.end()
    assert cut.failure == "truncated"
    whole = new_answer()
    whole.feed(raw(ended(text_events(["Hi"]))))
    whole.end()
    assert whole.failure is None


def test_more_calls_than_any_client_could_carry_out_are_a_failure() -> None:
    answer = new_answer()
    answer.feed(raw([added(call(place=place), place) for place in range(MAX_TOOL_CALLS + 1)]))
    assert answer.failure == "too_many_tool_calls"


def test_an_answer_that_breaks_off_ends_with_our_words_and_without_its_calls() -> None:
    answer = new_answer()
    fed(answer, [*created(), *text_events(["Hi"]), *call_events(["{}"], 1)])
    (last,) = read_events(answer.fail("server_error", "It broke."))
    assert last["type"] == "response.failed"
    assert response_violations(last["response"]) == []
    assert last["response"]["error"] == {"code": "server_error", "message": "It broke."}
    assert [item["type"] for item in last["response"]["output"]] == ["message"]
    assert answer.finish() == answer.fail("a", "b") == answer.heartbeat() == b""


def test_an_answer_of_nothing_still_has_a_proper_beginning_and_end() -> None:
    answer = new_answer()
    assert answer.feed(raw([*created(), completed()])) == b""
    assert (answer.has_content, answer.finish_reason) == (False, "stop")
    assert types(read_events(answer.finish())) == ["created", "in_progress", "completed"]


# --- whole answers


def test_a_whole_answer_is_the_object_that_the_stream_would_end_with() -> None:
    output = [reasoning("Hm"), message("Hi"), call("{}")]
    answer = new_answer(stream=False, **SEALED)
    answer.take(json.dumps(response(output)).encode())
    assert (answer.has_content, answer.finish_reason, answer.has_finished) == (True, "tool_calls", True)
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.reasoning) == (7, 2)
    whole = json.loads(answer.finish())
    assert response_violations(whole) == []
    assert whole == passed([*created(), completed(*output)], **SEALED)[-1]["response"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b"[" * 5000, "malformed"),
        (json.dumps(response(usage={"input_tokens": "x"})).encode(), "malformed"),
        (b"{}", "no_output"),
        (b'{"error": {"message": "x"}}', "error_body"),
        (b'{"error": "x", "output": []}', "error_body"),
        (json.dumps({"error": TOO_LONG}).encode(), "context_length_exceeded"),
        (json.dumps(response((), "failed", error={"code": "x"})).encode(), "failed_finish"),
        (json.dumps(response((), "failed", error=TOO_LONG)).encode(), "context_length_exceeded"),
        (json.dumps(response((), "queued")).encode(), "not_finished"),
        (json.dumps(response([call(place=n) for n in range(MAX_TOOL_CALLS + 1)])).encode(), "too_many_tool_calls"),
    ],
)
def test_what_is_no_answer_is_a_failure(body: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        new_answer(stream=False).take(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("output", "has_content"),
    [
        ([message("Hi")], True),
        ([{**message(), "content": [{"type": "refusal", "refusal": "No."}]}], True),
        ([call("{}")], True),
        ([reasoning("Hm")], False),
        ([message()], False),
        ([{"type": "web_search_call", "status": "completed"}], False),
        ([], False),
    ],
)
def test_thoughts_and_searches_alone_are_no_answer(output: list[Any], has_content: bool) -> None:
    answer = new_answer(stream=False)
    answer.take(json.dumps(response(output)).encode())
    assert answer.has_content is has_content
