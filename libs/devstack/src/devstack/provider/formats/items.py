"""The output items of the Responses API, and the events with which each one is built up in a stream."""

import json
from collections.abc import Iterator

from devstack.provider.answers import Answer, ToolCall
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.offers import Offer, offer_named, offers
from devstack.provider.payload import JsonObject, objects, pieces, text_at

# The field that deltas fill, and the name of their events, by the type of item.
_STREAMED = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
_PADDING = "k3Xw9qLmT0bZ8rVs"


def output_items(answer: Answer, request: Request, identity: Identity) -> list[JsonObject]:
    """The finished items: reasoning, message, calls; or a compaction. An answer of nothing has none."""
    if answer.compaction is not None:
        sealed = identity.issue(answer.compaction)
        return [{"id": identity.item_id("cmp", 0), "type": "compaction", "encrypted_content": sealed}]
    items: list[JsonObject] = []
    if answer.state is not None:
        items.append(_reasoning(answer, request, identity))
    parts = list(_parts(answer))
    if parts:
        is_cut = answer.ending in ("length", "content_filter")
        head = {"id": identity.item_id("msg", len(items)), "type": "message"}
        items.append({**head, "status": "incomplete" if is_cut else "completed", "role": "assistant", "content": parts})
    offered = offers(request)
    for place, call in enumerate(answer.tool_calls):
        offer = offer_named(offered, call.name if call.namespace is None else f"{call.namespace}__{call.name}")
        items.append(_call(call, place, offer, identity))
    return [{**item, **identity.delta_extras()} for item in items]


def item_events(item: JsonObject, count: int | None) -> Iterator[JsonObject]:
    """`output_item.added`, what fills the item, `output_item.done`; their `output_index` is the caller's."""
    yield {"type": "response.output_item.added", "item": _opened(item)}
    filling: Iterator[JsonObject] = iter(())
    if item["type"] == "message":
        filling = _message_events(item, count)
    elif item["type"] == "reasoning":
        filling = _summary_events(item, count)
    elif item["type"] in _STREAMED:
        filling = _call_events(item)
    yield from ({**event, "item_id": item["id"]} for event in filling)
    yield {"type": "response.output_item.done", "item": item}


def _reasoning(answer: Answer, request: Request, identity: Identity) -> JsonObject:
    summary = [{"type": "summary_text", "text": answer.reasoning}] if answer.reasoning else []
    item: JsonObject = {"id": identity.item_id("rs", 0), "type": "reasoning", "summary": summary}
    asked = request.json.get("include")
    if isinstance(asked, list) and "reasoning.encrypted_content" in asked:
        item["encrypted_content"] = identity.issue(answer.state)
    return item


def _parts(answer: Answer) -> Iterator[JsonObject]:
    if answer.text:
        yield {"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}
    if answer.refusal:
        yield {"type": "refusal", "refusal": answer.refusal}


def _call(call: ToolCall, place: int, offer: Offer | None, identity: Identity) -> JsonObject:
    kind = "function" if offer is None else offer.kind
    called: JsonObject = {"status": "completed", "call_id": call.id or identity.tool_call_id(place)}
    if kind in ("local_shell", "shell"):
        return {"id": identity.item_id("lsh", place), "type": f"{kind}_call", **called, "action": _action(call, kind)}
    name = call.name if offer is None else offer.name
    called |= {"name": name}
    namespace = call.namespace or (None if offer is None else offer.namespace)
    if namespace is not None:
        called["namespace"] = namespace
    if kind == "custom":
        return {"id": identity.item_id("ctc", place), "type": "custom_tool_call", **called, "input": call.arguments}
    return {"id": identity.item_id("fc", place), "type": "function_call", **called, "arguments": call.arguments}


def _action(call: ToolCall, kind: str) -> JsonObject:
    try:
        command = text_at(json.loads(call.arguments), "command")
    except (ValueError, AttributeError):
        command = call.arguments
    if kind == "local_shell":
        return {"type": "exec", "command": ["bash", "-lc", command], "env": {}}
    return {"commands": [command], "timeout_ms": None, "max_output_length": None}


def _opened(item: JsonObject) -> JsonObject:
    """An item as it is announced."""
    opened = {**item, "status": "in_progress"} if "status" in item else {**item}
    empty: JsonObject = {"content": [], "summary": [], "arguments": "", "input": ""}
    opened |= {name: nothing for name, nothing in empty.items() if name in item}
    if "encrypted_content" in item:
        state = str(item["encrypted_content"])
        opened["encrypted_content"] = state[: len(state) // 2]
    return opened


def _message_events(item: JsonObject, count: int | None) -> Iterator[JsonObject]:
    for index, part in enumerate(objects(item["content"])):
        field = "text" if part["type"] == "output_text" else "refusal"
        name = "response.output_text" if field == "text" else "response.refusal"
        extra: JsonObject = {"logprobs": []} if field == "text" else {}
        at: JsonObject = {"content_index": index}
        yield {"type": "response.content_part.added", **at, "part": {**part, field: ""}}
        for piece in pieces(str(part[field]), count):
            yield {"type": f"{name}.delta", **at, "delta": piece, **extra, "obfuscation": _padding(piece)}
        yield {"type": f"{name}.done", **at, field: part[field], **extra}
        yield {"type": "response.content_part.done", **at, "part": part}


def _summary_events(item: JsonObject, count: int | None) -> Iterator[JsonObject]:
    for index, part in enumerate(objects(item["summary"])):
        at: JsonObject = {"summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
        for piece in pieces(str(part["text"]), count):
            delta: JsonObject = {"delta": piece, "obfuscation": _padding(piece)}
            yield {"type": "response.reasoning_summary_text.delta", **at, **delta}
        yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def _call_events(item: JsonObject) -> Iterator[JsonObject]:
    field, name = _STREAMED[str(item["type"])]
    for piece in pieces(str(item[field]), 3):
        yield {"type": f"{name}.delta", "delta": piece, "obfuscation": _padding(piece)}
    yield {"type": f"{name}.done", field: item[field]}


def _padding(piece: str) -> str:
    """What hides the length of a delta."""
    return _PADDING[len(piece.encode()) % 16 :]
