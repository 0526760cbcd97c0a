"""The doctor hears streams as a strict client does, and says what is wrong with their form."""

import json
from typing import Any

import pytest

from gateway.portal.doctor.answers import Heard, Turn
from gateway.portal.doctor.chat import CHAT
from gateway.portal.doctor.responses import RESPONSES
from tests.unit.gateway.portal.doctor_answers import (
    CALL_ID,
    CALL_ITEM,
    DONE,
    MESSAGE_ITEM,
    TURN,
    a_chunk,
    a_stream,
    chat_call,
    chat_words,
    numbered,
    response_events,
)


def heard_in_chat(payloads: list[object]) -> Heard:
    return CHAT.hear(a_stream(payloads).payloads)


def heard_in_responses(events: list[dict[str, Any]]) -> Heard:
    return RESPONSES.hear(a_stream(list(events)).payloads)


def test_a_chat_stream_is_complete_with_its_words_its_tokens_and_done() -> None:
    heard = heard_in_chat(chat_words())
    assert (heard.text, heard.tokens, heard.is_complete, heard.fault) == ("It is warm.", (11, 5), True, None)


def test_a_chat_stream_without_done_is_not_complete() -> None:
    assert not heard_in_chat(chat_words()[:-1]).is_complete


def test_pieces_of_a_chat_call_are_put_together() -> None:
    (call,) = heard_in_chat(chat_call()).calls
    assert (call.call_id, call.name, call.arguments) == (CALL_ID, "read_thermometer", '{"room": "kitchen"}')


def test_an_error_inside_a_chat_stream_is_heard_as_one() -> None:
    heard = heard_in_chat([a_chunk({"content": "It"}), {"error": {"code": "upstream_broken"}}])
    assert (heard.error, heard.is_complete) == ("upstream_broken", False)


@pytest.mark.parametrize(
    ("payloads", "fault"),
    [
        ([b"{"], "no JSON object"),
        ([{"object": "text_completion", "choices": []}], "no chunk"),
        ([*chat_words(), a_chunk({})], "after [DONE]"),
        ([a_chunk({"content": "x"}), DONE], "0 finish reasons"),
        ([a_chunk({}, finish="stop"), a_chunk({}, finish="stop"), DONE], "2 finish reasons"),
    ],
)
def test_a_chat_stream_of_another_form_is_at_fault(payloads: list[object], fault: str) -> None:
    assert fault in (heard_in_chat(payloads).fault or "")


def test_a_response_is_complete_with_its_items_its_tokens_and_its_last_event() -> None:
    heard = heard_in_responses(response_events(MESSAGE_ITEM))
    assert (heard.text, heard.tokens, heard.is_complete, heard.fault) == ("It is warm.", (11, 5), True, None)
    assert heard.items == (MESSAGE_ITEM,)


def test_a_call_in_a_response_is_heard_when_its_item_is_done() -> None:
    (call,) = heard_in_responses(response_events()).calls
    assert (call.call_id, call.arguments) == (CALL_ID, '{"room": "kitchen"}')


def test_a_response_without_a_last_event_is_not_complete() -> None:
    heard = heard_in_responses(response_events()[:-1])
    assert (heard.is_complete, heard.fault) == (False, None)


def test_a_failed_response_is_heard_as_an_error() -> None:
    failed = {"type": "response.failed", "response": {"id": "resp_1", "error": {"code": "server_error"}}}
    heard = heard_in_responses(numbered([*response_events()[:3], failed]))
    assert (heard.error, heard.is_complete) == ("server_error", False)


def without(events: list[dict[str, Any]], place: int) -> list[dict[str, Any]]:
    return numbered(events[:place] + events[place + 1 :])


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        (without(response_events(), 0), "response.created is not its first event"),
        (without(response_events(), 1), "done that was not begun"),
        (without(response_events(), 2), "ends while an item is open"),
        (without(response_events(MESSAGE_ITEM), 1), "not open"),
        (response_events()[:1] + response_events()[2:], "numbered"),
        ([*response_events(), {"type": "response.in_progress", "sequence_number": 4}], "after its end"),
    ],
)
def test_a_response_whose_events_are_out_of_order_is_at_fault(events: list[dict[str, Any]], fault: str) -> None:
    assert fault in (heard_in_responses(events).fault or "")


def test_a_last_event_that_lacks_the_items_is_at_fault() -> None:
    events = response_events()
    events[-1]["response"]["output"] = []
    assert "does not have the items" in (heard_in_responses(events).fault or "")


def test_chat_goes_on_with_the_call_as_it_came_and_its_result() -> None:
    asked = CHAT.go_on("smart-route", heard_in_chat(chat_call()))
    said, result = asked["messages"][-2:]
    assert said["tool_calls"][0]["id"] == result["tool_call_id"] == CALL_ID
    assert asked["messages"][0] == CHAT.ask("smart-route")["messages"][0]


def test_responses_goes_on_with_the_items_as_they_came_and_the_result() -> None:
    asked = RESPONSES.go_on("smart-route", heard_in_responses(response_events()))
    item, result = asked["input"][-2:]
    assert item == CALL_ITEM
    assert (result["type"], result["call_id"]) == ("function_call_output", CALL_ID)


@pytest.mark.parametrize("format", [CHAT, RESPONSES], ids=lambda format: format.name)
def test_every_request_is_a_stream_with_a_cap(format: Any) -> None:
    for body in (format.ask("a"), format.ask_plainly("a"), format.go_on("a", Heard())):
        assert body["stream"] is True
        assert (body.get("max_tokens") or body.get("max_output_tokens")) == 512
        json.dumps(body)
    assert "tools" not in format.ask_plainly("a")


def test_the_turn_is_read_from_its_header() -> None:
    assert Turn.read(f"{TURN}; call=2; calls=50") == Turn(TURN, 2, 50)


@pytest.mark.parametrize("value", ["", "no numbers", f"{TURN}; call=x; calls=50", f"{TURN}; call=2"])
def test_a_header_of_another_form_is_no_turn(value: str) -> None:
    assert Turn.read(value) is None
