"""Chat requests: what is refused, what is passed on, what a target's policy changes."""

import json
from typing import Any

import pytest

from gateway.wire.chat.decode import MAX_MESSAGES, MAX_TOOLS, Policy, UnusableRequest, from_chat_request
from gateway.wire.chat.decode import to_provider_request as encode

MESSAGES = [{"role": "user", "content": "Hi", "extra": {"kept": [1, 2]}}]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "smart-route", "messages": MESSAGES, **fields}).encode()


def sent(raw: bytes, policy: Policy | None = None) -> dict[str, Any]:
    request = from_chat_request(raw)
    encoded = encode(request, model="theirs", policy=policy) if policy else encode(request, model="theirs")
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


def refusal(raw: bytes) -> UnusableRequest:
    with pytest.raises(UnusableRequest) as caught:
        from_chat_request(raw)
    return caught.value


def test_the_model_is_replaced_and_messages_pass_as_they_are() -> None:
    assert sent(body()) == {"model": "theirs", "messages": MESSAGES}


def test_a_stream_always_asks_the_provider_for_usage() -> None:
    request = from_chat_request(body(stream=True))
    assert (request.is_stream, request.wants_usage) == (True, False)
    assert sent(body(stream=True))["stream_options"] == {"include_usage": True}
    assert sent(body(stream=True, stream_options={"include_usage": False, "include_obfuscation": True})) == {
        "model": "theirs",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert from_chat_request(body(stream=True, stream_options={"include_usage": True})).wants_usage


def test_a_request_that_is_no_stream_asks_for_none() -> None:
    assert "stream_options" not in sent(body(stream=False, stream_options=None))


@pytest.mark.parametrize(
    "fields",
    [
        {
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
        },
        {"temperature": 0.5, "top_p": 1, "seed": 7, "stop": ["a"], "logit_bias": {"50": 1}},
        {"response_format": {"type": "json_object"}, "reasoning_effort": "high", "max_tokens": 5},
        {"logprobs": True, "top_logprobs": 3, "presence_penalty": -2, "frequency_penalty": 2.0},
    ],
)
def test_the_documented_fields_are_passed_on(fields: dict[str, Any]) -> None:
    assert sent(body(**fields)) == {"model": "theirs", "messages": MESSAGES, **fields}


def test_fields_that_are_null_count_as_absent() -> None:
    assert sent(body(tools=None, temperature=None, n=None, functions=None, modalities=None)) == sent(body())


def test_what_would_identify_people_or_steer_a_provider_stays_here_and_is_named() -> None:
    raw = body(user="u", metadata={}, store=True, models=["gpt-9"], api_base="http://x", service_tier="flex", n=1)
    request = from_chat_request(raw)
    assert sent(raw) == {"model": "theirs", "messages": MESSAGES}
    assert request.ignored == ("user", "metadata", "store", "models", "api_base", "service_tier")


def test_names_that_do_not_fit_a_header_are_not_repeated() -> None:
    assert from_chat_request(body(**{"a\r\nb": 1, "ü": 1, "x" * 65: 1, "ok": 1})).ignored == ("ok",)
    assert len(from_chat_request(body(**{f"x{number}": 1 for number in range(50)})).ignored) == 20


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model": NaN}', "invalid_json", None),
        (b'{"model": "\xff"}', "invalid_json", None),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}], "model": "m"}', "invalid_json", None),
        (b"[" * 100 + b"]" * 100, "invalid_value", None),
        (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "invalid_json", None),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json", None),
        (b"[]", "invalid_value", None),
        (b'{"messages": []}', "missing_required_parameter", "model"),
        (b'{"model": "m"}', "missing_required_parameter", "messages"),
        (body(model=""), "invalid_value", "model"),
        (body(model=7), "invalid_value", "model"),
        (body(messages=[]), "invalid_value", "messages"),
        (body(messages="Hi"), "invalid_value", "messages"),
        (body(messages=[*MESSAGES, {"content": "x"}]), "invalid_value", "messages[1]"),
        (body(messages=[{"role": "king"}]), "invalid_value", "messages[0].role"),
        (body(messages=MESSAGES * (MAX_MESSAGES + 1)), "invalid_value", "messages"),
        (body(tools=[{}] * (MAX_TOOLS + 1)), "invalid_value", "tools"),
        (body(n=2), "unsupported_value", "n"),
        (body(n=0), "unsupported_value", "n"),
        (body(modalities=["text", "audio"]), "unsupported_value", "modalities"),
        (body(functions=[]), "unsupported_parameter", "functions"),
        (body(audio={"voice": "a"}), "unsupported_parameter", "audio"),
        (body(temperature=3), "invalid_value", "temperature"),
        (body(max_tokens=0), "invalid_value", "max_tokens"),
        (body(stream="yes"), "invalid_value", "stream"),
    ],
)
def test_a_request_that_cannot_be_served_says_where_and_why(raw: bytes, code: str, param: str | None) -> None:
    refused = refusal(raw)
    assert (refused.code, refused.param) == (code, param)
    assert refused.message
    assert len(refused.message) < 300


def test_as_many_messages_and_tools_as_allowed_are_taken() -> None:
    assert from_chat_request(body(messages=MESSAGES * MAX_MESSAGES, tools=[{}] * MAX_TOOLS)).model == "smart-route"


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, {"max_tokens": 100}),
        ({"max_tokens": 500}, {"max_tokens": 100}),
        ({"max_tokens": 50}, {"max_tokens": 50}),
        ({"max_completion_tokens": 500}, {"max_completion_tokens": 100}),
        ({"max_completion_tokens": 50, "max_tokens": 500}, {"max_completion_tokens": 50, "max_tokens": 500}),
    ],
)
def test_a_targets_cap_lowers_what_the_client_asked(fields: dict[str, Any], tokens: dict[str, int]) -> None:
    assert sent(body(**fields), Policy(max_output_tokens=100)) == {"model": "theirs", "messages": MESSAGES, **tokens}


def test_a_target_can_drop_and_rename_fields() -> None:
    policy = Policy(drop=("seed", "absent"), rename={"max_completion_tokens": "max_tokens", "stop": "stop_sequences"})
    assert sent(body(seed=1, max_completion_tokens=9), policy) == {
        "model": "theirs",
        "messages": MESSAGES,
        "max_tokens": 9,
    }
