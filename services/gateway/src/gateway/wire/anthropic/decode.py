"""Whole answers of the Messages API read."""

from collections.abc import Sequence

import msgspec

from gateway.wire.anthropic.blocks import Blocks, Tally, TooManyToolCalls
from gateway.wire.anthropic.models import ProviderMessage
from gateway.wire.canonical import Delta
from gateway.wire.lane import UnusableAnswer

_read_message = msgspec.json.Decoder(ProviderMessage)


def from_message(body: bytes) -> Sequence[Delta]:
    """The deltas of a whole message, in its order. Raises `UnusableAnswer`."""
    try:
        return _told(_read_message.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnusableAnswer("malformed") from None
    except TooManyToolCalls:
        raise UnusableAnswer("too_many_tool_calls") from None


def _told(message: ProviderMessage) -> Sequence[Delta]:
    if message.error is not None or message.type == "error":
        raise UnusableAnswer("error_body")
    if message.content is None:
        raise UnusableAnswer("no_content")
    blocks = Blocks()
    deltas: list[Delta] = []
    for index, block in enumerate(message.content):
        deltas += blocks.begin(index, block)
        deltas += blocks.end(index)
    return [*deltas, *blocks.finish(message.stop_reason), *Tally().add(message.usage)]
