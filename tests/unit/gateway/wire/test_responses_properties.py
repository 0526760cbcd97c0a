"""Whatever comes in whatever order: response streams keep the rules and lose nothing, and OpenAI's SDK reads them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

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
from gateway.wire.responses.encode import to_response
from gateway.wire.usage import Usage
from tests.unit.gateway.wire.responses_answers import TOOLBOX, fed_raw, new_encoder
from tests.unit.gateway.wire.responses_rules import (
    event_violations,
    frame_violations,
    read_events,
    response_violations,
)

NAMES = ["look", *[tool.name for tool in TOOLBOX.flat]]

texts = st.text(max_size=8)
places = st.integers(0, 4)
arguments = st.one_of(
    texts,
    st.sampled_from(
        [
            "{}",
            '{"input":"x"}',
            '{"command":["ls"]}',
            '{"commands":["ls"]}',
            '{"query":"\\ud800"}',
            '{"type":"update_file","path":"a","diff":"b"}',
        ]
    ),
)
said = st.one_of(
    st.builds(TextDelta, texts),
    st.builds(RefusalDelta, texts),
    st.builds(ReasoningDelta, texts),
    st.builds(ReasoningState, texts),
    st.builds(CallBegun, places, st.sampled_from(NAMES)),
    st.builds(CallDelta, places, arguments),
    st.builds(Counted, st.builds(Usage, *[st.integers(0, 9)] * 4, is_plausible=st.just(True))),
)
answers = st.lists(said, max_size=25)
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
parses = TypeAdapter[Any](ResponseStreamEvent)


def sealed(state: str) -> str:
    return f"<{state}>"


def joined(deltas: Sequence[Delta], kind: type[TextDelta | RefusalDelta | ReasoningDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def called(deltas: Sequence[Delta]) -> dict[str, tuple[str, str]]:
    """The tool and the arguments of each call that began, by the id that it gets."""
    names: dict[int, str] = {}
    pieces: dict[int, str] = defaultdict(str)
    for delta in deltas:
        if isinstance(delta, CallBegun):
            names.setdefault(delta.place, delta.name)
        elif isinstance(delta, CallDelta):
            pieces[delta.place] += delta.arguments
    return {f"call_{place}": (name, pieces[place]) for place, name in names.items()}


@given(answers, reasons, st.booleans())
def test_no_answer_breaks_a_rule(deltas: list[Delta], reason: Any, seals: bool) -> None:
    encoder = new_encoder(sealed if seals else None)
    raw = fed_raw(encoder, deltas) + encoder.feed(Finished(reason))
    final = encoder.completed()
    raw += encoder.finish()
    assert frame_violations(raw) == []
    events = read_events(raw)
    assert event_violations(events) == []
    assert events[-1]["response"] == final


@given(answers, answers, st.booleans(), st.booleans())
def test_no_answer_that_breaks_off_breaks_a_rule(
    before: list[Delta], after: list[Delta], seals: bool, was_completed: bool
) -> None:
    encoder = new_encoder(sealed if seals else None)
    raw = fed_raw(encoder, before) + encoder.heartbeat()
    if was_completed:
        encoder.completed()
    raw += encoder.heartbeat() + encoder.fail("server_error", "It broke.") + fed_raw(encoder, after) + encoder.finish()
    assert frame_violations(raw) + event_violations(read_events(raw)) == []


@given(answers, reasons)
def test_a_whole_answer_is_what_its_stream_ends_with(deltas: list[Delta], reason: Any) -> None:
    deltas = [*deltas, Finished(reason)]
    whole = json.loads(to_response(deltas, encoder=new_encoder(sealed)))
    assert response_violations(whole) == []
    encoder = new_encoder(sealed)
    assert read_events(fed_raw(encoder, deltas) + encoder.finish())[-1]["response"] == whole


@given(answers)
def test_the_texts_that_leave_are_those_that_came(deltas: list[Delta]) -> None:
    encoder = new_encoder()
    events = read_events(fed_raw(encoder, deltas) + encoder.finish())
    told: dict[str, str] = defaultdict(str)
    for event in events:
        if event["type"].endswith(".delta"):
            told[event["type"].split(".")[1]] += event["delta"]
    assert told["output_text"] == joined(deltas, TextDelta)
    assert told["refusal"] == joined(deltas, RefusalDelta)
    assert told["reasoning_summary_text"] == joined(deltas, ReasoningDelta)


@given(answers)
def test_the_calls_that_leave_are_those_that_came(deltas: list[Delta]) -> None:
    encoder = new_encoder()
    items = read_events(fed_raw(encoder, deltas) + encoder.finish())[-1]["response"]["output"]
    calls = {item["call_id"]: item for item in items if "call_id" in item}
    expected = called(deltas)
    assert list(calls) == list(expected)
    for call_id, (name, arguments) in expected.items():
        if TOOLBOX.tool(name).kind == "function":
            assert calls[call_id]["arguments"] == (arguments if arguments.strip() else f"{arguments}{{}}")


@given(answers)
def test_no_call_is_done_before_the_end(deltas: list[Delta]) -> None:
    for event in read_events(fed_raw(new_encoder(sealed), deltas)):
        assert not event["type"].endswith("arguments.done")
        if event["type"] == "response.output_item.done":
            assert event["item"]["type"] in ("message", "reasoning")


@given(answers)
def test_the_ids_are_the_same_in_every_run(deltas: list[Delta]) -> None:
    first, second = new_encoder(sealed), new_encoder(sealed)
    assert fed_raw(first, deltas) + first.finish() == fed_raw(second, deltas) + second.finish()


@settings(max_examples=60, deadline=None)  # the SDK builds its models when they are first used
@given(answers, reasons, st.booleans())
def test_the_sdk_of_openai_reads_every_stream(deltas: list[Delta], reason: Any, fails: bool) -> None:
    encoder = new_encoder(sealed)
    raw = fed_raw(encoder, deltas) + encoder.feed(Finished(reason)) + encoder.heartbeat()
    raw += encoder.fail("server_error", "It broke.") if fails else encoder.finish()
    state = ResponseStreamState[None](input_tools=omit, text_format=omit)
    for event in read_events(raw):
        parsed = parses.validate_python(event)  # strict about what is required, which the SDK itself is not
        assert parsed.type == event["type"]
        state.handle_event(parsed)
    if not fails and reason in ("stop", "tool_calls"):
        final = cast(Response, state._completed_response)
        assert final.output_text == joined(deltas, TextDelta)
        assert [item.id for item in final.output] == [item["id"] for item in encoder.completed()["output"]]
