"""Chat answers out: whole completions, and what an error of a provider means."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from gateway.wire.chat.chunks import completion_id
from gateway.wire.chat.models import (
    FAILED_FINISHES,
    Logprobs,
    ProviderAnswer,
    ProviderChoice,
    ProviderError,
    ProviderErrorBody,
    Said,
    known_finish_reason,
)
from gateway.wire.chat.toolcalls import ToolCalls, TooManyToolCalls
from gateway.wire.lane import Identity, Mint, UnusableAnswer
from gateway.wire.usage import Usage, WireUsage, from_wire_usage, to_wire_usage

_read_answer = msgspec.json.Decoder(ProviderAnswer)
_read_error = msgspec.json.Decoder(ProviderErrorBody)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, ready to send, and what was in it."""

    body: bytes
    said: Said
    finish_reason: str
    has_content: bool
    usage: Usage | None


def from_provider_completion(body: bytes, identity: Identity, mint: Mint) -> Completion:
    """The provider's completion with nothing of the provider in it. Raises `UnusableAnswer`."""
    choice, wire_usage = said_choice(body)
    assert choice.message is not None, "a choice that says something"
    message, has_content = _message(choice.message, mint)
    finish_reason = known_finish_reason(choice.finish_reason or "stop")
    usage = from_wire_usage(wire_usage) if wire_usage is not None else None
    sent = to_completion(identity, message=message, finish_reason=finish_reason, usage=usage, logprobs=choice.logprobs)
    return Completion(sent, choice.message, finish_reason, has_content, usage)


def to_completion(
    identity: Identity,
    *,
    message: Mapping[str, object],
    finish_reason: str,
    usage: Usage | None,
    logprobs: Logprobs | None = None,
) -> bytes:
    """The body of a whole answer."""
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish_reason}
    sent: dict[str, object] = {
        "id": completion_id(identity),
        "object": "chat.completion",
        "created": identity.created,
        "model": identity.model,
        "choices": [choice],
    }
    if usage is not None:
        sent["usage"] = to_wire_usage(usage)
    return _encoder.encode(sent)


def said_choice(body: bytes) -> tuple[ProviderChoice, WireUsage | None]:
    """The choice of a whole answer that has a message, and what was counted. Raises `UnusableAnswer`."""
    try:
        answer = _read_answer.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnusableAnswer("malformed") from None
    if answer.error is not None:
        raise UnusableAnswer(word_of_error(answer.error, otherwise="error_body"))
    choice = next((choice for choice in answer.choices or () if choice.index == 0), None)
    if choice is None or choice.message is None:
        raise UnusableAnswer("no_choice")
    if choice.finish_reason in FAILED_FINISHES:
        raise UnusableAnswer("failed_finish")
    return choice, answer.usage


def _message(said: Said, mint: Mint) -> tuple[dict[str, object], bool]:
    """The message, and whether it says anything: reasoning alone is no answer."""
    message: dict[str, object] = {"role": "assistant", "content": said.content, "refusal": said.refusal}
    reasoning = said.reasoning_content or said.reasoning
    if reasoning:
        message["reasoning_content"] = reasoning
    if said.tool_calls:
        try:
            message["tool_calls"] = ToolCalls(mint).whole(said.tool_calls)
        except TooManyToolCalls:
            raise UnusableAnswer("too_many_tool_calls") from None
    return message, bool(said.content or said.refusal or said.tool_calls)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a provider refused a request, as far as the customer may know."""

    is_context_too_long: bool
    param: str | None


# The words of OpenAI, Anthropic, Gemini, Mistral, vLLM, llama.cpp, Ollama and others for the same thing.
_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum (context|prompt|input|number of tokens)|max(imum)?[ _]?seq"
    r"|(prompt|input|messages?|request).{0,40}(too long|too many tokens|exceed)|too many (input )?tokens"
    r"|reduce the length|token limit|exceeds? the (model|available)",
    re.IGNORECASE | re.DOTALL,
)
CONTEXT_TOO_LONG = "context_length_exceeded"
_TOO_LONG_CODES = frozenset({CONTEXT_TOO_LONG, "exceed_context_size_error", "string_above_max_length"})


def word_of_error(error: object, *, otherwise: str) -> str:
    """Our word for an error object inside an answer: a context that is too long is told from everything else."""
    refusal = from_provider_error(_encoder.encode({"error": error}), fields=())
    return CONTEXT_TOO_LONG if refusal.is_context_too_long else otherwise


def from_provider_error(body: bytes, *, fields: Collection[str]) -> Refusal:
    """Read a refused request's body for its cause. `param` is given only if it is one of the client's own `fields`."""
    try:
        read = _read_error.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Refusal(is_context_too_long=False, param=None)
    error = read.error if isinstance(read.error, ProviderError) else ProviderError()
    text = error.message or (read.error if isinstance(read.error, str) else read.message) or ""
    is_too_long = error.code in _TOO_LONG_CODES or error.type in _TOO_LONG_CODES or bool(_TOO_LONG.search(text[:2000]))
    param = error.param if error.param and re.split(r"[.\[]", error.param)[0] in fields else None
    return Refusal(is_context_too_long=is_too_long, param=param[:100] if param and param.isprintable() else None)
