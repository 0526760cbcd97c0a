"""A completion stream out: deltas of a provider of another format in, chunks out."""

from gateway.wire.canonical import Counted, Delta, Finished, RefusalDelta, TextDelta
from gateway.wire.completions.encode import KEEP_ALIVE, Chunks, to_error_event
from gateway.wire.completions.models import ChoiceOut
from gateway.wire.lane import Identity
from gateway.wire.usage import Usage


class CompletionsEncoder:
    """One answer; a `crossing.Encoder`. `echo` is the prompt where the client wants it before the text."""

    def __init__(self, identity: Identity, *, wants_usage: bool, echo: str) -> None:
        self._chunks = Chunks(identity, wants_usage=wants_usage)
        self._echo = echo
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    def feed(self, delta: Delta) -> bytes:
        """What leaves for the client now."""
        match delta:
            case TextDelta(text) | RefusalDelta(text) if text:
                return self._echoed() + self._chunks.chunk(ChoiceOut(text))
            case Counted(usage):
                self._usage = usage
            case Finished(reason):
                self._finish_reason = reason
            case _:
                pass  # thoughts have no place here, and nobody was offered a tool
        return b""

    def finish(self) -> bytes:
        """The end of a good answer."""
        return self._echoed() + self._chunks.end(self._finish_reason, self._usage)

    def fail(self, code: str, message: str) -> bytes:
        """The end of an answer that broke off."""
        return to_error_event(code, message)

    def heartbeat(self) -> bytes:
        """A comment: the clients of this format have no timer of their own that would want an event."""
        return KEEP_ALIVE

    def _echoed(self) -> bytes:
        echo, self._echo = self._echo, ""
        return self._chunks.chunk(ChoiceOut(echo)) if echo else b""
