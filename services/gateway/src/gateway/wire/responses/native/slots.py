"""One item of a provider's answer on its way through, and the events that tell it to a client when no others have."""

from collections.abc import Iterator
from typing import Any

from gateway.wire.responses.events import event_head
from gateway.wire.responses.native import events
from gateway.wire.responses.native.events import SAYINGS

Fields = dict[str, Any]
Event = tuple[str, Fields]


class Channel:
    """One text of an item, in deltas: what its events begin with, and what has been said."""

    __slots__ = ("fields", "head", "pieces")

    def __init__(self, name: str, fields: Fields) -> None:
        self.fields = fields
        self.head = event_head(name, fields)
        self.pieces: list[str] = []


class Slot:
    """One item. `index` and `id` are ours, `index` is None for one that is left out.

    `begun` is how it was announced, `item` how it ends, `has_ended` that its end was told, or is held back.
    `call_id`: the client has to answer it. `parts`: which beginnings and ends of its texts were told, by their place.
    """

    __slots__ = ("begun", "call_id", "channels", "has_ended", "id", "index", "item", "kind", "parts")

    def __init__(self, kind: str, index: int | None, id: str, call_id: str | None) -> None:
        self.kind = kind
        self.index = index
        self.id = id
        self.call_id = call_id
        self.begun: Fields | None = None
        self.item: Fields | None = None
        self.has_ended = False
        self.channels: dict[tuple[str, int | None], Channel] = {}
        self.parts: set[tuple[str, int]] = set()

    @property
    def where(self) -> Fields:
        """What every event about it says."""
        return {"item_id": self.id, "output_index": self.index}

    def so_far(self) -> Fields | None:
        """The item as its deltas told it, for one that a provider never ended."""
        if self.begun is None:
            return None
        item = {**self.begun, "status": "completed"} if "status" in self.begun else dict(self.begun)
        parts: dict[str, list[Fields]] = {}
        for (name, _), channel in self.channels.items():
            saying, text = SAYINGS[name], "".join(channel.pieces)
            if saying.part:
                parts.setdefault("summary" if name == events.SUMMARY else "content", []).append(
                    _part(saying.part, text)
                )
            else:
                item[saying.whole] = text
        return item | parts


def told(slot: Slot, item: Fields) -> Iterator[Event]:
    """The events that are missing until an item is done; `item` is how it ends."""
    if slot.begun is None:
        yield events.ITEM_ADDED, {"output_index": slot.index, "item": _emptied(item)}
    yield from _ended(slot) if slot.channels else _said(slot, item)
    yield events.ITEM_DONE, {"output_index": slot.index, "item": item}


def _ended(slot: Slot) -> Iterator[Event]:
    """The ends of texts that deltas have told and the provider has not ended."""
    for (name, place), channel in slot.channels.items():
        saying, text = SAYINGS[name], "".join(channel.pieces)
        if (_done(name), place or 0) not in slot.parts:
            yield _done(name), {**channel.fields, saying.whole: text}
        part_done = (saying.announced or "").removesuffix("added") + "done"
        if saying.announced is not None and (part_done, place or 0) not in slot.parts:
            where = {**slot.where, events.place_field(part_done): place or 0}
            yield part_done, {**where, "part": _part(saying.part, text)}


def _said(slot: Slot, item: Fields) -> Iterator[Event]:
    if slot.kind == "message":
        for place, part in enumerate(item.get("content") or ()):
            yield from _part_said(slot, part, place)
    elif slot.kind == "reasoning":
        for place, part in enumerate(item.get("summary") or ()):
            where = {**slot.where, "summary_index": place}
            if (events.SUMMARY_ADDED, place) not in slot.parts:
                yield events.SUMMARY_ADDED, {**where, "part": _part("summary_text", "")}
            yield events.SUMMARY, {**where, "delta": part.get("text") or ""}
            yield _done(events.SUMMARY), {**where, "text": part.get("text") or ""}
            yield events.SUMMARY_DONE, {**where, "part": part}
    elif slot.kind in ("function_call", "custom_tool_call"):
        name, field = (events.ARGUMENTS, "arguments") if slot.kind == "function_call" else (events.INPUT, "input")
        text = item.get(field) or ""
        yield name, {**slot.where, "delta": text}
        yield _done(name), {**slot.where, field: text}


def _part_said(slot: Slot, part: Fields, place: int) -> Iterator[Event]:
    name = events.REFUSAL if part.get("type") == "refusal" else events.TEXT
    saying, where = SAYINGS[name], {**slot.where, "content_index": place}
    text = part.get(saying.whole) or ""
    if (events.PART_ADDED, place) not in slot.parts:
        yield events.PART_ADDED, {**where, "part": _part(saying.part, "")}
    more: Fields = {"logprobs": []} if name == events.TEXT else {}
    yield name, {**where, "delta": text, **more}
    yield _done(name), {**where, saying.whole: text, **more}
    yield events.PART_DONE, {**where, "part": part}


def _done(name: str) -> str:
    return name.removesuffix("delta") + "done"


def announcement(name: str, where: Fields, place: int) -> Event | None:
    """What has to come before the first delta of that name."""
    saying = SAYINGS[name]
    if saying.announced is None:
        return None
    return saying.announced, {**where, events.place_field(saying.announced): place, "part": _part(saying.part, "")}


def _part(kind: str, text: str) -> Fields:
    if kind == "refusal":
        return {"type": kind, "refusal": text}
    return {"type": kind, "text": text} | ({"annotations": [], "logprobs": []} if kind == "output_text" else {})


_EMPTY: Fields = {"content": [], "summary": [], "arguments": "", "input": "", "status": "in_progress"}


def _emptied(item: Fields) -> Fields:
    """An item before it has said anything."""
    kind = item.get("type")
    if kind not in ("message", "reasoning", "function_call", "custom_tool_call"):
        return item
    return {name: _EMPTY.get(name, value) for name, value in item.items()}
