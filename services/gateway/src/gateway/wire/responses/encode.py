"""Responses out: the response object from its beginning to its end, and whole answers.

OpenAI's schema is the measure: every field of the object is there from the first event on. What of it is ours (id,
model, status, output, usage …) is never taken from what the client sent, which is echoed otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from gateway.wire.canonical import Delta, FinishReason
from gateway.wire.lane import Identity
from gateway.wire.usage import Usage

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]

_encoder = msgspec.json.Encoder()
_INCOMPLETE: Mapping[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
# The codes of a failed response that clients know: all but the last two make them stop, and say why.
CODES = frozenset(
    {"context_length_exceeded", "insufficient_quota", "invalid_prompt", "rate_limit_exceeded", "server_error"}
)
_NOTHING = Usage(0, 0, 0, 0, is_plausible=True)


class Completing(Protocol):
    """An encoder that can say what the whole answer is."""

    def feed(self, delta: Delta) -> bytes: ...

    def completed(self) -> dict[str, Any]:
        """The final response object."""


def to_response(deltas: Sequence[Delta], *, encoder: Completing) -> bytes:
    """The body of a whole answer. It is the object that the stream would end with; `encoder` is new, and used up."""
    for delta in deltas:
        encoder.feed(delta)
    return _encoder.encode(encoder.completed())


def is_cut(reason: FinishReason) -> bool:
    """Whether the model was stopped before it had said all."""
    return reason in _INCOMPLETE


class ResponseObject:
    """The response object of one request. `echo` are the fields that repeat what the client asked for."""

    def __init__(self, identity: Identity, *, echo: Mapping[str, Any], stores: bool) -> None:
        self._hex = identity.request_id.hex
        self._fields: dict[str, Any] = {
            "id": f"resp_{self._hex}",
            "object": "response",
            "created_at": identity.created,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
        }
        self._fields |= {name: value for name, value in echo.items() if name not in self._fields}
        self._fields |= {"model": identity.model, "store": stores, "output": [], "usage": None}

    def item_id(self, prefix: str, index: int) -> str:
        """The id of the item at a place of the output, the same whenever it is asked for."""
        return f"{prefix}_{self._hex}{index:04x}"

    def begun(self) -> dict[str, Any]:
        """Before there is any output."""
        return dict(self._fields)

    def ended(self, output: list[dict[str, Any]], *, reason: FinishReason, usage: Usage | None) -> dict[str, Any]:
        """After a good answer, cut or not.

        A provider that counts nothing is written as zeros: to the AI SDK an end without `usage` is no end.
        """
        ended = {**self._fields, "status": "completed", "output": output, "usage": to_response_usage(usage or _NOTHING)}
        if is_cut(reason):
            ended |= {"status": "incomplete", "incomplete_details": {"reason": _INCOMPLETE[reason]}}
        return ended

    def failed(self, output: list[dict[str, Any]], *, code: str, message: str) -> dict[str, Any]:
        """After an answer that broke off. `output` is what was done by then, `code` a word of ours."""
        error = {"code": code if code in CODES else "server_error", "message": message}
        return {**self._fields, "status": "failed", "error": error, "output": output}


def to_response_usage(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage object with all details. What was written to a cache, providers do not tell in one way: none."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
