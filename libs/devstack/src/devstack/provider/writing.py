"""An answer on the wire, in the format of the request: one body, or the events of a stream."""

from devstack.provider.answers import Answer
from devstack.provider.formats import WRITERS
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.payload import encode


def body_of(answer: Answer, request: Request, identity: Identity) -> bytes:
    """The body of an answer that is not streamed."""
    return encode(WRITERS[request.format].whole(answer, request, identity))


def events_of(answer: Answer, request: Request, identity: Identity) -> list[bytes]:
    """The stream's events in order; the last one is the format's end mark (`[DONE]`, `response.completed` …)."""
    return WRITERS[request.format].events(answer, request, identity)
