"""Answers of a Responses provider to a Responses client: what passes, what is ours, what is held back."""

import json

import pytest

from tests.unit.gateway.wire.responses_provider_events import (
    BRAND,
    HEX,
    Event,
    about,
    added,
    asked,
    call,
    call_events,
    completed,
    created,
    done,
    ended,
    fed,
    message,
    new_answer,
    passed,
    raw,
    reasoning,
    reasoning_events,
    text_events,
    types,
)
from tests.unit.gateway.wire.responses_rules import event_violations, read_events, response_violations

DONE = b"data: [DONE]\n\n"
SEALED = {"include": ["reasoning.encrypted_content"]}


def restored(events: list[Event]) -> list[Event]:
    """Our ids, numbers and seals turned back into the provider's, as far as they can be."""
    text = json.dumps(events)
    for place, kind in enumerate(("rs_", "msg_", "fc_")):
        text = text.replace(f"{kind}{HEX}{place:04x}", f"{kind}{BRAND}" + ("" if kind == "rs_" else str(place)))
    back: list[Event] = json.loads(text.replace('"call_0"', f'"call_{BRAND}2"').replace('"sealed:0"', f'"{BRAND}"'))
    return [{name: value for name, value in event.items() if name != "sequence_number"} for event in back]


def test_what_passes_differs_from_the_providers_events_only_in_what_is_ours() -> None:
    events = [*reasoning_events(["Hm"]), *text_events(["Hel", "lo"], 1), *call_events(['{"a"', ":1}"], 2)]
    sent = passed(ended(events), **SEALED)
    assert event_violations(sent) == []
    plain = [{name: value for name, value in event.items()} for event in events]
    for event in plain:
        if "item" in event:
            event["item"] = {name: value for name, value in event["item"].items() if name != "created_by"}
    assert restored(sent[2:-1]) == plain
    output = [event["item"] for event in plain if event["type"] == "response.output_item.done"]
    assert restored([{"output": sent[-1]["response"]["output"]}]) == [{"output": output}]


def test_the_response_object_repeats_the_clients_request_and_not_the_providers_words() -> None:
    sent = passed(ended(text_events(["Hi"])), instructions="Be brief.", metadata={"a": "b"})
    final = sent[-1]["response"]
    assert response_violations(final) == []
    assert (final["id"], final["model"], final["created_at"]) == (f"resp_{HEX}", "smart-route-mini", 1_700_000_000)
    assert (final["instructions"], final["metadata"], final["tools"]) == ("Be brief.", {"a": "b"}, [])
    assert final["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }
    assert "service_tier" in asked().echo
    assert final.keys() == sent[0]["response"].keys()


def test_numbers_rise_from_zero_without_a_gap() -> None:
    sent = passed(ended([*text_events(["a", "b"]), *call_events(["{}"], 1)]))
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))


# --- what is held back


def test_nothing_leaves_before_the_model_says_something() -> None:
    answer = new_answer()
    events = ended(text_events(["Hi"]))
    assert answer.feed(raw(events[:4])) == b""
    assert (answer.has_content, answer.heartbeat()) == (False, b"")
    assert types(fed(answer, events[4:5])) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
    ]
    assert answer.has_content
    assert types(read_events(answer.heartbeat())) == ["in_progress"]


def test_thoughts_that_nobody_can_read_are_no_beginning() -> None:
    answer = new_answer()
    assert answer.feed(raw([*created(), added(reasoning()), done(reasoning())])) == b""
    assert not answer.has_content
    assert "reasoning_summary_text.delta" in types(fed(answer, reasoning_events(["Hm"])))
    assert not answer.has_content


def test_a_call_begins_at_once_and_is_done_with_the_end_only() -> None:
    answer = new_answer()
    events = ended(call_events(["{", "}"]))
    sent = fed(answer, events)
    assert types(sent)[2:] == ["output_item.added", *["function_call_arguments.delta"] * 2]
    assert (answer.is_done, answer.has_content, answer.finish_reason) == (True, True, "tool_calls")
    end = read_events(answer.finish())
    assert types(end) == ["function_call_arguments.done", "output_item.done", "completed"]
    assert end[1]["item"]["call_id"] == end[2]["response"]["output"][0]["call_id"] == "call_0"


def test_text_after_a_call_does_not_wait_for_the_end() -> None:
    answer = new_answer()
    sent = fed(answer, [*created(), *call_events(["{}"]), *text_events(["Hi"], 1)])
    assert types(sent)[-1] == "output_item.done"
    assert sent[-1]["output_index"] == 1
    answer.feed(raw([completed(call("{}"), message("Hi", place=1))]))
    assert event_violations(sent + read_events(answer.finish())) == []


@pytest.mark.parametrize(
    "item",
    [
        {"type": "custom_tool_call", "name": "patch", "input": "x"},
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}, "status": "completed"},
        {"type": "shell_call", "action": {"commands": ["ls"]}, "status": "completed"},
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}, "status": "completed"},
        {"type": "tool_search_call", "execution": "client", "arguments": {"query": "a"}, "status": "completed"},
    ],
)
def test_calls_of_every_kind_wait_and_get_our_ids(item: Event) -> None:
    whole = {"id": f"x_{BRAND}", "call_id": BRAND, **item}
    answer = new_answer()
    assert types(fed(answer, [*created(), added(whole), done(whole), completed(whole)]))[2:] == ["output_item.added"]
    end = read_events(answer.finish())
    kept = {name: value for name, value in end[-1]["response"]["output"][0].items() if name not in ("id", "call_id")}
    assert kept == item
    assert end[-1]["response"]["output"][0]["call_id"] == "call_0"


def test_interleaved_calls_keep_their_own_ids() -> None:
    first, second = call_events(["1", "2"], 0), call_events(["3", "4"], 1, "g")
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    sent = passed([*created(), *mixed, completed(call("12"), call("34", name="g", place=1))])
    assert event_violations(sent) == []
    calls = sent[-1]["response"]["output"]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in calls] == [
        ("call_0", "f", "12"),
        ("call_1", "g", "34"),
    ]


# --- what providers leave out


def test_items_that_are_only_in_the_last_event_are_told_as_events() -> None:
    sent = passed([*created(), completed(reasoning("Hm"), message("Hi"), call("{}"))], **SEALED)
    assert event_violations(sent) == []
    assert [event["delta"] for event in sent if event["type"].endswith(".delta")] == ["Hm", "Hi", "{}"]
    assert types(sent).count("output_item.done") == 3


def test_an_empty_output_in_the_last_event_is_filled_with_what_was_streamed() -> None:
    sent = passed([*created(), *text_events(["Hi"]), *call_events(["{}"], 1), completed()])
    assert event_violations(sent) == []
    assert [item["type"] for item in sent[-1]["response"]["output"]] == ["message", "function_call"]


def test_text_and_arguments_that_come_all_at_once_are_told_as_deltas() -> None:
    silent = [
        event for event in ended([*text_events(["Hi"]), *call_events(["{}"], 1)]) if ".delta" not in event["type"]
    ]
    sent = passed(silent)
    assert event_violations(sent) == []
    assert [event["delta"] for event in sent if event["type"].endswith(".delta")] == ["Hi", "{}"]


def test_deltas_of_an_item_that_was_never_announced_announce_it() -> None:
    events = [event for event in text_events(["Hi"]) if not event["type"].endswith(".added")]
    sent = passed([*created(), *events, completed(message("Hi"))])
    assert event_violations(sent) == []
    assert types(sent)[2:5] == ["output_item.added", "content_part.added", "output_text.delta"]


def test_ids_that_change_between_events_are_one_id_of_ours() -> None:
    events = ended([*text_events(["Hi"]), *call_events(["{}"], 1)])
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] += str(number)
        if "item" in event:
            event["item"] = {**event["item"], "id": event["item"]["id"] + str(number)}
    sent = passed(events)
    assert event_violations(sent) == []
    assert len(sent[-1]["response"]["output"]) == 2


def test_a_call_that_is_only_in_the_last_event_is_not_taken_for_another_one() -> None:
    streamed, renamed, late = call_events(["{}"]), call("{}", place=7), call("[]", name="g", place=8)
    sent = passed([*created(), *streamed, completed(renamed, late)])
    assert event_violations(sent) == []
    assert [(item["name"], item["arguments"]) for item in sent[-1]["response"]["output"]] == [("f", "{}"), ("g", "[]")]


def test_items_that_all_claim_one_index_are_told_apart_by_their_ids() -> None:
    events = ended([*text_events(["Hi"]), *call_events(["{}"], 1), *call_events(["[]"], 2)])
    for event in events:
        event.update({"output_index": 0} if "output_index" in event else {})
    sent = passed(events)
    assert event_violations(sent) == []
    assert [item["type"] for item in sent[-1]["response"]["output"]] == ["message", "function_call", "function_call"]


def test_a_stream_that_ends_with_done_and_no_last_event_is_ended_by_us() -> None:
    events = [*created(), *text_events(["Hi"]), *call_events(["{}"], 1)[:-1]]
    answer = new_answer()
    sent = answer.feed(raw(events) + DONE)
    assert (answer.is_done, answer.failure) == (True, None)
    final = read_events(sent + answer.finish())
    assert types(final)[-1] == "completed"
    assert [item.get("arguments") for item in final[-1]["response"]["output"]] == [None, "{}"]


def test_a_call_without_an_id_gets_one_and_arguments_as_an_object_become_text() -> None:
    odd = {"type": "function_call", "name": "f", "arguments": {"a": 1}, "status": "completed"}
    sent = passed([*created(), done(odd), completed(odd)])
    item = sent[-1]["response"]["output"][0]
    assert (item["call_id"], item["arguments"]) == ("call_0", '{"a":1}')
    assert event_violations(sent) == []


# --- state


def test_state_is_sealed_once_and_given_to_those_who_asked_for_it() -> None:
    events = ended([*reasoning_events(["Hm"]), *text_events(["Hi"], 1)])
    sent = passed(events, **SEALED)
    states = {event["item"]["encrypted_content"] for event in sent if event.get("item", {}).get("type") == "reasoning"}
    assert states == {"sealed:0"}
    assert sent[-1]["response"]["output"][0]["encrypted_content"] == "sealed:0"


def test_who_stores_has_the_state_kept_and_not_sent() -> None:
    answer = new_answer(store=True)
    sent = answer.feed(raw(ended([*reasoning_events(["Hm"]), *text_events(["Hi"], 1)])))
    kept = answer.completed()
    end = answer.finish()
    assert kept["output"][0]["encrypted_content"] == "sealed:0"
    assert b"encrypted_content" not in sent + end
    final = read_events(end)[-1]["response"]
    assert {**kept, "output": []} == {**final, "output": []}
    assert final["store"] is True


def test_an_answer_that_could_not_be_stored_says_so() -> None:
    answer = new_answer(store=True)
    answer.feed(raw(ended(text_events(["Hi"]))))
    answer.completed()["store"] = False
    assert read_events(answer.finish())[-1]["response"]["store"] is False


def test_a_compaction_is_an_answer_and_its_state_sealed() -> None:
    item = {"id": BRAND, "type": "compaction", "encrypted_content": BRAND}
    answer = new_answer()
    sent = answer.feed(raw([*created(), added(item), done(item), completed(item)]))
    final = read_events(sent + answer.finish())
    assert answer.has_content
    ours = {"id": f"cmp_{HEX}0000", "type": "compaction", "encrypted_content": "sealed:0"}
    assert final[-1]["response"]["output"] == [ours | {"encrypted_content": final[-2]["item"]["encrypted_content"]}]


# --- hosted tools and what is newer than this


def test_a_hosted_tool_passes_with_its_progress_and_without_what_is_the_providers() -> None:
    search = {"id": f"ws_{BRAND}", "type": "web_search_call", "status": "completed"}
    action = {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example", "rank": BRAND}]}
    events = [
        added({**search, "status": "in_progress"}),
        about(search, "web_search_call.searching"),
        about(search, f"web_search_call.{BRAND}"),
        done({**search, "action": {**action, "engine": BRAND}}),
        *text_events(["Hi"], 1),
    ]
    sent = passed(ended(events))
    assert types(sent)[2:5] == ["output_item.added", "web_search_call.searching", "output_item.done"]
    assert sent[4]["item"] == {
        "id": f"ws_{HEX}0000",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example"}]},
    }


def test_an_item_of_an_unknown_type_leaves_no_trace_and_no_hole() -> None:
    odd = {"id": "x", "type": f"{BRAND}_call", "status": "completed", "output": "x"}
    events = [added(odd), about(odd, f"{BRAND}_call.in_progress"), done(odd), *text_events(["Hi"], 1)]
    sent = passed(ended(events))
    assert event_violations(sent) == []
    assert [item["type"] for item in sent[-1]["response"]["output"]] == ["message"]


def test_an_item_of_a_type_that_the_client_declared_passes_with_its_plain_fields() -> None:
    odd = {"id": "x", "type": "vendor_call", "call_id": BRAND, "input": "in", "engine": BRAND, "status": "completed"}
    events = [added(odd), about(odd, "vendor_call.in_progress"), done(odd)]
    sent = passed(ended(events), tools=[{"type": "vendor"}])
    assert types(sent)[2:] == ["output_item.added", "vendor_call.in_progress", "output_item.done", "completed"]
    item = sent[-1]["response"]["output"][0]
    assert item == {
        "id": f"item_{HEX}0000",
        "type": "vendor_call",
        "call_id": "call_0",
        "input": "in",
        "status": "completed",
    }


def test_citations_pass_with_ids_of_ours_for_what_stays_at_the_provider() -> None:
    url = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "A", "url": "https://a.example"}
    file = {"type": "container_file_citation", "filename": "a.txt", "file_id": BRAND, "container_id": BRAND}
    part = {"type": "output_text", "text": "Hi", "annotations": [{**url, BRAND: BRAND}, file, {"type": BRAND}]}
    event = about(message(), "output_text.annotation.added", content_index=0, annotation_index=1, annotation=file)
    events = [*text_events(["Hi"])[:3], event, done({**message(), "content": [part]})]
    sent = passed(ended(events))
    ours = {**file, "file_id": f"file_{HEX}f0000", "container_id": f"cntr_{HEX}f0001"}
    assert next(event["annotation"] for event in sent if "annotation" in event) == ours
    assert sent[-1]["response"]["output"][0]["content"] == [{**part, "annotations": [url, ours]}]


def test_probabilities_pass_in_their_standard_form() -> None:
    one = {"token": "Hi", "logprob": -1.0, "bytes": [72, 105]}
    more = {**one, "top_logprobs": [{**one, BRAND: BRAND}], BRAND: BRAND}
    events = text_events(["Hi"])
    events[2]["logprobs"] = [more]
    sent = passed(ended(events))
    assert next(event for event in sent if event["type"].endswith("text.delta"))["logprobs"] == [
        {**one, "top_logprobs": [one]}
    ]
