"""What is read of a provider's stream, taken apart into events for the answer that it is: one loop for all formats."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.wire import sse
from gateway.wire.chat.toolcalls import TooManyToolCalls


class EventTaker(Protocol):
    """An answer in the making; `failure` and `is_done` end it. See `lane.Answer`."""

    failure: str | None
    is_done: bool

    @property
    def has_finished(self) -> bool: ...

    def take_event(self, payload: bytes) -> bytes:
        """What leaves for the client because of one event. Raises msgspec's errors, and `TooManyToolCalls`."""


class Reading:
    """The reads of one stream, in order. Whatever ends the answer, what came before it still leaves."""

    def __init__(self, *, limit_bytes: int = sse.DEFAULT_LIMIT_BYTES) -> None:
        self._splitter = sse.Splitter(limit_bytes=limit_bytes)

    def feed(self, answer: EventTaker, read: bytes) -> bytes:
        """What leaves for the client now."""
        return self._pass_on(answer, lambda: self._splitter.feed(read))

    def end(self, answer: EventTaker) -> bytes:
        """The provider has closed the stream, too early if it had neither said why it stopped nor that it is done."""
        sent = self._pass_on(answer, self._splitter.close)
        if answer.failure is None and not answer.is_done and not answer.has_finished:
            answer.failure = "truncated"
        return sent

    def _pass_on(self, answer: EventTaker, split: Callable[[], Sequence[bytes]]) -> bytes:
        if answer.is_done or answer.failure is not None:
            return b""
        sent = []
        try:
            for payload in split():
                if payload == sse.DONE:
                    answer.is_done = True
                else:
                    sent.append(answer.take_event(payload))
                if answer.is_done or answer.failure is not None:
                    break
        except sse.EventTooLarge:
            answer.failure = "event_too_large"
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            answer.failure = "malformed"
        except TooManyToolCalls:
            answer.failure = "too_many_tool_calls"
        return b"".join(sent)
