"""What is objectively wrong with an answer, in whatever format the provider speaks, streamed or whole."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import QualityFault
from devstack.provider import Answer as Said
from devstack.provider import ToolCall, Usage
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.writing import body_of, events_of
from gateway.quality import MAX_QUESTIONS, RESUBMITTED_SECONDS, Resubmissions, fault_of, question_of
from gateway.wire.lane import ProviderFormat
from tests.golden.cases import ClientFormat, Json
from tests.golden.files import READERS, left, opened, streamed, taken

PROVIDERS: tuple[ProviderFormat, ...] = ("chat", "responses", "anthropic")
FUNCTION = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
USER = {"role": "user", "content": "Hi"}
CHAT_CUSTOM = {"type": "custom", "custom": {"name": "patch", "description": "Edits."}}

TOOLS: Mapping[ClientFormat, Json] = {
    "chat": {"messages": [USER], "tools": [{"type": "function", "function": FUNCTION}]},
    "responses": {"input": [USER], "tools": [{"type": "function", **FUNCTION}]},
}
CUSTOM: Mapping[ClientFormat, Json] = {
    "chat": {"messages": [USER], "tools": [CHAT_CUSTOM]},
    "responses": {"input": [USER], "tools": [{"type": "custom", "name": "patch", "description": "Edits."}]},
}
PERSON: Mapping[ClientFormat, Json] = {
    "chat": {
        "messages": [USER],
        "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}},
    },
    "responses": {"input": [USER], "text": {"format": {"type": "json_schema", "name": "person", "schema": SCHEMA}}},
}
PLAIN: Mapping[ClientFormat, Json] = {"chat": {"messages": [USER]}, "responses": {"input": [USER]}}


def fault(
    client: ClientFormat, provider: ProviderFormat, ask: Json, said: Said, *, is_stream: bool
) -> QualityFault | None:
    """That of the whole way: the request in front of this provider, and what it answers."""
    body = {"model": "m", **ask}
    request, lane = opened(client, provider, streamed(client, body) if is_stream else body)
    sent, identity = Request("POST", f"/v1{lane.path}", {}, lane.body), Identity(number=1)
    if is_stream:
        left(lane, [b"".join(events_of(said, sent, identity))])
    else:
        taken(lane, body_of(said, sent, identity))
    return fault_of(request, lane.answer)


_WAYS = [(client, provider, is_stream) for client in PLAIN for provider in PROVIDERS for is_stream in (False, True)]
every_way = pytest.mark.parametrize(("client", "provider", "is_stream"), _WAYS)
# Whole answers of Anthropic hold the arguments of calls as JSON: they cannot be anything else.
every_way_with_arguments = pytest.mark.parametrize(
    ("client", "provider", "is_stream"), [way for way in _WAYS if way[1:] != ("anthropic", False)]
)


def called(*arguments: str) -> Said:
    return Said(text=None, tool_calls=tuple(ToolCall("look", text) for text in arguments))


@every_way_with_arguments
@pytest.mark.parametrize(
    ("said", "found"),
    [
        (called('{"at": "home"}'), None),
        (called("{}", '{"at": 1}'), None),
        (called('{"at": "ho'), "invalid_arguments"),
        (called("{}", '["home"]'), "invalid_arguments"),
        (called("{}", '"home"', "{}"), "invalid_arguments"),
        (Said(text="Nothing to look at."), None),
    ],
)
def test_arguments_that_are_no_object_are_a_fault(
    client: ClientFormat, provider: ProviderFormat, is_stream: bool, said: Said, found: QualityFault | None
) -> None:
    assert fault(client, provider, TOOLS[client], said, is_stream=is_stream) == found


@every_way_with_arguments
def test_custom_tools_take_any_text(client: ClientFormat, provider: ProviderFormat, is_stream: bool) -> None:
    said = Said(text=None, tool_calls=(ToolCall("patch", "*** Begin Patch"),))
    assert fault(client, provider, CUSTOM[client], said, is_stream=is_stream) is None


@every_way
@pytest.mark.parametrize(
    ("said", "found"),
    [
        (Said(text='{"name": "Ada", "more": [1, {"a": null}]}'), None),
        (Said(text=' {"name":\n"Ada"} \n'), None),
        (Said(text='```json\n{"name": "Ada"}\n```'), "invalid_schema"),
        (Said(text='{"name": "Ad'), "invalid_schema"),
        (Said(text='{"name": "Ada"} and more'), "invalid_schema"),
        (Said(text='["Ada"]'), "invalid_schema"),
    ],
)
def test_structured_output_that_is_none_is_a_fault(
    client: ClientFormat, provider: ProviderFormat, is_stream: bool, said: Said, found: QualityFault | None
) -> None:
    assert fault(client, provider, PERSON[client], said, is_stream=is_stream) == found


@every_way
def test_a_refusal_need_not_be_json(client: ClientFormat, provider: ProviderFormat, is_stream: bool) -> None:
    # Anthropic does not tell a model that refuses from a filter that does.
    found = "filtered" if provider == "anthropic" else None
    said = Said(text=None, refusal="I would rather not.")
    assert fault(client, provider, PERSON[client], said, is_stream=is_stream) == found


@every_way
@pytest.mark.parametrize(
    ("said", "found"),
    [
        (Said(text="no JSON, and nobody asked for any"), None),
        (Said(text=""), "empty"),
        (Said(text="", reasoning="I think, and say nothing."), "empty"),
        (Said(text="It was a dark and", finish_reason="length"), "truncated"),
        (Said(text="It was", finish_reason="content_filter"), "filtered"),
    ],
)
def test_an_answer_that_is_empty_or_cut_is_a_fault(
    client: ClientFormat, provider: ProviderFormat, is_stream: bool, said: Said, found: QualityFault | None
) -> None:
    assert fault(client, provider, PLAIN[client], said, is_stream=is_stream) == found


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("provider", ["completions", *PROVIDERS])
def test_completions_are_checked_for_their_end(provider: ProviderFormat, is_stream: bool) -> None:
    for said, found in ((Said(), None), (Said(text=""), "empty"), (Said(finish_reason="length"), "truncated")):
        assert fault("completions", provider, {"prompt": "Once"}, said, is_stream=is_stream) == found


@every_way
def test_a_cut_that_the_client_asked_for_is_no_fault(
    client: ClientFormat, provider: ProviderFormat, is_stream: bool
) -> None:
    cap = {"chat": "max_tokens", "responses": "max_output_tokens"}[client]
    said = Said(finish_reason="length", usage=Usage(completion_tokens=20, total_tokens=32))
    assert fault(client, provider, {**PLAIN[client], cap: 20}, said, is_stream=is_stream) is None
    assert fault(client, provider, {**PLAIN[client], cap: 500}, said, is_stream=is_stream) == "truncated"


@every_way_with_arguments
def test_half_a_call_of_a_cut_answer_is_a_cut(client: ClientFormat, provider: ProviderFormat, is_stream: bool) -> None:
    said = Said(text=None, finish_reason="length", tool_calls=(ToolCall("look", '{"at'),))
    assert fault(client, provider, TOOLS[client], said, is_stream=is_stream) == "truncated"


@every_way
def test_at_the_end_of_a_tool_loop_there_may_be_nothing_left_to_say(
    client: ClientFormat, provider: ProviderFormat, is_stream: bool
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    loop: dict[str, list[Any]] = {
        "chat": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        ],
        "responses": [
            USER,
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "done"},
        ],
    }
    ask = {**TOOLS[client], "messages" if client == "chat" else "input": loop[client]}
    assert fault(client, provider, ask, Said(text=""), is_stream=is_stream) is None
    assert fault(client, provider, ask, called("{"), is_stream=True) == "invalid_arguments"


def test_of_an_answer_that_has_not_ended_nothing_is_said() -> None:
    for client in PLAIN:
        request, lane = opened(client, "chat", streamed(client, {"model": "m", **PLAIN[client]}))
        lane.answer.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n')
        assert fault_of(request, lane.answer) is None


@pytest.mark.parametrize("client", PLAIN)
def test_nothing_is_collected_that_nobody_asked_for(client: ClientFormat) -> None:
    for provider in PROVIDERS:
        assert opened(client, provider, {"model": "m", **PLAIN[client]})[1].answer.evidence is None
        lane = opened(client, provider, streamed(client, {"model": "m", **TOOLS[client]}))[1]
        sent = Request("POST", f"/v1{lane.path}", {}, lane.body)
        left(lane, events_of(Said(text="A long story"), sent, Identity(number=1)))
        assert lane.answer.evidence is not None
        assert lane.answer.evidence.text == ""


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=4))
def test_any_json_is_json_where_the_schema_names_no_type(value: object) -> None:
    ask: Json = {
        "messages": [USER],
        "response_format": {"type": "json_schema", "json_schema": {"name": "any", "schema": {}}},
    }
    assert fault("chat", "chat", ask, Said(text=json.dumps(value)), is_stream=False) is None


# --- asked again

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)


def question(account_id: UUID = ACCOUNT, **fields: Any) -> bytes | None:
    body = json.dumps({"model": "m", "messages": [USER], **fields}).encode()
    return question_of(account_id, READERS["chat"](body).brief)


def test_the_same_question_within_a_minute_is_asked_again() -> None:
    asked = Resubmissions()
    assert asked.note(b"a", 100.0) is None
    asked.answered(b"a", "north", "chat")
    earlier = asked.note(b"a", 100.0 + RESUBMITTED_SECONDS)
    assert earlier is not None
    assert (earlier.at, earlier.target, earlier.request_class) == (100.0, "north", "chat")
    assert asked.note(b"b", 120.0) is None
    assert asked.note(b"a", 160.1 + RESUBMITTED_SECONDS) is None


def test_an_answer_belongs_to_the_time_that_it_was_asked_last() -> None:
    asked = Resubmissions()
    asked.note(b"a", 1.0)
    asked.answered(b"a", "north", "chat")
    asked.note(b"a", 2.0)
    earlier = asked.note(b"a", 3.0)
    assert earlier is not None
    assert (earlier.at, earlier.target) == (2.0, None)
    asked.answered(b"unknown", "north", "chat")
    assert asked.note(b"unknown", 3.0) is None


def test_the_questions_that_were_asked_longest_ago_are_forgotten() -> None:
    asked = Resubmissions(capacity=2)
    for place, key in enumerate([b"a", b"b", b"a", b"c"]):
        asked.note(key, float(place))
    assert (len(asked), asked.note(b"a", 5.0) is not None, asked.note(b"b", 5.0)) == (2, True, None)
    assert MAX_QUESTIONS == 20_000


def test_a_question_is_of_one_account_one_conversation_and_one_place_in_it() -> None:
    later = question(messages=[USER, {"role": "assistant", "content": "Ho"}, USER])
    questions = [question(), question(OTHER), later, question(messages=[{"role": "user", "content": "Ho"}])]
    assert None not in questions
    assert len(set(questions)) == 4
    assert question() == question(temperature=0.1, stream=True)


def test_in_tool_loops_and_without_words_a_repetition_says_nothing() -> None:
    assert question(messages=[USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]) is None
    assert question(messages=[{"role": "user", "content": ""}]) is None
