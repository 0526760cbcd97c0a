"""The wire of completions, field for field as OpenAI documents it, as far as we act on it or let it pass.

Two families: `Asked…` is what a client sends, checked; the others are what a provider answers, lenient in what they
leave out and an allow-list in what they name. What is not named here does not get through.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.wire.usage import WireUsage

MAX_STOPS = 4  # OpenAI's own limit

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]


class AskedStreamOptions(Struct):
    """`include_usage` is the client's wish; the provider is always asked for usage."""

    include_usage: bool | None = None


class AskedCompletion(Struct):
    """The fields of a request that are checked or acted on; for the others see the table in `decode`."""

    model: Annotated[str, Meta(min_length=1)]
    prompt: str | list[msgspec.Raw]
    suffix: str | None = None
    stream: bool | None = None
    stream_options: AskedStreamOptions | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    max_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Meta(max_length=MAX_STOPS)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, float] | None = None


class Logprobs(Struct):
    """Probabilities of the tokens of an answer. The first token of an echoed prompt has none."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] | None = None


class ProviderChoice(Struct):
    """One choice of an answer, in a stream and otherwise."""

    index: int = 0
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class ProviderAnswer(Struct):
    """A chunk of a stream, or a whole completion. An `error` in either is a failure, whatever the status was."""

    choices: list[ProviderChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


class ChoiceOut(Struct):
    """The only choice of an answer as we pass it on."""

    text: str
    index: int = 0
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


# Some gateways in front of models say this way that they failed.
FAILED_FINISHES = frozenset({"error", "abort"})


def known_finish_reason(reason: str | None) -> Literal["stop", "length", "content_filter"]:
    """OpenAI's word for why an answer ended; a word of the provider's own is read as `stop`."""
    match reason:
        case "length" | "content_filter":
            return reason
        case _:
            return "stop"
