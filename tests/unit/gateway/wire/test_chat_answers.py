"""Whole completions: ours on the outside, the provider's nowhere, and faults recognised."""

import json
from typing import Any
from uuid import UUID

import pytest

from gateway.wire.chat.encode import from_provider_completion, from_provider_error
from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS
from gateway.wire.lane import Identity, UnusableAnswer

IDENTITY = Identity(UUID(int=1), "smart-route-mini", 1_700_000_000)
BRAND = "AcmeAI"


def mint(place: int) -> str:
    return f"call_{place}"


def completion(message: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}
    return json.dumps({"id": f"x-{BRAND}", "model": BRAND, "choices": [choice], **more}).encode()


def passed(raw: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(from_provider_completion(raw, IDENTITY, mint).body)
    return decoded


def test_a_completion_leaves_with_our_identity_and_the_models_words() -> None:
    raw = completion(
        {"role": BRAND, "content": "Hi", "annotations": [BRAND], "audio": {"id": BRAND}},
        system_fingerprint=BRAND,
        service_tier=BRAND,
        provider=BRAND,
        usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 99, f"{BRAND}_credits": 1},
    )
    assert passed(raw) == {
        "id": f"chatcmpl-{UUID(int=1)}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "smart-route-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_tool_calls_get_ids_of_ours_and_keep_their_arguments() -> None:
    calls = [
        {"id": f"{BRAND}-1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}', BRAND: 1}},
        {"id": f"{BRAND}-1", "type": "custom", "custom": {"name": "g", "input": "free"}},
        {"type": "function", "function": {"name": "h"}},
    ]
    message = passed(completion({"content": None, "tool_calls": calls}, finish_reason="tool_calls"))["choices"][0]
    assert message["message"]["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "call_1", "type": "custom", "custom": {"name": "g", "input": "free"}},
        {"id": "call_2", "type": "function", "function": {"name": "h", "arguments": ""}},
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_passed_on_under_one_name(field: str) -> None:
    message = passed(completion({"content": "Hi", field: "because"}))["choices"][0]["message"]
    assert message["reasoning_content"] == "because"


def test_probabilities_are_passed_on() -> None:
    logprob = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    raw = json.loads(completion({"content": "Hi"}))
    raw["choices"][0]["logprobs"] = {"content": [{**logprob, BRAND: 1}], BRAND: 1}
    choice = passed(json.dumps(raw).encode())["choices"][0]
    assert choice["logprobs"] == {"content": [logprob], "refusal": None}


@pytest.mark.parametrize(
    ("message", "has_content"),
    [
        ({"content": "Hi"}, True),
        ({"refusal": "No."}, True),
        ({"tool_calls": [{"function": {"name": "f"}}]}, True),
        ({"content": ""}, False),
        ({"content": None, "reasoning": "only thoughts"}, False),
        ({"tool_calls": []}, False),
    ],
)
def test_an_answer_without_content_refusal_or_tool_call_is_empty(message: dict[str, Any], has_content: bool) -> None:
    assert from_provider_completion(completion(message), IDENTITY, mint).has_content is has_content


def test_an_unknown_reason_to_finish_becomes_stop() -> None:
    assert passed(completion({"content": "Hi"}, finish_reason=f"{BRAND}_done"))["choices"][0]["finish_reason"] == "stop"
    assert passed(completion({"content": "Hi"}, finish_reason=None))["choices"][0]["finish_reason"] == "stop"
    assert passed(completion({"content": "Hi"}, finish_reason="length"))["choices"][0]["finish_reason"] == "length"


def test_without_usage_none_is_made_up() -> None:
    assert "usage" not in passed(completion({"content": "Hi"}))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "malformed"),
        (b"<html>", "malformed"),
        (b'{"choices": "x"}', "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"choices": []}', "no_choice"),
        (b"{}", "no_choice"),
        (b'{"choices": [{"index": 1, "message": {"content": "x"}}]}', "no_choice"),
        (b'{"choices": [{"index": 0, "delta": {"content": "x"}}]}', "no_choice"),
        (b'{"error": {"message": "x"}}', "error_body"),
        (b'{"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}', "context_length_exceeded"),
        (b'{"error": "x", "choices": [{"message": {"content": "x"}}]}', "error_body"),
        (completion({"content": "x"}, finish_reason="error"), "failed_finish"),
        (
            completion({"tool_calls": [{"function": {"name": "f"}}] * (MAX_TOOL_CALLS + 1)}),
            "too_many_tool_calls",
        ),
    ],
)
def test_what_is_no_answer_is_a_failure(raw: bytes, reason: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        from_provider_completion(raw, IDENTITY, mint)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "context_length_exceeded", "message": "x"}},
        {"error": {"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}},
        {"error": {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000"}},
        {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}},
        {"error": {"message": "The input token count (1048577) exceeds the maximum number of tokens allowed"}},
        {"error": "Please reduce the length of the messages"},
        {"message": "too many tokens: context window exceeded"},
    ],
)
def test_a_context_that_is_too_long_is_recognised_in_the_words_of_many(body: dict[str, Any]) -> None:
    assert from_provider_error(json.dumps(body).encode(), fields=()).is_context_too_long


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"<html>", None),
        (b'{"error": null}', None),
        (b'{"error": {"message": "Bad temperature", "param": "temperature"}}', "temperature"),
        (b'{"error": {"message": "Bad", "param": "messages[0].content"}}', "messages[0].content"),
        (b'{"error": {"message": "Bad", "param": "acme.model"}}', None),
        (b'{"error": {"message": "Bad", "param": "messages.\\u0000"}}', None),
        (b'{"error": {"message": "Bad", "code": 40012}}', None),
    ],
)
def test_a_refusal_names_only_fields_that_the_client_sent(body: bytes, param: str | None) -> None:
    refusal = from_provider_error(body, fields={"messages", "temperature"})
    assert (refusal.is_context_too_long, refusal.param) == (False, param)
