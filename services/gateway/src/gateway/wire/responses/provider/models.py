"""What a Responses provider answers, field for field, as far as we act on it; lenient in what it leaves out."""

from typing import Any

import msgspec
from msgspec import Struct

from gateway.wire.usage import CompletionDetails, PromptDetails, Usage, WireUsage, from_wire_usage


class Kind(Struct):
    """What an event or an item is; enough to pass by one that we do not know. `id` is an item's."""

    type: str = ""
    id: str | None = None
    error: Any = None


class ProviderPart(Struct):
    """A part of a message or of a reasoning item."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class ProviderItem(Struct):
    """An item of one of the kinds that we read. Some providers send arguments as an object."""

    type: str = ""
    id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Any = None
    input: str | None = None
    content: list[ProviderPart] | None = None
    summary: list[ProviderPart] | None = None
    encrypted_content: str | None = None


class ProviderUsage(Struct):
    """The `usage` of a response."""

    input_tokens: int | float | None = None
    input_tokens_details: PromptDetails | None = None
    output_tokens: int | float | None = None
    output_tokens_details: CompletionDetails | None = None


class IncompleteDetails(Struct):
    """Why an answer is not complete."""

    reason: str | None = None


class ProviderResponse(Struct):
    """A whole answer. An `error` in it is a failure, whatever the status was."""

    status: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: ProviderUsage | None = None
    incomplete_details: IncompleteDetails | None = None
    error: Any = None


class ProviderEvent(Struct):
    """One event of a kind that we know."""

    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: msgspec.Raw = msgspec.Raw()
    response: ProviderResponse | None = None


def from_response_usage(usage: ProviderUsage) -> Usage:
    """The counts, made plausible."""
    return from_wire_usage(
        WireUsage(usage.input_tokens, usage.output_tokens, usage.input_tokens_details, usage.output_tokens_details)
    )
