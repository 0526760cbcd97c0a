"""Tool calls in response streams: apart from each other, in their order, and never done before they hold."""

import json
from typing import Any

import pytest

from gateway.wire.canonical import CallBegun, CallDelta, Delta, Finished, TextDelta
from tests.unit.gateway.wire.responses_answers import HEX, STOP, TOOLBOX, fed, new_encoder, output, streamed, types
from tests.unit.gateway.wire.responses_rules import event_violations, read_events


def test_a_function_call_streams_its_arguments_and_is_done_at_the_end_only() -> None:
    encoder = new_encoder()
    begun = fed(encoder, [CallBegun(0, "look"), CallDelta(0, '{"a"'), CallDelta(0, ":1}"), Finished("tool_calls")])
    assert types(begun)[2:] == ["output_item.added", *["function_call_arguments.delta"] * 2]
    ended = read_events(encoder.finish())
    assert types(ended) == ["function_call_arguments.done", "output_item.done", "completed"]
    assert event_violations(begun + ended) == []
    assert output(ended) == [
        {
            "id": f"fc_{HEX}0000",
            "call_id": "call_0",
            "status": "completed",
            "type": "function_call",
            "name": "look",
            "arguments": '{"a":1}',
        }
    ]


def test_a_namespaced_function_has_its_namespace_from_the_first_event_on() -> None:
    events = streamed([CallBegun(0, TOOLBOX.name_of("find", "mcp__files")), CallDelta(0, "{}"), STOP])
    items = [event["item"] for event in events if "item" in event]
    assert [(item["name"], item["namespace"]) for item in items] == [("find", "mcp__files")] * 2


def test_arguments_that_never_come_are_an_empty_object() -> None:
    events = streamed([CallBegun(0, "look"), CallDelta(0, ""), STOP])
    assert output(events)[0]["arguments"] == "{}"


def test_the_input_of_a_custom_tool_may_be_empty() -> None:
    events = streamed([CallBegun(0, "patch"), STOP])
    assert output(events)[0]["input"] == ""
    assert "custom_tool_call_input.delta" not in types(events)


def test_interleaved_calls_stay_apart() -> None:
    calls: list[Delta] = [CallBegun(0, "look"), CallBegun(1, "look")]
    pieces: list[Delta] = [CallDelta(1, '{"b":'), CallDelta(0, '{"a":'), CallDelta(1, "2}"), CallDelta(0, "1}")]
    first, second = output(streamed([*calls, *pieces, Finished("tool_calls")]))
    assert (first["call_id"], first["arguments"]) == ("call_0", '{"a":1}')
    assert (second["call_id"], second["arguments"]) == ("call_1", '{"b":2}')


def test_arguments_that_come_before_their_call_wait_for_it() -> None:
    deltas: list[Delta] = [CallDelta(0, '{"a"'), CallBegun(0, "look"), CallDelta(0, ":1}"), CallBegun(0, "patch"), STOP]
    (call,) = output(streamed(deltas))
    assert (call["type"], call["arguments"]) == ("function_call", '{"a":1}')


def test_text_after_a_call_is_a_message_of_its_own() -> None:
    events = streamed([TextDelta("a"), CallBegun(0, "look"), TextDelta("b"), TextDelta("c"), STOP])
    assert [item["type"] for item in output(events)] == ["message", "function_call", "message"]
    assert output(events)[2]["content"][0]["text"] == "bc"


def test_a_custom_call_is_announced_when_it_is_whole() -> None:
    encoder = new_encoder()
    begun = fed(encoder, [CallBegun(0, "patch"), CallDelta(0, '{"input":"*** Be'), CallDelta(0, 'gin"}')])
    assert types(begun) == ["created", "in_progress"]
    ended = read_events(encoder.finish())
    assert event_violations(begun + ended) == []
    assert types(ended) == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    assert (ended[0]["item"]["input"], ended[1]["delta"]) == ("", "*** Begin")
    assert (output(ended)[0]["id"], output(ended)[0]["name"]) == (f"ctc_{HEX}0000", "patch")


@pytest.mark.parametrize(
    ("name", "arguments", "prefix", "expected"),
    [
        ("local_shell", {"command": ["ls"]}, "lsh", {"action": {"type": "exec", "command": ["ls"], "env": {}}}),
        (
            "apply_patch",
            {"type": "delete_file", "path": "a"},
            "apc",
            {"operation": {"type": "delete_file", "path": "a"}},
        ),
        ("tool_search", {"query": "q"}, "tsc", {"arguments": {"query": "q"}, "execution": "client"}),
    ],
)
def test_other_calls_are_announced_and_done_at_once(
    name: str, arguments: dict[str, Any], prefix: str, expected: dict[str, Any]
) -> None:
    events = streamed([CallBegun(0, name), CallDelta(0, json.dumps(arguments)), STOP])
    assert types(events)[2:] == ["output_item.added", "output_item.done", "completed"]
    (item,) = output(events)
    assert (item["id"], item["status"]) == (f"{prefix}_{HEX}0000", "completed")
    assert item | expected == item


def test_calls_stay_in_the_order_in_which_the_model_made_them() -> None:
    deltas: list[Delta] = [
        CallBegun(0, "look"),
        CallBegun(1, "patch"),
        CallBegun(2, "look"),
        CallDelta(2, '{"a":1}'),
        TextDelta("a"),
    ]
    events = streamed([*deltas, STOP])
    ids = [item["call_id"] for item in output(events) if "call_id" in item]
    assert ids == ["call_0", "call_1", "call_2"]
    assert output(events)[-1]["arguments"] == '{"a":1}'


@pytest.mark.parametrize(
    "arguments",
    ['{"query": "\\ud800"}', '{"query": ' + "[" * 100 + "]" * 100 + "}"],
    ids=["half a character", "too deep"],
)
def test_an_action_that_cannot_be_written_is_a_plain_function_call(arguments: str) -> None:
    (call,) = output(streamed([CallBegun(0, "tool_search"), CallDelta(0, arguments), STOP]))
    assert (call["type"], call["arguments"]) == ("function_call", arguments)


@pytest.mark.parametrize("arguments", ["", '{"cmd":"rm -r /tm'])
def test_a_call_that_was_cut_is_not_completed(arguments: str) -> None:
    calls: list[Delta] = [CallBegun(0, "look"), CallDelta(0, "{}"), CallBegun(1, "look"), CallDelta(1, arguments)]
    whole, cut = output(streamed([*calls, Finished("length")]))
    assert (whole["status"], cut["status"], cut["arguments"]) == ("completed", "incomplete", arguments)


def test_a_call_that_was_cut_before_it_was_announced_is_left_out() -> None:
    calls: list[Delta] = [
        CallBegun(0, "patch"),
        CallDelta(0, '{"input":"a"}'),
        CallBegun(1, "patch"),
        CallDelta(1, '{"input":"b'),
    ]
    (whole,) = output(streamed([*calls, Finished("length")]))
    assert whole["input"] == "a"
