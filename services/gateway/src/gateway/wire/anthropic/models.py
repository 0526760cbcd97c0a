"""The wire of the Messages API, field for field as Anthropic documents it, as far as we act on it.

Lenient in what answers leave out, an allow-list in what they name. The blocks and fields of requests are plain
dictionaries, made in `conversation` and `encode`: they are only ever written.
"""

from typing import Any, TypeAlias

from msgspec import Raw, Struct


class OutputDetails(Struct):
    """`output_tokens_details`: what of the output was thinking."""

    thinking_tokens: int | float | None = None


class MessageUsage(Struct):
    """`usage`. The three figures of input add up to the whole; those of a stream are cumulative."""

    input_tokens: int | float | None = None
    cache_creation_input_tokens: int | float | None = None
    cache_read_input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    output_tokens_details: OutputDetails | None = None


class Block(Struct):
    """A content block of an answer; which of its fields are there depends on `type`."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    name: str | None = None
    input: Raw = Raw(b"")


class EventDelta(Struct):
    """The `delta` of a `content_block_delta` or of a `message_delta`."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class ProviderMessage(Struct):
    """A whole answer, or the `message` of `message_start`. An `error` is a failure, whatever the status was."""

    type: str = ""
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: MessageUsage | None = None
    error: Any = None


class ProviderEvent(Struct):
    """One event of a stream."""

    type: str = ""
    message: ProviderMessage | None = None
    index: int = 0
    content_block: Block | None = None
    delta: EventDelta | None = None
    usage: MessageUsage | None = None
    error: Any = None


class ThinkingBlock(Struct, tag="thinking", tag_field="type"):
    """Thoughts, and the signature that proves that they are the model's. Sent back unchanged."""

    thinking: str
    signature: str


class RedactedThinkingBlock(Struct, tag="redacted_thinking", tag_field="type"):
    """Thoughts that nobody may read. Sent back unchanged."""

    data: str


Thought: TypeAlias = ThinkingBlock | RedactedThinkingBlock

ContentBlock: TypeAlias = dict[str, Any]
"""A block of a request."""
