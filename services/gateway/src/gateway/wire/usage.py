"""Tokens as a provider counts them, made plausible."""

from dataclasses import dataclass

import msgspec

# More than any model can read or write in one request; a provider that says more is wrong.
PLAUSIBLE_TOKENS = 100_000_000


class PromptDetails(msgspec.Struct):
    """OpenAI's `prompt_tokens_details`."""

    cached_tokens: int | float | None = None


class CompletionDetails(msgspec.Struct):
    """OpenAI's `completion_tokens_details`."""

    reasoning_tokens: int | float | None = None


class WireUsage(msgspec.Struct):
    """The `usage` of a chat completion as providers send it: absent, null, negative and huge values do occur."""

    prompt_tokens: int | float | None = None
    completion_tokens: int | float | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `is_plausible` is false when a figure had to be corrected."""

    input: int
    cached_input: int
    output: int
    reasoning: int
    is_plausible: bool


def from_wire_usage(usage: WireUsage) -> Usage:
    """The counts, clamped to what can be; cached and reasoning tokens are parts of their wholes."""
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    reasoning = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None
    said = (usage.prompt_tokens, cached, usage.completion_tokens, reasoning)
    input_tokens, output_tokens = _clamped(said[0]), _clamped(said[2])
    cached_tokens, reasoning_tokens = min(_clamped(cached), input_tokens), min(_clamped(reasoning), output_tokens)
    kept = (input_tokens, cached_tokens, output_tokens, reasoning_tokens)
    is_plausible = all((figure or 0) == count for figure, count in zip(said, kept, strict=True))
    return Usage(input_tokens, cached_tokens, output_tokens, reasoning_tokens, is_plausible)


def to_wire_usage(usage: Usage) -> dict[str, object]:
    """OpenAI's usage object with all details: strict clients fail on a missing one."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _clamped(tokens: float | None) -> int:
    return int(min(max(tokens or 0, 0), PLAUSIBLE_TOKENS))
