"""Chunks of a chat stream as they leave: ours on the outside, in OpenAI's shape, and how such a stream ends."""

import msgspec

from gateway.wire import sse
from gateway.wire.chat.models import ChoiceOut, DeltaOut
from gateway.wire.lane import Identity
from gateway.wire.usage import Usage, to_wire_usage

# The SDKs of this format read it as a sign of life and as nothing else.
KEEP_ALIVE = b": keep-alive\n\n"

# What a client has to change; every other error inside a stream is ours or a provider's.
_FAULTS_OF_THE_REQUEST = frozenset({"context_length_exceeded", "request_refused"})

_encoder = msgspec.json.Encoder()


def completion_id(identity: Identity) -> str:
    """The id of the whole answer."""
    return f"chatcmpl-{identity.request_id}"


class Chunks:
    """Writes the chunks of one answer: the frame is made once."""

    def __init__(self, identity: Identity, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        head = {
            "id": completion_id(identity),
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": identity.model,
        }
        self._prefix = b"data: " + _encoder.encode(head)[:-1] + b',"choices":['
        self._suffix = b'],"usage":null}\n\n' if wants_usage else b"]}\n\n"

    def chunk(self, choice: ChoiceOut) -> bytes:
        """One chunk."""
        return self._prefix + _encoder.encode(choice) + self._suffix

    def end(self, delta: DeltaOut, *, reason: str, usage: Usage | None) -> bytes:
        """The chunk that finishes the answer, usage if it was asked for and told, and `[DONE]`."""
        sent = self.chunk(ChoiceOut(0, delta, finish_reason=reason))
        if self._wants_usage and usage is not None:
            sent += self._prefix + b'],"usage":' + _encoder.encode(to_wire_usage(usage)) + b"}\n\n"
        return sent + sse.to_event(sse.DONE)


def to_error_event(code: str, message: str) -> bytes:
    """The end of a stream that broke off: OpenAI's error object as an event, and no `[DONE]`."""
    kind = "invalid_request_error" if code in _FAULTS_OF_THE_REQUEST else "server_error"
    return sse.to_event(_encoder.encode({"error": {"message": message, "type": kind, "param": None, "code": code}}))
