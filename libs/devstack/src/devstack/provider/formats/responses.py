"""OpenAI's Responses: one `response`, or the events of its native stream, numbered and with every `added` and `done`.

As there, a reasoning item has its `encrypted_content` only when the request includes it, and the one in `added` is not
yet the whole: only `done` counts.
"""

from collections.abc import Iterator

from devstack.provider.answers import Answer, Usage
from devstack.provider.formats.chat import CREATED, error_body
from devstack.provider.formats.items import item_events, output_items
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.payload import JsonObject, named_sse, object_at

__all__ = ["BROKEN", "error_body", "error_events", "events", "whole"]

BROKEN = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"cut","del\n\n'
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What a response repeats of its request, with the value that stands for nothing said.
_REPEATED: JsonObject = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def whole(answer: Answer, request: Request, identity: Identity) -> JsonObject:
    """The body of a finished `response`."""
    items = output_items(answer, request, identity)
    return _response(request, identity) | _ending(answer, items, identity)


def events(answer: Answer, request: Request, identity: Identity) -> list[bytes]:
    """The events in order, `response.completed` or `response.incomplete` included."""
    written = enumerate(_events(answer, request, identity))
    return [named_sse({**event, "sequence_number": number, **identity.event_extras()}) for number, event in written]


def _events(answer: Answer, request: Request, identity: Identity) -> Iterator[JsonObject]:
    begun = _response(request, identity)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    items = output_items(answer, request, identity)
    for place, item in enumerate(items):
        for event in item_events(item, answer.pieces):
            yield {**event, "output_index": place}
    ended = begun | _ending(answer, items, identity)
    yield {"type": f"response.{ended['status']}", "response": ended}


def _response(request: Request, identity: Identity) -> JsonObject:
    """A response that has just begun."""
    asked = request.json
    head: JsonObject = {"id": identity.answer_id("responses"), "object": "response", "created_at": CREATED}
    head |= {"status": "in_progress", "completed_at": None, "error": None, "incomplete_details": None}
    head |= {"model": identity.model(request.model), "output": [], "usage": None}
    repeated = {name: asked.get(name, nothing) for name, nothing in _REPEATED.items()}
    head |= {"metadata": {**object_at(asked, "metadata"), **identity.metadata()}}
    return {**head, **repeated, "service_tier": identity.service_tier("default"), **identity.brand_extras()}


def _ending(answer: Answer, items: list[JsonObject], identity: Identity) -> JsonObject:
    reason = _INCOMPLETE.get(answer.ending)
    ending: JsonObject = {"status": "completed", "completed_at": CREATED + 1, "output": items}
    if reason is not None:
        ending |= {"status": "incomplete", "completed_at": None, "incomplete_details": {"reason": reason}}
    if answer.usage_reports:
        ending["usage"] = _counts(answer.usage, identity)
    return ending


def _counts(usage: Usage, identity: Identity) -> JsonObject:
    counts = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    payload: JsonObject = {name: count for name, count in counts.items() if count is not None}
    payload["input_tokens_details"] = {"cached_tokens": usage.cached_tokens or 0}
    payload["output_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens or 0}
    return {**payload, **identity.usage_extras()}


def error_events(identity: Identity, text: str, *, is_named: bool) -> list[bytes]:
    """An error inside a stream: `response.failed`, or with `is_named` a bare `error` event."""
    error: JsonObject = {"code": "server_error", "message": identity.message(text), **identity.error_extras()}
    if is_named:
        return [named_sse({"type": "error", "sequence_number": 99, **error})]
    failed: JsonObject = {"id": identity.answer_id("responses"), "object": "response", "created_at": CREATED}
    failed |= {"status": "failed", "error": error, "model": identity.model(""), "output": [], "usage": None}
    failed |= identity.brand_extras()
    return [named_sse({"type": "response.failed", "sequence_number": 99, "response": failed})]
