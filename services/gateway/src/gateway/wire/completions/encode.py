"""Completion answers out: the objects that clients get, whole or chunk by chunk."""

from collections.abc import Sequence

import msgspec

from gateway.wire import sse
from gateway.wire.canonical import Counted, Delta, Finished, RefusalDelta, TextDelta
from gateway.wire.completions.models import ChoiceOut, known_finish_reason
from gateway.wire.lane import Identity
from gateway.wire.usage import Usage, to_wire_usage

KEEP_ALIVE = b": keep-alive\n\n"

_encoder = msgspec.json.Encoder()


def to_completion(choice: ChoiceOut, identity: Identity, *, usage: Usage | None) -> bytes:
    """A whole completion."""
    sent = {**_head(identity), "choices": [choice]}
    if usage is not None:
        sent["usage"] = to_wire_usage(usage)
    return _encoder.encode(sent)


def to_completion_of_deltas(deltas: Sequence[Delta], identity: Identity, *, echo: str) -> bytes:
    """A whole completion of what a provider of another format said, after the client's own prompt if it wants that."""
    text, reason, usage = [echo], None, None
    for delta in deltas:
        match delta:
            case TextDelta(more) | RefusalDelta(more):
                text.append(more)
            case Finished(said):
                reason = said
            case Counted(counted):
                usage = counted
            case _:
                pass  # thoughts have no place here, and nobody was offered a tool
    choice = ChoiceOut("".join(text), finish_reason=known_finish_reason(reason))
    return to_completion(choice, identity, usage=usage)


def to_error_event(code: str, message: str) -> bytes:
    """The end of a stream that broke off: no `[DONE]` follows."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return sse.to_event(_encoder.encode({"error": error}))


class Chunks:
    """Writes the chunks of one stream, all with the same head."""

    def __init__(self, identity: Identity, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._prefix = b"data: " + _encoder.encode(_head(identity))[:-1] + b',"choices":['
        self._suffix = b'],"usage":null}\n\n' if wants_usage else b"]}\n\n"

    def chunk(self, choice: ChoiceOut) -> bytes:
        """One chunk."""
        return self._prefix + _encoder.encode(choice) + self._suffix

    def end(self, finish_reason: str | None, usage: Usage | None) -> bytes:
        """The chunk that finishes the answer, usage if it was asked for and is known, and `[DONE]`."""
        sent = self.chunk(ChoiceOut("", finish_reason=known_finish_reason(finish_reason)))
        if self._wants_usage and usage is not None:
            sent += self._prefix + b'],"usage":' + _encoder.encode(to_wire_usage(usage)) + b"}\n\n"
        return sent + sse.to_event(sse.DONE)


def _head(identity: Identity) -> dict[str, object]:
    return {
        "id": f"cmpl-{identity.request_id}",
        "object": "text_completion",
        "created": identity.created,
        "model": identity.model,
    }
