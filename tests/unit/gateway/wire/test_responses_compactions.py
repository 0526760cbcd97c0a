"""Compactions out: exactly one sealed item, and never an empty one."""

import json
from typing import Any

import pytest

from gateway.wire.canonical import (
    CallBegun,
    Counted,
    Delta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.responses.brief import from_text
from gateway.wire.responses.compaction import CompactionEncoder
from gateway.wire.responses.encode import to_response
from gateway.wire.usage import Usage
from tests.unit.gateway.wire.responses_answers import ECHO, HEX, IDENTITY, STOP
from tests.unit.gateway.wire.responses_rules import event_violations, frame_violations, read_events, response_violations

SUMMARY: list[Delta] = [ReasoningDelta("hm"), TextDelta("We did "), CallBegun(0, "look"), TextDelta("much."), STOP]
ITEM = {"id": f"cmp_{HEX}0000", "type": "compaction", "encrypted_content": "<We did much.|call_0>"}


def sealed(text: str) -> str:
    brief = from_text(text)
    assert brief is not None
    return f"<{brief.summary}|{brief.call_id}>"


def new_encoder() -> CompactionEncoder:
    return CompactionEncoder(IDENTITY, lambda place: f"call_{place}", echo=ECHO, seal=sealed, stores=False)


def streamed(deltas: list[Delta]) -> list[dict[str, Any]]:
    encoder = new_encoder()
    raw = b"".join([encoder.feed(delta) for delta in deltas]) + encoder.finish()
    events = read_events(raw)
    assert frame_violations(raw) + event_violations(events) == []
    return events


def test_a_compaction_is_one_sealed_item_and_nothing_else() -> None:
    events = streamed(SUMMARY)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    assert events[3]["item"] == ITEM
    assert events[-1]["response"]["output"] == [ITEM]


def test_nothing_of_the_summary_leaves_before_the_end() -> None:
    encoder = new_encoder()
    assert encoder.heartbeat() + encoder.feed(TextDelta("")) == b""
    raw = encoder.feed(TextDelta("secret")) + encoder.heartbeat()
    assert [event["type"] for event in read_events(raw)] == ["response.created", *["response.in_progress"] * 2]
    assert b"secret" not in raw


def test_a_model_that_still_thinks_keeps_the_stream_alive() -> None:
    encoder = new_encoder()
    assert encoder.feed(ReasoningDelta("hm")) != b""
    assert encoder.heartbeat() != b""


def test_a_whole_compaction_is_the_object_that_the_stream_ends_with() -> None:
    deltas: list[Delta] = [*SUMMARY, Counted(Usage(3, 0, 2, 0, is_plausible=True))]
    whole = json.loads(to_response(deltas, encoder=new_encoder()))
    assert response_violations(whole) == []
    assert whole == streamed(deltas)[-1]["response"]
    assert whole["usage"]["total_tokens"] == 5


def test_a_summary_that_was_cut_is_still_handed_over() -> None:
    response = streamed([TextDelta("We did"), Finished("length")])[-1]["response"]
    assert (response["status"], response["output"][0]["encrypted_content"]) == ("completed", "<We did|call_0>")


def test_a_filtered_summary_is_not() -> None:
    response = streamed([TextDelta("We did"), Finished("content_filter")])[-1]["response"]
    assert (response["status"], response["output"]) == ("incomplete", [])


@pytest.mark.parametrize("silence", [[], [TextDelta(" \n")], [RefusalDelta("No.")], [CallBegun(0, "look")]])
def test_an_empty_summary_fails_since_it_would_erase_the_conversation(silence: list[Delta]) -> None:
    events = streamed([*silence, STOP])
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"


def test_a_compaction_that_breaks_off_has_no_item() -> None:
    encoder = new_encoder()
    events = read_events(encoder.feed(TextDelta("We")) + encoder.fail("server_error", "It broke."))
    assert event_violations(events) == []
    assert events[-1]["response"]["output"] == []
    assert encoder.feed(TextDelta("b")) + encoder.heartbeat() + encoder.finish() + encoder.fail("x", "y") == b""


def test_a_compaction_ends_once() -> None:
    encoder = new_encoder()
    encoder.feed(TextDelta("We"))
    assert encoder.completed() == encoder.completed()
    assert encoder.finish() != b""
    assert encoder.finish() + encoder.fail("x", "y") + encoder.heartbeat() == b""
