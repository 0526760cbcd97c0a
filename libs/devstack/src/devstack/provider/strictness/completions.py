"""Plain completions: known fields, `prompt` a string, `stream_options` only with a stream."""

from collections.abc import Iterator

from devstack.provider.payload import JsonObject
from devstack.provider.strictness.checks import number, unknown_fields

_FIELDS = frozenset(
    [
        "model",
        "prompt",
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
        "user",
    ]
)


def complaints(body: JsonObject) -> Iterator[str]:
    """All that is wrong."""
    yield from unknown_fields(body, _FIELDS)
    if not isinstance(body.get("prompt"), str):
        yield "prompt: expected a string"
    if body.get("stream_options") is not None and body.get("stream") is not True:
        yield "stream_options: only allowed with stream"
    yield from number(body, "max_tokens", 0)
    yield from number(body, "n", 1, 128)
    yield from number(body, "temperature", 0, 2)
