"""The checker of responses itself: it is silent about what is right, and each rule can be broken."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.unit.gateway.wire.responses_rules import event_violations, frame_violations, read_events, response_violations

Events = list[dict[str, Any]]

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 7,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "smart-route-mini",
    "output": [],
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "usage": None,
}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}
PART = {"type": "output_text", "text": "Hi", "annotations": []}
SUMMARY = {"type": "summary_text", "text": "hm"}
MESSAGE = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [PART]}
REASONING = {"id": "rs_0", "type": "reasoning", "summary": [SUMMARY]}
CALL = {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "f", "arguments": "{}", "status": "completed"}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_3", "call_id": "c3", "name": "p", "input": "x"}
SHELL = {
    "type": "local_shell_call",
    "id": "lsh_4",
    "call_id": "c4",
    "action": {"type": "exec", "command": ["ls"], "env": {}},
    "status": "completed",
}
PATCH = {
    "type": "apply_patch_call",
    "id": "apc_5",
    "call_id": "c5",
    "operation": {"type": "create_file", "path": "a", "diff": "+a"},
    "status": "completed",
}
OUTPUT: Events = [REASONING, MESSAGE, CALL, CUSTOM, SHELL, PATCH]


def completed() -> dict[str, Any]:
    return copy.deepcopy({**RESPONSE, "status": "completed", "output": OUTPUT, "usage": USAGE})


def ended_as(status: str, **more: Any) -> dict[str, Any]:
    return {**completed(), "status": status, **more}


def stream() -> Events:
    """A stream in which every kind of item occurs. The places of its events are what the breaches below count on."""

    def of(type: str, **more: Any) -> dict[str, Any]:
        return {"type": f"response.{type}", **copy.deepcopy(more)}

    thought: dict[str, Any] = {"item_id": "rs_0", "output_index": 0, "summary_index": 0}
    said: dict[str, Any] = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    events = [
        of("created", response=RESPONSE),
        of("in_progress", response=RESPONSE),
        of("output_item.added", output_index=0, item={**REASONING, "summary": []}),
        of("reasoning_summary_part.added", **thought, part={**SUMMARY, "text": ""}),
        of("reasoning_summary_text.delta", **thought, delta="hm"),
        of("reasoning_summary_text.done", **thought, text="hm"),  # 5
        of("reasoning_summary_part.done", **thought, part=SUMMARY),
        of("output_item.done", output_index=0, item=REASONING),
        of("output_item.added", output_index=1, item={**MESSAGE, "content": [], "status": "in_progress"}),
        of("content_part.added", **said, part={**PART, "text": ""}),
        of("output_text.delta", **said, delta="Hi", logprobs=[]),  # 10
        of("output_text.done", **said, text="Hi", logprobs=[]),
        of("content_part.done", **said, part=PART),
        of("output_item.done", output_index=1, item=MESSAGE),
        of("output_item.added", output_index=2, item={**CALL, "arguments": "", "status": "in_progress"}),
        of("function_call_arguments.delta", item_id="fc_2", output_index=2, delta="{}"),  # 15
        of("function_call_arguments.done", item_id="fc_2", output_index=2, arguments="{}"),
        of("output_item.done", output_index=2, item=CALL),
        of("output_item.added", output_index=3, item={**CUSTOM, "input": ""}),
        of("custom_tool_call_input.delta", item_id="ctc_3", output_index=3, delta="x"),
        of("custom_tool_call_input.done", item_id="ctc_3", output_index=3, input="x"),  # 20
        of("output_item.done", output_index=3, item=CUSTOM),
        of("output_item.added", output_index=4, item={**SHELL, "status": "in_progress"}),
        of("output_item.done", output_index=4, item=SHELL),
        of("output_item.added", output_index=5, item={**PATCH, "status": "in_progress"}),
        of("output_item.done", output_index=5, item=PATCH),  # 25
        of("completed", response=completed()),
    ]
    return numbered(events)


def numbered(events: Sequence[dict[str, Any]]) -> Events:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def without(*places: int) -> Callable[[Events], Events]:
    return lambda events: numbered([event for place, event in enumerate(events) if place not in places])


def twice(place: int) -> Callable[[Events], Events]:
    return lambda events: numbered([*events[: place + 1], *events[place:]])


def swapped(place: int) -> Callable[[Events], Events]:
    """An event and the one after it, the other way round."""
    return lambda events: numbered([*events[:place], events[place + 1], events[place], *events[place + 2 :]])


def with_value(place: int, *path: str | int, to: object) -> Callable[[Events], Events]:
    def breach(events: Events) -> Events:
        spot: Any = events[place]
        for step in path[:-1]:
            spot = spot[step]
        spot[path[-1]] = to
        return events

    return breach


def without_field(place: int, *path: str | int) -> Callable[[Events], Events]:
    def breach(events: Events) -> Events:
        spot: Any = events[place]
        for step in path[:-1]:
            spot = spot[step]
        del spot[path[-1]]
        return events

    return breach


def test_a_right_stream_breaks_no_rule() -> None:
    assert event_violations(stream()) == []


@pytest.mark.parametrize("place", range(27))
def test_every_field_of_every_event_is_required(place: int) -> None:
    for name in stream()[place]:
        assert event_violations(without_field(place, name)(stream())) != [], name


@pytest.mark.parametrize(
    ("words", "breach"),
    [
        ("this type is unknown", with_value(4, "type", to="response.thinking.delta")),
        ("`delta` of the event is wrong", with_value(10, "delta", to=1)),
        ("`sequence_number` of the event is wrong", with_value(3, "sequence_number", to="3")),
        ("sequence number 3 comes after 3", with_value(4, "sequence_number", to=3)),
        (
            "sequence number 1 comes after -1",
            lambda events: [{**e, "sequence_number": n} for n, e in enumerate(events, 1)],
        ),
        ("a stream has response.created here", without(0)),
        ("a stream has response.in_progress here", without(1)),
        ("the response is created a second time", lambda events: numbered([*events[:5], events[0], *events[5:]])),
        ("there are 0 terminal events", without(26)),
        ("there are 2 terminal events", twice(26)),
        ("something follows the terminal event", swapped(25)),
        ("the id of the response has changed", with_value(26, "response", "id", to="resp_2")),
        ("the status is completed", with_value(26, "type", to="response.incomplete")),
        ("the status is completed", with_value(26, "type", to="response.failed")),
        ("the output is not the items that were done", with_value(26, "response", "output", to=[])),
        ("the output is not the items that were done", with_value(26, "response", "output", 1, "id", to="msg_2")),
        ("an item is still open", without(25)),
        ("output index 2 is not the next one, 1", with_value(8, "output_index", to=2)),
        ("output index 1 is not the next one, 2", twice(8)),
        ("no item was announced at output index 0", without(2)),
        ("an announced item has the status completed", with_value(14, "item", "status", to="completed")),
        ("an announced item has parts already", with_value(8, "item", "content", to=[PART])),
        ("the id of another item", with_value(18, "item", "id", to="fc_2")),
        ("the call_id of another item", with_value(18, "item", "call_id", to="c2")),
        ("the item is done", twice(25)),
        ("the item is done", lambda events: numbered([*events[:18], events[15], *events[18:]])),
        ("the item at this output index has another id", with_value(10, "item_id", to="msg_2")),
        ("content_index 1 is not the next one, 0", with_value(9, "content_index", to=1)),
        ("summary_index 1 is not the next one, 0", with_value(3, "summary_index", to=1)),
        ("another part of the item is open", twice(9)),
        ("no part of a message", with_value(9, "part", to={**SUMMARY, "text": ""})),
        ("a part of type `image` is unknown", with_value(9, "part", to={"type": "image"})),
        ("this part is not open", without(9)),
        ("this part is not open", with_value(10, "content_index", to=1)),
        ("this part is not open", with_value(12, "content_index", to=1)),
        ("the part is a output_text", with_value(10, "type", to="response.refusal.delta")),
        ("the part has become another kind", with_value(12, "part", to={"type": "refusal", "refusal": "Hi"})),
        ("the text of the part is not done", without(11)),
        ("the part is not what its deltas say", with_value(12, "part", "text", to="Ho")),
        ("`text` is not what the deltas say", with_value(11, "text", to="Ho")),
        ("`text` is not what the deltas say", without(4)),
        ("the text is done", swapped(10)),
        ("the text is done", twice(16)),
        ("the item is a function_call", with_value(15, "type", to="response.custom_tool_call_input.delta")),
        ("`arguments` is not what the deltas say", with_value(16, "arguments", to="{ }")),
        ("`input` is not what the deltas say", with_value(20, "input", to="y")),
        ("the arguments are not done", without(16)),
        ("the arguments are not done", without(20)),
        ("the arguments are not what the deltas say", with_value(17, "item", "arguments", to="{ }")),
        ("the arguments are not what the deltas say", with_value(21, "item", "input", to="y")),
        ("`id` is not what was announced", with_value(13, "item", "id", to="msg_2")),
        ("`type` is not what was announced", with_value(17, "item", to=CUSTOM)),
        ("`call_id` is not what was announced", with_value(17, "item", "call_id", to="c")),
        ("`name` is not what was announced", with_value(17, "item", "name", to="g")),
        ("`namespace` is not what was announced", with_value(17, "item", "namespace", to="n")),
        ("an item that is done is in progress", with_value(13, "item", "status", to="in_progress")),
        ("a part is open", without(12)),
        ("the parts are not those that were done", with_value(13, "item", "content", to=[])),
        ("the parts are not those that were done", with_value(7, "item", "summary", to=[])),
    ],
)
def test_a_breach_of_a_stream_is_said_in_words(words: str, breach: Callable[[Events], Events]) -> None:
    assert any(words in violation for violation in event_violations(breach(stream())))


@pytest.mark.parametrize(
    "response",
    [
        RESPONSE,
        completed(),
        ended_as(
            "incomplete", incomplete_details={"reason": "max_output_tokens"}, output=[{**CALL, "status": "incomplete"}]
        ),
        ended_as("failed", error={"code": "server_error", "message": "It broke."}, usage=None),
    ],
)
def test_a_right_response_breaks_no_rule(response: dict[str, Any]) -> None:
    assert response_violations(response) == []


@pytest.mark.parametrize("name", [*RESPONSE])
def test_every_field_of_a_response_is_required(name: str) -> None:
    response = {key: value for key, value in completed().items() if key != name}
    assert response_violations(response) == [f"response has no `{name}`"]


@pytest.mark.parametrize("place", range(len(OUTPUT)))
def test_every_field_of_every_item_is_required(place: int) -> None:
    for name in OUTPUT[place]:
        response = completed()
        del response["output"][place][name]
        assert response_violations(response) != [], name


@pytest.mark.parametrize(
    ("words", "response"),
    [
        ("`error` does not fit", {**completed(), "error": {"code": "server_error", "message": "It broke."}}),
        ("`error` does not fit", ended_as("failed")),
        ("error has no `code`", ended_as("failed", error={"message": "It broke."})),
        ("`message` of error is wrong", ended_as("failed", error={"code": "server_error", "message": ""})),
        ("`incomplete_details` does not fit", {**completed(), "incomplete_details": {"reason": "content_filter"}}),
        ("`incomplete_details` does not fit", ended_as("incomplete")),
        ("`reason` of incomplete_details is wrong", ended_as("incomplete", incomplete_details={"reason": "length"})),
        ("there is output before any item is done", {**RESPONSE, "output": [MESSAGE]}),
        ("there is no usage at the end", {**completed(), "usage": None}),
        (
            "usage has no `total_tokens`",
            {**completed(), "usage": {k: v for k, v in USAGE.items() if k != "total_tokens"}},
        ),
        ("input_tokens_details has no", {**completed(), "usage": {**USAGE, "input_tokens_details": {}}}),
        ("output_tokens_details has no", {**completed(), "usage": {**USAGE, "output_tokens_details": {}}}),
        ("the total of tokens is not their sum", {**completed(), "usage": {**USAGE, "total_tokens": 6}}),
        ("`input_tokens` of usage is wrong", {**completed(), "usage": {**USAGE, "input_tokens": True}}),
        ("two items of the output have the same id", {**completed(), "output": [CALL, CALL]}),
        ("an item is in progress", {**completed(), "output": [{**CALL, "status": "in_progress"}]}),
        ("an item is incomplete", {**completed(), "output": [{**CALL, "status": "incomplete"}]}),
        ("an item of type `thing` is unknown", {**completed(), "output": [{"type": "thing"}]}),
        ("`arguments` of function_call is wrong", {**completed(), "output": [{**CALL, "arguments": {}}]}),
        (
            "a message has no part of type `summary_text`",
            {**completed(), "output": [{**MESSAGE, "content": [SUMMARY]}]},
        ),
        (
            "part has no `annotations`",
            {**completed(), "output": [{**MESSAGE, "content": [{"type": "output_text", "text": ""}]}]},
        ),
        (
            "`command` of action is wrong",
            {**completed(), "output": [{**SHELL, "action": {"type": "exec", "command": "ls", "env": {}}}]},
        ),
        (
            "operation has no `diff`",
            {**completed(), "output": [{**PATCH, "operation": {"type": "update_file", "path": "a"}}]},
        ),
    ],
)
def test_a_breach_of_a_response_is_said_in_words(words: str, response: dict[str, Any]) -> None:
    assert any(words in violation for violation in response_violations(response))


@pytest.mark.parametrize(
    ("words", "raw"),
    [
        ("does not end with an empty line", b'event: a\ndata: {"type":"a"}\n'),
        ("is not one `event` and one `data` line", b'data: {"type":"a"}\n\n'),
        ("is not one `event` and one `data` line", b'event: a\ndata: {"type":\ndata: "a"}\n\n'),
        ("has no JSON in it", b"event: a\ndata: [DONE]x\n\n"),
        ("and its data is not", b'event: a\ndata: {"type":"b"}\n\n'),
        ("and its data is not", b"event: a\ndata: []\n\n"),
    ],
)
def test_a_breach_of_the_frame_is_said_in_words(words: str, raw: bytes) -> None:
    assert words in frame_violations(raw)[0]


def test_right_frames_are_read() -> None:
    raw = b'event: a\ndata: {"type":"a"}\n\nevent: b\ndata: {"type":"b"}\n\n'
    assert frame_violations(raw) == []
    assert [event["type"] for event in read_events(raw)] == ["a", "b"]
