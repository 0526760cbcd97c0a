"""The content of an answer, and its two shapes on the wire: one completion, or the events of a stream."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from devstack.provider.http import Request
from devstack.provider.identity import Identity

_CREATED = 1_700_000_000
DONE = b"data: [DONE]\n\n"
JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as reported; any integer is possible, a lie included. None leaves the field out."""

    prompt_tokens: int | None = 12
    completion_tokens: int | None = 7
    total_tokens: int | None = 19
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def payload(self, identity: Identity) -> JsonObject:
        """The `usage` object."""
        counts = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }
        usage: JsonObject = {name: count for name, count in counts.items() if count is not None}
        if self.cached_tokens is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        if self.reasoning_tokens is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return {**usage, **identity.usage_extras()}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model makes. Without an id the provider gives it one."""

    name: str
    arguments: str = "{}"
    id: str | None = None

    def payload(self, identity: Identity, position: int) -> JsonObject:
        """The call as part of a message; `position` counts the calls of the answer."""
        call_id = self.id or identity.tool_call_id(position)
        return {"id": call_id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    `pieces` is the number of deltas that the text is cut into (default: one per word); `interleaved` mixes the argument
    deltas of parallel tool calls; `usage_reports` is how often usage is sent (0 = never, 2 = duplicated). A stream has
    usage only if the caller asked for it, as OpenAI's has, unless `is_usage_forced`.
    """

    text: str | None = "Hello from the provider."
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    refusal: str | None = None
    usage: Usage = Usage()
    usage_reports: int = 1
    is_usage_forced: bool = False
    pieces: int | None = None
    interleaved: bool = False

    @property
    def ending(self) -> str:
        """The finish reason that is sent."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    def completion(self, request: Request, identity: Identity) -> bytes:
        """The body of a `chat.completion`."""
        choices = [self._choice(index, identity) for index in range(_choice_count(request))]
        payload = {**_head("chat.completion", request, identity), "choices": choices}
        if self.usage_reports:
            payload["usage"] = self.usage.payload(identity)
        return encode(payload)

    def events(self, request: Request, identity: Identity) -> list[bytes]:
        """The stream's events in order, `[DONE]` included."""
        count = _choice_count(request)
        deltas = list(self._deltas(identity))
        events = [_event(request, identity, index, delta) for delta in deltas for index in range(count)]
        events += [_event(request, identity, index, {}, self.ending) for index in range(count)]
        if request.wants_usage or self.is_usage_forced:
            usage = {"choices": [], "usage": self.usage.payload(identity)}
            events += [sse({**_head("chat.completion.chunk", request, identity), **usage})] * self.usage_reports
        return [*events, DONE]

    def _choice(self, index: int, identity: Identity) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": self.text, "refusal": self.refusal}
        if self.reasoning is not None:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [call.payload(identity, place) for place, call in enumerate(self.tool_calls)]
        message |= identity.delta_extras()
        choice = {"index": index, "message": message, "finish_reason": self.ending, "logprobs": None}
        return {**choice, **identity.choice_extras()}

    def _deltas(self, identity: Identity) -> Iterator[JsonObject]:
        yield {"role": "assistant", "content": "" if self.text is not None else None}
        for field, text in (("reasoning_content", self.reasoning), ("content", self.text), ("refusal", self.refusal)):
            for piece in _pieces(text or "", self.pieces):
                yield {field: piece, **identity.delta_extras()}
        argument_deltas = []
        for position, call in enumerate(self.tool_calls):
            opening = replace(call, arguments="").payload(identity, position)
            deltas: list[JsonObject] = [{"tool_calls": [{"index": position, **opening}]}]
            for piece in _pieces(call.arguments, 3):
                deltas.append({"tool_calls": [{"index": position, "function": {"arguments": piece}}]})
            argument_deltas.append(deltas)
        if self.interleaved:
            rounds = itertools.zip_longest(*argument_deltas)
            yield from (delta for deltas_of_round in rounds for delta in deltas_of_round if delta is not None)
        else:
            yield from itertools.chain.from_iterable(argument_deltas)


def encode(payload: JsonObject) -> bytes:
    """Compact JSON in UTF-8, letters outside ASCII as themselves."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def sse(payload: JsonObject) -> bytes:
    """One event of a stream."""
    return b"data: " + encode(payload) + b"\n\n"


def _choice_count(request: Request) -> int:
    count = request.json.get("n")
    return count if isinstance(count, int) and count > 0 else 1


def _head(kind: str, request: Request, identity: Identity) -> JsonObject:
    head = {"id": identity.completion_id(), "object": kind, "created": _CREATED, "model": identity.model(request.model)}
    return {**head, **identity.payload_extras()}


def _event(request: Request, identity: Identity, index: int, delta: JsonObject, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None, **identity.choice_extras()}
    return sse({**_head("chat.completion.chunk", request, identity), "choices": [choice]})


def _pieces(text: str, count: int | None) -> list[str]:
    """`text` in `count` parts of about one length, or one per word; together they are the text again."""
    if not text:
        return []
    if count is None:
        words = text.split(" ")
        return [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    bounds = [len(text) * place // count for place in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(bounds) if start < end]
