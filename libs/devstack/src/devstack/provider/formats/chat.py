"""Chat completions: one `chat.completion`, or its chunks."""

import itertools
from collections.abc import Iterator

from devstack.provider.answers import Answer, ToolCall, Usage
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.offers import offer_named, offers
from devstack.provider.payload import JsonObject, pieces, sse

CREATED = 1_700_000_000
DONE = b"data: [DONE]\n\n"
BROKEN = b'data: {"id":"cut","choices":[{"delta":{"con\n\n'


def whole(answer: Answer, request: Request, identity: Identity) -> JsonObject:
    """The body of a `chat.completion`."""
    choices = [_choice(answer, index, request, identity) for index in range(choice_count(request))]
    payload = {**_head("chat.completion", request, identity), "choices": choices}
    if answer.usage_reports:
        payload["usage"] = usage_payload(answer.usage, identity)
    return payload


def events(answer: Answer, request: Request, identity: Identity) -> list[bytes]:
    """The chunks in order, `[DONE]` included."""
    count = choice_count(request)
    written = [
        _chunk(request, identity, index, delta)
        for delta in _deltas(answer, request, identity)
        for index in range(count)
    ]
    written += [_chunk(request, identity, index, {}, answer.ending) for index in range(count)]
    if request.wants_usage or answer.is_usage_forced:
        usage = {"choices": [], "usage": usage_payload(answer.usage, identity)}
        written += [sse({**_head("chat.completion.chunk", request, identity), **usage})] * answer.usage_reports
    return [*written, DONE]


def usage_payload(usage: Usage, identity: Identity) -> JsonObject:
    """The `usage` object."""
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    payload: JsonObject = {name: count for name, count in counts.items() if count is not None}
    if usage.cached_tokens is not None:
        payload["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        payload["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return {**payload, **identity.usage_extras()}


def choice_count(request: Request) -> int:
    """How many choices the request asks for."""
    count = request.json.get("n")
    return count if isinstance(count, int) and count > 0 else 1


def _choice(answer: Answer, index: int, request: Request, identity: Identity) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
    if answer.reasoning is not None:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        calls = enumerate(answer.tool_calls)
        message["tool_calls"] = [_call(call, place, request, identity) for place, call in calls]
    message |= identity.delta_extras()
    choice = {"index": index, "message": message, "finish_reason": answer.ending, "logprobs": None}
    return {**choice, **identity.choice_extras()}


def _call(call: ToolCall, place: int, request: Request, identity: Identity) -> JsonObject:
    """The call as part of a message."""
    call_id = call.id or identity.tool_call_id(place)
    if _is_custom(call, request):
        return {"id": call_id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _call_deltas(call: ToolCall, place: int, request: Request, identity: Identity) -> list[JsonObject]:
    kind, field = ("custom", "input") if _is_custom(call, request) else ("function", "arguments")
    call_id = call.id or identity.tool_call_id(place)
    opening = {"index": place, "id": call_id, "type": kind, kind: {"name": call.name, field: ""}}
    rest = [{"index": place, kind: {field: piece}} for piece in pieces(call.arguments, 3)]
    return [{"tool_calls": [delta]} for delta in (opening, *rest)]


def _is_custom(call: ToolCall, request: Request) -> bool:
    offer = offer_named(offers(request), call.name)
    return offer is not None and offer.kind == "custom"


def _deltas(answer: Answer, request: Request, identity: Identity) -> Iterator[JsonObject]:
    yield {"role": "assistant", "content": "" if answer.text is not None else None}
    spoken = (("reasoning_content", answer.reasoning), ("content", answer.text), ("refusal", answer.refusal))
    for field, text in spoken:
        for piece in pieces(text or "", answer.pieces):
            yield {field: piece, **identity.delta_extras()}
    calls = [_call_deltas(call, place, request, identity) for place, call in enumerate(answer.tool_calls)]
    yield from interleaved(calls) if answer.interleaved else itertools.chain.from_iterable(calls)


def interleaved(lists: list[list[JsonObject]]) -> Iterator[JsonObject]:
    """The first of each, the second of each, and so on."""
    rounds = itertools.zip_longest(*lists)
    return (delta for deltas_of_round in rounds for delta in deltas_of_round if delta is not None)


def _head(kind: str, request: Request, identity: Identity) -> JsonObject:
    head = {
        "id": identity.answer_id("chat"),
        "object": kind,
        "created": CREATED,
        "model": identity.model(request.model),
    }
    return {**head, **identity.payload_extras()}


def _chunk(request: Request, identity: Identity, index: int, delta: JsonObject, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None, **identity.choice_extras()}
    return sse({**_head("chat.completion.chunk", request, identity), "choices": [choice]})


def error_body(identity: Identity, text: str, *, kind: str, code: str | None) -> JsonObject:
    """OpenAI's error object in this provider's words; all formats of OpenAI's share it."""
    error = {"message": identity.message(text), "type": kind, "param": None, "code": code, **identity.error_extras()}
    return {"error": error}


def error_events(identity: Identity, text: str, *, is_named: bool) -> list[bytes]:
    """An error inside a stream; `is_named` puts `event: error` before it."""
    error = sse(error_body(identity, text, kind="server_error", code=None))
    return [b"event: error\n" + error if is_named else error, DONE]
