"""Plain completions: one `text_completion`, or its chunks. Tool calls, reasoning and refusals have no place here."""

from devstack.provider.answers import Answer
from devstack.provider.formats.chat import CREATED, DONE, choice_count, error_body, error_events, usage_payload
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.payload import JsonObject, pieces, sse

__all__ = ["BROKEN", "error_body", "error_events", "events", "whole"]

BROKEN = b'data: {"id":"cut","choices":[{"te\n\n'


def whole(answer: Answer, request: Request, identity: Identity) -> JsonObject:
    """The body of a `text_completion`."""
    text, ending = answer.text or "", _ending(answer)
    choices = [_choice(index, text, ending, identity) for index in range(choice_count(request))]
    payload = {**_head(request, identity), "choices": choices}
    if answer.usage_reports:
        payload["usage"] = usage_payload(answer.usage, identity)
    return payload


def events(answer: Answer, request: Request, identity: Identity) -> list[bytes]:
    """The chunks in order, `[DONE]` included."""
    head, count = _head(request, identity), choice_count(request)
    said = [(piece, None) for piece in pieces(answer.text or "", answer.pieces)]
    written = [
        sse({**head, "choices": [_choice(index, text, ending, identity)]})
        for text, ending in [*said, ("", _ending(answer))]
        for index in range(count)
    ]
    if request.wants_usage or answer.is_usage_forced:
        usage = {"choices": [], "usage": usage_payload(answer.usage, identity)}
        written += [sse({**head, **usage})] * answer.usage_reports
    return [*written, DONE]


def _ending(answer: Answer) -> str:
    return "stop" if answer.ending == "tool_calls" else answer.ending


def _choice(index: int, text: str, ending: str | None, identity: Identity) -> JsonObject:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": ending}
    return {**choice, **identity.choice_extras()}


def _head(request: Request, identity: Identity) -> JsonObject:
    name, kind = identity.model(request.model), "text_completion"
    head = {"id": identity.answer_id("completions"), "object": kind, "created": CREATED, "model": name}
    return {**head, **identity.payload_extras()}
