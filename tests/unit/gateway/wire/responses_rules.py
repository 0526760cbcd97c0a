"""The rules that OpenAI publishes for responses and their streams, as checks that say in words what is broken.

`frame_violations` looks at bytes, `event_violations` at a stream of events, `response_violations` at a response object.
All of them are pure and return a list, empty when every rule is kept.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.unit.gateway.wire import responses_fields as fields

Event = Mapping[str, Any]

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_HEAD = ("response.created", "response.in_progress")
# What an item is announced with and has to keep.
_LASTING = ("id", "type", "call_id", "name", "namespace", "role")
# The texts of parts: the field that holds the text, the kind of part, and the field that numbers parts.
_PART_TEXTS = {
    "response.output_text": ("text", "output_text", "content_index"),
    "response.refusal": ("refusal", "refusal", "content_index"),
    "response.reasoning_text": ("text", "reasoning_text", "content_index"),
    "response.reasoning_summary_text": ("text", "summary_text", "summary_index"),
}
_CALL_TEXTS = {
    "response.function_call_arguments": ("arguments", "function_call"),
    "response.custom_tool_call_input": ("input", "custom_tool_call"),
}
_PARTS = {"response.content_part": "content_index", "response.reasoning_summary_part": "summary_index"}


def frame_violations(raw: bytes) -> list[str]:
    """What is wrong with the bytes of a stream: every event is an `event` line, a `data` line and an empty line."""
    if raw and not raw.endswith(b"\n\n"):
        return ["the stream does not end with an empty line"]
    found = []
    for number, frame in enumerate(raw.decode().split("\n\n")[:-1]):
        lines = frame.split("\n")
        if len(lines) != 2 or not lines[0].startswith("event: ") or not lines[1].startswith("data: "):
            found.append(f"frame {number} is not one `event` and one `data` line")
            continue
        try:
            data = json.loads(lines[1][6:])
        except ValueError:
            found.append(f"frame {number} has no JSON in it")
            continue
        if not isinstance(data, dict) or data.get("type") != lines[0][7:]:
            found.append(f"frame {number} is called {lines[0][7:]} and its data is not")
    return found


def read_events(raw: bytes) -> list[dict[str, Any]]:
    """The data of every event of a stream whose frames are right."""
    frames = raw.decode().split("\n\n")[:-1]
    return [json.loads(frame.split("\n")[1].removeprefix("data: ")) for frame in frames]


def response_violations(response: Mapping[str, Any]) -> list[str]:
    """What is wrong with a response object."""
    found = fields.missing("response", response, fields.RESPONSE)
    if found:
        return found
    status = response["status"]
    output = [item for item in response["output"] if isinstance(item, dict)]
    for item in output:
        found += fields.item_violations(item)
    ids = [item.get("id") for item in output] + [item["call_id"] for item in output if "call_id" in item]
    if len(set(ids)) != len(ids):
        found.append("two items of the output have the same id")
    if (response["error"] is not None) != (status == "failed"):
        found.append(f"`error` does not fit the status {status}")
    if (response["incomplete_details"] is not None) != (status == "incomplete"):
        found.append(f"`incomplete_details` does not fit the status {status}")
    return found + _ending_violations(response, [item.get("status") for item in output])


def _ending_violations(response: Mapping[str, Any], item_statuses: Sequence[str | None]) -> list[str]:
    status, found = response["status"], []
    if status == "in_progress" and response["output"]:
        found.append("there is output before any item is done")
    if status in ("completed", "incomplete"):
        if not isinstance(response["usage"], dict):
            found.append("there is no usage at the end")
        else:
            found += fields.usage_violations(response["usage"])
    if status == "incomplete" and response["incomplete_details"] is not None:
        found += fields.missing("incomplete_details", response["incomplete_details"], fields.INCOMPLETE_DETAILS)
    if status == "failed" and response["error"] is not None:
        found += fields.missing("error", response["error"], fields.ERROR)
    if "in_progress" in item_statuses and status != "in_progress":
        found.append("an item is in progress and the response is over")
    if status == "completed" and "incomplete" in item_statuses:
        found.append("an item is incomplete and the response is completed")
    return found


def event_violations(events: Sequence[Event]) -> list[str]:
    """What is wrong with a whole stream."""
    found = []
    stream = _Stream()
    for place, event in enumerate(events):
        wrong = fields.event_violations(event) or stream.take(place, event)
        found += [f"event {place} ({event.get('type')}): {words}" for words in wrong]
    return found + stream.end(events)


class _Item:
    """An item between its announcement and its end."""

    def __init__(self, announced: Mapping[str, Any]) -> None:
        self.announced = announced
        self.parts: list[dict[str, Any]] = []
        self.open_part: dict[str, Any] | None = None
        self.text: str | None = None  # of the open part, or of the call
        self.is_text_done = False
        self.done: Mapping[str, Any] | None = None


class _Stream:
    """What has been said so far, and what may follow."""

    def __init__(self) -> None:
        self._number = -1
        self._id: str | None = None
        self._items: list[_Item] = []

    def take(self, place: int, event: Event) -> list[str]:
        found = []
        number = event["sequence_number"]
        if number <= self._number or (place == 0 and number != 0):
            found.append(f"sequence number {number} comes after {self._number}")
        self._number = number
        if place < len(_HEAD) and event["type"] != _HEAD[place]:
            found.append(f"a stream has {_HEAD[place]} here")
        elif place > 0 and event["type"] == "response.created":
            found.append("the response is created a second time")
        return found + self._handler(event["type"])(event)

    def end(self, events: Sequence[Event]) -> list[str]:
        found = []
        terminal = [place for place, event in enumerate(events) if event.get("type") in TERMINAL]
        if len(terminal) != 1:
            found.append(f"there are {len(terminal)} terminal events")
        elif terminal != [len(events) - 1]:
            found.append("something follows the terminal event")
        return found

    def _handler(self, type: str) -> Callable[[Event], list[str]]:
        stem, _, verb = type.rpartition(".")
        if type == "response.output_item.added":
            return self._added
        if type == "response.output_item.done":
            return self._done
        if stem in _PARTS:
            return self._part_added if verb == "added" else self._part_done
        if stem in _PART_TEXTS or stem in _CALL_TEXTS:
            return self._text_delta if verb == "delta" else self._text_done
        return self._lifecycle

    def _lifecycle(self, event: Event) -> list[str]:
        response = event["response"]
        found = response_violations(response)
        if found:
            return found
        if self._id is not None and response["id"] != self._id:
            found.append("the id of the response has changed")
        self._id = response["id"]
        status = event["type"].removeprefix("response.")
        if response["status"] != ("in_progress" if status == "created" else status):
            found.append(f"the status is {response['status']}")
        if event["type"] in TERMINAL:
            done = [item.done for item in self._items if item.done is not None]
            if response["output"] != done:
                found.append("the output is not the items that were done, in their order")
            if status != "failed" and len(done) != len(self._items):
                found.append("an item is still open")
        return found

    def _added(self, event: Event) -> list[str]:
        item, index = event["item"], event["output_index"]
        found = fields.item_violations(item)
        if index != len(self._items):
            return [*found, f"output index {index} is not the next one, {len(self._items)}"]
        if item.get("status", "in_progress") != "in_progress":
            found.append(f"an announced item has the status {item['status']}")
        for name in ("id", "call_id"):
            if item.get(name) is not None and item[name] in [other.announced.get(name) for other in self._items]:
                found.append(f"the {name} of another item")
        if item.get("content") or item.get("summary"):
            found.append("an announced item has parts already")
        new = _Item(item)
        if item.get("type") in ("function_call", "custom_tool_call"):
            new.text = item.get("arguments", item.get("input"))
        self._items.append(new)
        return found

    def _item(self, event: Event) -> _Item | str:
        index = event["output_index"]
        if not 0 <= index < len(self._items):
            return f"no item was announced at output index {index}"
        item = self._items[index]
        if item.done is not None:
            return "the item is done"
        if "item_id" in event and event["item_id"] != item.announced.get("id"):
            return "the item at this output index has another id"
        return item

    def _part_added(self, event: Event) -> list[str]:
        item = self._item(event)
        if isinstance(item, str):
            return [item]
        found = fields.part_violations(event["part"])
        numbered = _PARTS[event["type"].rpartition(".")[0]]
        if event[numbered] != len(item.parts):
            found.append(f"{numbered} {event[numbered]} is not the next one, {len(item.parts)}")
        if item.open_part is not None:
            found.append("another part of the item is open")
        if event["part"].get("type") not in fields.PARTS_OF.get(item.announced.get("type", ""), ()):
            found.append(f"no part of a {item.announced['type']}")
        item.open_part, item.text, item.is_text_done = dict(event["part"]), "", False
        return found

    def _part_done(self, event: Event) -> list[str]:
        item = self._item(event)
        if isinstance(item, str):
            return [item]
        numbered = _PARTS[event["type"].rpartition(".")[0]]
        if item.open_part is None or event[numbered] != len(item.parts):
            return ["this part is not open"]
        found = fields.part_violations(event["part"])
        part = event["part"]
        if part.get("type") != item.open_part.get("type"):
            found.append("the part has become another kind")
        if not item.is_text_done:
            found.append("the text of the part is not done")
        if part.get("text", part.get("refusal")) != item.text:
            found.append("the part is not what its deltas say")
        item.parts.append(dict(part))
        item.open_part, item.text = None, None
        return found

    def _written_to(self, event: Event) -> tuple[_Item | None, str, list[str]]:
        """The item whose text an event is about, the field of its `done`, and why it cannot be."""
        stem = event["type"].rpartition(".")[0]
        item = self._item(event)
        if isinstance(item, str):
            return None, "", [item]
        if stem in _CALL_TEXTS:
            field, kind = _CALL_TEXTS[stem]
            if item.announced.get("type") != kind:
                return None, field, [f"the item is a {item.announced['type']}"]
        else:
            field, kind, numbered = _PART_TEXTS[stem]
            if item.open_part is None or event[numbered] != len(item.parts):
                return None, field, ["this part is not open"]
            if item.open_part.get("type") != kind:
                return None, field, [f"the part is a {item.open_part['type']}"]
        return (None, field, ["the text is done"]) if item.is_text_done else (item, field, [])

    def _text_delta(self, event: Event) -> list[str]:
        item, _, found = self._written_to(event)
        if item is not None:
            item.text = (item.text or "") + event["delta"]
        return found

    def _text_done(self, event: Event) -> list[str]:
        item, field, found = self._written_to(event)
        if item is not None:
            item.is_text_done = True
            if event[field] != item.text:
                found.append(f"`{field}` is not what the deltas say")
        return found

    def _done(self, event: Event) -> list[str]:
        item = self._item(event)
        if isinstance(item, str):
            return [item]
        done, found = event["item"], fields.item_violations(event["item"])
        for name in _LASTING:
            if done.get(name) != item.announced.get(name):
                found.append(f"`{name}` is not what was announced")
        if done.get("status") == "in_progress":
            found.append("an item that is done is in progress")
        if item.open_part is not None:
            found.append("a part is open")
        if done.get("content", done.get("summary", [])) != item.parts:
            found.append("the parts are not those that were done")
        if done.get("type") in ("function_call", "custom_tool_call"):
            if not item.is_text_done:
                found.append("the arguments are not done")
            if done.get("arguments", done.get("input")) != item.text:
                found.append("the arguments are not what the deltas say")
        item.done = done
        return found
