"""A Messages stream read: events in, deltas out.

| event | what it says |
|---|---|
| `message_start`, `message_delta` | figures; why the model stopped |
| `content_block_start`, `_delta`, `_stop` | text, thoughts, tool calls: see `blocks` |
| `message_stop` | the end |
| `error`, or an event with an `error` | a failure, overload included |
| `ping` and those not named here | nothing: Anthropic may add some at any time |
"""

from collections.abc import Sequence

import msgspec

from gateway.wire.anthropic.blocks import Blocks, Tally, TooManyToolCalls
from gateway.wire.anthropic.models import ProviderEvent
from gateway.wire.canonical import Delta

_read_event = msgspec.json.Decoder(ProviderEvent)


class MessagesDecoder:
    """One answer; a `crossing.Decoder`."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.events = 0
        self._blocks = Blocks()
        self._tally = Tally()

    def feed(self, payload: bytes) -> Sequence[Delta]:
        """What one event's data says. Sets `failure` when the provider failed."""
        if self.is_done or self.failure is not None:
            return []
        try:
            event = _read_event.decode(payload)
            return self._told(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.failure = "malformed"
        except TooManyToolCalls:
            self.failure = "too_many_tool_calls"
        return []

    def _told(self, event: ProviderEvent) -> Sequence[Delta]:
        if event.error is not None or event.type == "error":
            self.failure = "error_event"
            return []
        blocks = self._blocks
        deltas: Sequence[Delta] = []
        match event.type:
            case "message_start":
                deltas = self._tally.add(event.message.usage if event.message is not None else None)
            case "content_block_start" if event.content_block is not None:
                deltas = blocks.begin(event.index, event.content_block)
            case "content_block_delta" if event.delta is not None:
                deltas = blocks.more(event.index, event.delta)
            case "content_block_stop":
                deltas = blocks.end(event.index)
            case "message_delta":
                has_stopped = event.delta is not None and event.delta.stop_reason is not None
                finished = blocks.finish(event.delta.stop_reason) if event.delta is not None and has_stopped else []
                deltas = [*finished, *self._tally.add(event.usage)]
            case "message_stop":
                deltas = blocks.finish(None)
                self.is_done = True
            case _:
                return []
        self.events += 1
        return deltas
