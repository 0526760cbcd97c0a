"""Anthropic's Messages: one `message`, or its events. A refusal is text that ends with the stop reason `refusal`."""

import json
from collections.abc import Iterator

from devstack.provider.answers import Answer, ToolCall
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.payload import JsonObject, named_sse, pieces

BROKEN = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# The type in the body of each HTTP error, and its text where OpenAI's would not be found here.
_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", "prompt is too long: 8300 tokens > 8192 maximum"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the API."),
    403: ("permission_error", None),
    404: ("not_found_error", "model: scripted"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    422: ("invalid_request_error", None),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    503: ("overloaded_error", "Overloaded"),
    504: ("timeout_error", None),
    529: ("overloaded_error", "Overloaded"),
}


def whole(answer: Answer, request: Request, identity: Identity) -> JsonObject:
    """The body of a `message`."""
    message = _message(request, identity)
    content = [_closed(block) for block in _blocks(answer, identity)]
    message |= {"content": content, "stop_reason": _stop_reason(answer)}
    return message | {"usage": _counts(answer, identity)} if answer.usage_reports else message


def events(answer: Answer, request: Request, identity: Identity) -> list[bytes]:
    """The events in order, `message_stop` included."""
    message = _message(request, identity)
    counts = _counts(answer, identity)
    ending: JsonObject = {"type": "message_delta"}
    ending["delta"] = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    if answer.usage_reports:
        message["usage"] = {**counts, "output_tokens": 1}
        ending["usage"] = {"output_tokens": counts.get("output_tokens")}
    written: list[JsonObject] = [{"type": "message_start", "message": message}, {"type": "ping"}]
    for place, block in enumerate(_blocks(answer, identity)):
        written += _block_events(place, block, answer.pieces)
    written += [*[ending] * max(answer.usage_reports, 1), {"type": "message_stop"}]
    return [named_sse({**event, **identity.event_extras()}) for event in written]


def _message(request: Request, identity: Identity) -> JsonObject:
    head: JsonObject = {"id": identity.answer_id("anthropic"), "type": "message", "role": "assistant"}
    head |= {"model": identity.model(request.model), "content": [], "stop_reason": None, "stop_sequence": None}
    return {**head, **identity.brand_extras()}


def _blocks(answer: Answer, identity: Identity) -> list[JsonObject]:
    """The content, a call's input still as text."""
    blocks: list[JsonObject] = []
    state = identity.issue(answer.state)
    if answer.reasoning is not None:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": state})
    elif state is not None:
        blocks.append({"type": "redacted_thinking", "data": state})
    blocks += [{"type": "text", "text": text} for text in (answer.text, answer.refusal) if text]
    blocks += [_call(call, place, identity) for place, call in enumerate(answer.tool_calls)]
    return [{**block, **identity.delta_extras()} for block in blocks]


def _call(call: ToolCall, place: int, identity: Identity) -> JsonObject:
    call_id = call.id or identity.tool_call_id(place, prefix="toolu")
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": call.arguments}


def _closed(block: JsonObject) -> JsonObject:
    if block["type"] != "tool_use":
        return block
    try:
        arguments = json.loads(str(block["input"]))
    except ValueError:
        arguments = {}
    return {**block, "input": arguments}


def _block_events(place: int, block: JsonObject, count: int | None) -> Iterator[JsonObject]:
    opened, deltas = _opened(block, count)
    yield {"type": "content_block_start", "index": place, "content_block": opened}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": place, "delta": delta}
    yield {"type": "content_block_stop", "index": place}


def _opened(block: JsonObject, count: int | None) -> tuple[JsonObject, list[JsonObject]]:
    """A block as it is announced, and the deltas that fill it."""
    match block["type"]:
        case "text":
            parts = pieces(str(block["text"]), count)
            return {**block, "text": ""}, [{"type": "text_delta", "text": part} for part in parts]
        case "thinking":
            parts = pieces(str(block["thinking"]), count)
            deltas: list[JsonObject] = [{"type": "thinking_delta", "thinking": part} for part in parts]
            signature: JsonObject = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "tool_use":
            parts = ["", *pieces(str(block["input"]), 3)]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return block, []


def _stop_reason(answer: Answer) -> str:
    if answer.refusal and answer.finish_reason is None:
        return "refusal"
    return _STOP_REASONS.get(answer.ending, answer.ending)


def _counts(answer: Answer, identity: Identity) -> JsonObject:
    """Usage as Anthropic counts it: what came from the cache is no input besides."""
    usage, counts = answer.usage, {}
    if usage.prompt_tokens is not None:
        counts["input_tokens"] = usage.prompt_tokens - (usage.cached_tokens or 0)
    if usage.cached_tokens is not None:
        counts |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": usage.cached_tokens}
    if usage.completion_tokens is not None:
        counts["output_tokens"] = usage.completion_tokens
    return {**counts, "service_tier": identity.service_tier("standard"), **identity.usage_extras()}


def error_words(status: int, text: str) -> tuple[str, str]:
    """The type of an error with this status, and its text: Anthropic's own, or the one given."""
    kind, own = _ERRORS.get(status, ("api_error", None))
    return kind, own or text


def error_body(identity: Identity, text: str, *, kind: str) -> JsonObject:
    """Anthropic's error object in this provider's words."""
    error = {"type": kind, "message": identity.message(text), **identity.error_extras()}
    return {"type": "error", "error": error, "request_id": identity.request_id()}


def error_events(identity: Identity, text: str, *, is_named: bool) -> list[bytes]:  # noqa: ARG001 - one interface
    """An error inside a stream, which always has its name here."""
    return [named_sse(error_body(identity, text, kind="overloaded_error"))]
