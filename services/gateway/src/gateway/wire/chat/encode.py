"""Chat answers out: whole completions, errors inside a stream, and what an error of a provider means."""

import re
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from gateway.wire.chat.models import (
    FAILED_FINISHES,
    ProviderAnswer,
    ProviderError,
    ProviderErrorBody,
    Said,
    known_finish_reason,
)
from gateway.wire.chat.toolcalls import Mint, ToolCalls, TooManyToolCalls
from gateway.wire.usage import Usage, from_wire_usage, to_wire_usage

_read_answer = msgspec.json.Decoder(ProviderAnswer)
_read_error = msgspec.json.Decoder(ProviderErrorBody)
_encoder = msgspec.json.Encoder()


class UnusableAnswer(Exception):
    """What the provider sent is not an answer. `reason` is a word of ours, for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """What we put in place of the provider's: the id, the alias, and when (seconds since 1970)."""

    completion_id: str
    model: str
    created: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, ready to send, and what was in it."""

    body: bytes
    finish_reason: str
    has_content: bool
    usage: Usage | None


def to_chat_completion(provider_body: bytes, identity: Identity, mint: Mint) -> Completion:
    """The provider's completion with nothing of the provider in it. Raises `UnusableAnswer`."""
    answer = _answer(provider_body)
    choice = next((choice for choice in answer.choices or () if choice.index == 0), None)
    if choice is None or choice.message is None:
        raise UnusableAnswer("no_choice")
    if choice.finish_reason in FAILED_FINISHES:
        raise UnusableAnswer("failed_finish")
    message, has_content = _message(choice.message, mint)
    finish_reason = known_finish_reason(choice.finish_reason or "stop")
    sent_choice = {"index": 0, "message": message, "logprobs": choice.logprobs, "finish_reason": finish_reason}
    sent: dict[str, object] = {
        "id": identity.completion_id,
        "object": "chat.completion",
        "created": identity.created,
        "model": identity.model,
        "choices": [sent_choice],
    }
    usage = from_wire_usage(answer.usage) if answer.usage is not None else None
    if usage is not None:
        sent["usage"] = to_wire_usage(usage)
    return Completion(_encoder.encode(sent), finish_reason, has_content, usage)


def _answer(body: bytes) -> ProviderAnswer:
    try:
        answer = _read_answer.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnusableAnswer("malformed") from None
    if answer.error is not None:
        raise UnusableAnswer("error_body")
    return answer


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
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})


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
