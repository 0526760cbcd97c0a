"""Chat requests: what is refused, what is passed on, what a target changes."""

import json
from typing import Any

import pytest

from gateway.wire.chat.decode import MAX_MESSAGES, MAX_TOOLS, from_chat_request
from gateway.wire.chat.passthrough import to_provider_request
from gateway.wire.lane import Quirks, Target, Unservable, UnusableRequest

MESSAGES = [{"role": "user", "content": "Hi", "extra": {"kept": [1, 2]}}]
THEIRS = Target("theirs")
NEWER = Quirks(output_cap_field="max_completion_tokens")


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "smart-route", "messages": MESSAGES, **fields}).encode()


def sent(raw: bytes, target: Target = THEIRS) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(to_provider_request(from_chat_request(raw), target).body)
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
        (body(prompt_cache_key=7), "invalid_value", "prompt_cache_key"),
        (body(messages=[{"role": "tool", "tool_call_id": 7}]), "invalid_value", "messages[0].tool_call_id"),
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
        ({}, 100),
        ({"max_tokens": 500}, 100),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 500}, 100),
        ({"max_completion_tokens": 50, "max_tokens": 500}, 50),
    ],
)
def test_a_targets_cap_lowers_what_the_client_asked(fields: dict[str, Any], tokens: int) -> None:
    older, newer = Target("theirs", max_output_tokens=100), Target("theirs", quirks=NEWER, max_output_tokens=100)
    assert sent(body(**fields), older) == {"model": "theirs", "messages": MESSAGES, "max_tokens": tokens}
    assert sent(body(**fields), newer) == {"model": "theirs", "messages": MESSAGES, "max_completion_tokens": tokens}


def test_a_cap_has_the_targets_name_for_it() -> None:
    assert sent(body(max_tokens=7)) == sent(body(max_completion_tokens=7)) == {**sent(body()), "max_tokens": 7}
    assert sent(body(max_tokens=7), Target("theirs", quirks=NEWER)) == {**sent(body()), "max_completion_tokens": 7}


def test_a_target_can_drop_and_rename_fields_and_what_it_drops_is_named() -> None:
    target = Target("theirs", drop=("seed", "absent"), rename={"max_tokens": "limit", "stop": "stop_sequences"})
    request = from_chat_request(body(seed=1, max_completion_tokens=9))
    written = to_provider_request(request, target)
    assert json.loads(written.body) == {"model": "theirs", "messages": MESSAGES, "limit": 9}
    assert written.ignored == ("seed",)


def test_a_session_is_known_by_its_cache_key_which_stays_here() -> None:
    request = from_chat_request(body(prompt_cache_key="session-1"))
    assert (request.session_key, request.ignored) == ("session-1", ())
    assert sent(body(prompt_cache_key="session-1")) == sent(body())
    assert from_chat_request(body()).session_key is None
    assert from_chat_request(body(prompt_cache_key="")).session_key is None


SYSTEM, DEVELOPER = {"role": "system", "content": "S"}, {"role": "developer", "content": "D"}
USER, SAID = {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}


def call(*ids: str) -> dict[str, Any]:
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": "Let me see.", "tool_calls": calls}


def result(id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": f"result of {id}"}


@pytest.mark.parametrize(
    ("messages", "answered"),
    [
        ([USER, call("a", "b"), result("a"), result("b")], ("a", "b")),
        ([USER, call("a"), result("a"), call("b"), result("b")], ("b",)),
        ([USER, call("a"), result("a"), USER], ()),
        ([USER, call("a"), USER, result("a")], ()),
        ([USER, call("a"), result("a"), SYSTEM], ()),
        ([USER, call("a"), result("a"), SAID], ()),
        ([USER, call("a"), {"role": "tool", "content": "x"}], ()),
        ([USER, call("a"), result("a"), {"role": "tool", "tool_call_id": "", "content": "x"}], ()),
        ([USER, {**USER, "tool_call_id": "a"}], ()),
        ([result("a")], ()),
        ([USER, result("a")], ()),
        ([USER], ()),
        ([SAID], ()),
    ],
)
def test_the_calls_that_are_answered_are_those_of_the_results_at_the_end(
    messages: list[dict[str, Any]], answered: tuple[str, ...]
) -> None:
    assert from_chat_request(body(messages=messages)).answered_calls == answered


def test_a_conversation_that_needs_no_change_is_passed_on_as_the_bytes_that_came() -> None:
    spaced = b'[ {"role":"system","content":"S"}, {"role" : "user", "content":"\\u0055", "x": 1.50} ]'
    raw = b'{"model": "m", "messages": ' + spaced + b"}"
    written = to_provider_request(from_chat_request(raw), Target("theirs", quirks=Quirks()))
    assert written.body == b'{"model":"theirs","messages":' + spaced + b"}"


@pytest.mark.parametrize(
    ("messages", "quirks", "expected"),
    [
        ([DEVELOPER, USER], Quirks(), [{**DEVELOPER, "role": "system"}, USER]),
        ([DEVELOPER, USER], Quirks(system_role="developer"), [DEVELOPER, USER]),
        ([SYSTEM, USER], Quirks(system_role="developer"), [SYSTEM, USER]),
        ([SYSTEM, USER], Quirks(system_role="user"), [{**SYSTEM, "role": "user"}, USER]),
        ([SYSTEM, USER, DEVELOPER], Quirks(), [{"role": "system", "content": "S\n\nD"}, USER]),
        (
            [SYSTEM, USER, {**DEVELOPER, "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]}],
            Quirks(system_role="developer"),
            [{"role": "developer", "content": "S\n\n1\n2"}, USER],
        ),
        (
            [SYSTEM, USER, DEVELOPER],
            Quirks(merges_system=False),
            [SYSTEM, USER, {**DEVELOPER, "role": "system"}],
        ),
        (
            [USER, call("a", "b"), result("b"), result("a"), USER],
            Quirks(takes_parallel_calls=False),
            [USER, call("a"), result("a"), {**call("b"), "content": None}, result("b"), USER],
        ),
        (
            [call("a", "b"), result("b"), result("z")],
            Quirks(takes_parallel_calls=False),
            [call("a"), {**call("b"), "content": None}, result("b"), result("z")],
        ),
        ([call("a"), result("a")], Quirks(takes_parallel_calls=False), [call("a"), result("a")]),
    ],
)
def test_messages_are_changed_only_where_the_target_needs_it(
    messages: list[dict[str, Any]], quirks: Quirks, expected: list[dict[str, Any]]
) -> None:
    assert sent(body(messages=messages), Target("theirs", quirks=quirks))["messages"] == expected


def test_an_instruction_that_cannot_be_merged_says_where_it_is() -> None:
    odd = {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
    with pytest.raises(UnusableRequest) as caught:
        sent(body(messages=[SYSTEM, USER, odd]))
    assert caught.value.param == "messages[2].content"


def test_parallel_calls_are_not_asked_of_a_target_that_knows_none() -> None:
    target = Target("theirs", quirks=Quirks(takes_parallel_calls=False))
    for wish, ignored in ((True, ("parallel_tool_calls",)), (False, ())):
        written = to_provider_request(from_chat_request(body(parallel_tool_calls=wish)), target)
        assert json.loads(written.body) == sent(body())
        assert written.ignored == ignored


PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}


@pytest.mark.parametrize(
    ("fields", "quirks", "param"),
    [
        ({"tools": [{"type": "function"}]}, Quirks(takes_tools=False), "tools"),
        ({"messages": [call("a"), result("a")]}, Quirks(takes_tools=False), "messages"),
        ({"messages": [PICTURE]}, Quirks(takes_images=False), "messages"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            Quirks(takes_schema=False),
            "response_format",
        ),
    ],
)
def test_a_target_is_not_asked_for_what_it_cannot_do(fields: dict[str, Any], quirks: Quirks, param: str) -> None:
    with pytest.raises(Unservable) as caught:
        sent(body(**fields), Target("theirs", quirks=quirks))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"messages": [{"role": "user", "content": "what is an image_url?"}, {"role": "user", "content": [1, None]}]},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": 7}},
    ],
)
def test_a_target_that_cannot_do_everything_is_asked_for_the_rest(fields: dict[str, Any]) -> None:
    quirks = Quirks(takes_tools=False, takes_images=False, takes_schema=False)
    assert sent(body(**fields), Target("theirs", quirks=quirks)) == {**sent(body()), **fields}
