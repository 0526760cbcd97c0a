"""Whatever is sent, routing reads it without a fault, and reads the words of nobody but the user."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.chat.decode import from_chat_request
from gateway.wire.completions.decode import from_completions_request
from gateway.wire.lane import Brief, ClientRequest, UnusableRequest
from gateway.wire.responses.decode import from_responses_request
from tests.unit.gateway.wire.test_responses_anything import EVERYTHING

PNG = "data:image/png;base64,AAAA"

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
odd_parts = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "input_text", "image_url", "input_image", "file", "input_audio", 7, None])},
        optional={
            "text": anything,
            "image_url": anything,
            "file": anything,
            "input_audio": anything,
            "file_data": anything,
        },
    )
    | anything,
    max_size=3,
)
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
odd_messages = st.lists(
    st.fixed_dictionaries({"role": roles}, optional={"content": odd_parts | anything, "tool_calls": anything}),
    min_size=1,
    max_size=4,
)
odd_fields = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(anything, max_size=2),
        "tool_choice": anything,
        "response_format": anything,
        "reasoning": anything,
        "reasoning_effort": anything,
        "thinking": anything,
        "chat_template_kwargs": anything,
        "text": anything,
    },
)


def check(brief: Brief) -> None:
    assert brief.input_bytes >= 0
    assert len(brief.opening) == 16


@given(odd_messages, odd_fields)
def test_every_chat_request_that_is_taken_has_a_brief(messages: list[Any], fields: Mapping[str, Any]) -> None:
    check(from_chat_request(json.dumps({"model": "m", "messages": messages, **fields}).encode()).brief)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_completion_has_a_brief(prompt: str) -> None:
    check(from_completions_request(json.dumps({"model": "m", "prompt": prompt}).encode()).brief)


@given(
    st.lists(anything | st.fixed_dictionaries({"role": roles, "content": odd_parts | anything}), max_size=3), odd_fields
)
def test_every_responses_request_that_is_taken_has_a_brief(items: list[Any], fields: Mapping[str, Any]) -> None:
    try:
        request = from_responses_request(json.dumps({"model": "m", "input": items, **fields}).encode())
    except UnusableRequest:
        return
    check(request.brief)


@given(st.data())
def test_one_of_everything_has_a_brief_whatever_is_taken_away_or_put_in(data: st.DataObject) -> None:
    items = [dict(item) for item in EVERYTHING["input"]]
    item = data.draw(st.sampled_from(items))
    item[data.draw(st.sampled_from(sorted(item)))] = data.draw(anything)
    try:
        request = from_responses_request(json.dumps({**EVERYTHING, "input": items}).encode())
    except UnusableRequest:
        return
    check(request.brief)


# --- whose words

WORDS = {"system": "told", "developer": "told", "user": "asked", "assistant": "said", "tool": "found"}
said = st.lists(st.tuples(roles, st.booleans()), min_size=1, max_size=8)


def chat_of(said: list[tuple[str, bool]]) -> ClientRequest:
    messages = []
    for place, (role, is_in_parts) in enumerate(said):
        word = f"{WORDS[role]}{place}"
        parts = [{"type": "text", "text": word}, {"type": "image_url", "image_url": {"url": PNG}}]
        more = {"tool_call_id": "call_1"} if role == "tool" else {}
        messages.append({"role": role, "content": parts if is_in_parts else word, **more})
    return from_chat_request(json.dumps({"model": "m", "messages": messages}).encode())


def responses_of(said: list[tuple[str, bool]]) -> ClientRequest:
    items: list[dict[str, Any]] = []
    for place, (role, is_in_parts) in enumerate(said):
        word = f"{WORDS[role]}{place}"
        parts = [{"type": "input_text", "text": word}, {"type": "input_image", "image_url": PNG}]
        if role == "tool":
            call = {"call_id": f"call_{place}"}
            items.append({"type": "function_call", "name": "f", "arguments": json.dumps({"said": word}), **call})
            items.append({"type": "function_call_output", "output": parts if is_in_parts else word, **call})
        elif role == "assistant":
            items.append({"role": role, "content": [{"type": "output_text", "text": word}]})
        else:
            items.append({"role": role, "content": parts if is_in_parts else word})
    body = {"model": "m", "instructions": "told first", "input": items}
    return from_responses_request(json.dumps(body).encode())


@given(said)
def test_the_text_is_the_last_of_the_user_and_of_nobody_else(said: list[tuple[str, bool]]) -> None:
    expected = next((f"asked{place}" for place, (role, _) in reversed(list(enumerate(said))) if role == "user"), "")
    for request in (chat_of(said), responses_of(said)):
        assert request.brief.user_text == expected


@given(said)
def test_a_brief_repeats_nothing_but_that_text(said: list[tuple[str, bool]]) -> None:
    for request in (chat_of(said), responses_of(said)):
        shown = repr(request.brief)
        assert not any(word in shown for word in ("told", "said", "found", PNG))


@given(said, said)
def test_what_follows_the_first_answer_does_not_change_the_opening(
    before: list[tuple[str, bool]], after: list[tuple[str, bool]]
) -> None:
    opening = [(role, is_in_parts) for role, is_in_parts in before if role not in ("assistant", "tool")]
    for made in (chat_of, responses_of):
        grown = made([*opening, ("assistant", False), *after])
        assert grown.brief.opening == made([*opening, ("assistant", False)]).brief.opening
